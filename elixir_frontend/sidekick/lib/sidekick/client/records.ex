defmodule Sidekick.Client.Records do
  @moduledoc false
  # A stream of sidekick's journal as an enumerable: a cursor and one batch at a time, whatever the length of the stream.
  # To follow it subscribes only while it waits at the end, takes an event as the news that there is more, and reads that by its
  # cursor: so a slow consumer is sent nothing that it has not asked for, and a `:lagged` event is news like any other.

  alias Sidekick.Client.Call
  alias Sidekick.Error

  @batch 500

  defstruct [:node, :stream, :from, :until, :batch, :opts, follow: false]

  @doc "The records; see `Sidekick.stream!/3`."
  @spec stream!(node(), binary(), keyword()) :: Enumerable.t(Sidekick.record())
  def stream!(node, stream, opts) do
    {known, others} = Keyword.split(opts, [:from, :follow, :batch, :timeout])
    others == [] || raise ArgumentError, "unknown options #{inspect(Keyword.keys(others))} for stream!"
    check(known, :from, 1, &(&1 == :end or (is_integer(&1) and &1 > 0)), "a sequence or :end")
    check(known, :follow, false, &is_boolean/1, "true or false")
    check(known, :batch, @batch, &(is_integer(&1) and &1 > 0), "a positive integer")
    Stream.resource(fn -> open!(node, stream, known) end, &next/1, fn _ -> :ok end)
  end

  defp check(opts, key, default, valid?, expected) do
    value = Keyword.get(opts, key, default)
    valid?.(value) || raise ArgumentError, "#{inspect(key)} must be #{expected}, got #{inspect(value)}"
  end

  defp open!(node, stream, opts) do
    follow = Keyword.get(opts, :follow, false)
    cursor = %__MODULE__{node: node, stream: stream, batch: Keyword.get(opts, :batch, @batch), follow: follow}
    cursor = %{cursor | opts: Keyword.take(opts, [:timeout])}

    # What is appended while a stream is read would else be read too, perhaps without end.
    last =
      case Sidekick.stream(node, stream, cursor.opts) do
        {:ok, %{last: last}} -> last
        {:error, %Error{code: :not_found}} when follow -> 0
        {:error, error} -> raise error
      end

    from =
      case Keyword.get(opts, :from, 1) do
        :end -> last + 1
        from -> from
      end

    %{cursor | from: from, until: if(follow, do: :infinity, else: last)}
  end

  # Every integer is less than an atom.
  defp next(%{from: from, until: until} = cursor) when from > until, do: {:halt, cursor}

  defp next(cursor) do
    case {read!(cursor), cursor.follow} do
      {[], false} -> {:halt, cursor}
      {[], true} -> {[], await!(cursor)}
      {records, _} -> {records, %{cursor | from: List.last(records).seq + 1}}
    end
  end

  defp read!(%{until: until} = cursor) do
    case Sidekick.read(cursor.node, cursor.stream, cursor.from, cursor.batch, cursor.opts) do
      {:ok, records} -> Enum.take_while(records, &(&1.seq <= until))
      {:error, %Error{code: :not_found}} when cursor.follow -> []
      {:error, error} -> raise error
    end
  end

  # Waits in a process of its own, whose end is the subscription's end: an event that sidekick sends while it is told to
  # unsubscribe would else stay in the mailbox of whoever enumerates.
  defp await!(%{node: node} = cursor) do
    owner = self()
    {_pid, ref} = spawn_monitor(fn -> exit(await(cursor, owner)) end)

    receive do
      {:DOWN, ^ref, _, _, :more} -> cursor
      {:DOWN, ^ref, _, _, {:error, %Error{} = error}} -> raise error
      {:DOWN, ^ref, _, _, reason} -> Call.value!(Call.error(node, :failed, %{reason: reason}))
    end
  end

  defp await(%{node: node} = cursor, owner) do
    owned = Process.monitor(owner)
    monitor = Process.monitor({:sidekick, node})

    with {:ok, ref} <- Sidekick.subscribe(node, {:stream, cursor.stream}, cursor.opts) do
      # What came between the last read and the subscription is told by no event.
      if read!(%{cursor | batch: 1}) == [] do
        receive do
          {:sidekick_event, ^node, ^ref, _} -> :more
          {:DOWN, ^monitor, _, _, _} -> Call.error(node, :not_connected, %{})
          {:DOWN, ^owned, _, _, _} -> :more
        end
      else
        :more
      end
    end
  rescue
    error in Error -> {:error, error}
  end
end
