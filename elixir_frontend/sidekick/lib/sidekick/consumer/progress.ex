defmodule Sidekick.Consumer.Progress do
  @moduledoc false
  # What a consumer keeps in the store: how far it is, and what it set aside.
  #
  #     [:sidekick, :consumers, name, origin, stream]                        %{watermark:, updated_ms:}
  #     [:sidekick, :consumers, name, origin, stream, :dead, <<seq::64>>]    %{record:, reason:, at_ms:}

  alias Sidekick.Store

  @any {:if_name_matches, :any, :undefined}
  @dead_max 1_000

  @doc "The streams that are stored, with the last sequence of each: `%{{origin, stream} => seq}`."
  @spec heads(atom()) :: {:ok, %{{binary(), binary()} => non_neg_integer()}} | {:error, term()}
  def heads(store) do
    with {:ok, origins} <- Store.origins(store) do
      Enum.reduce_while(origins, {:ok, %{}}, fn origin, {:ok, heads} ->
        case Store.streams(origin, store) do
          {:ok, streams} -> {:cont, {:ok, Map.merge(heads, Map.new(streams, &{{origin, &1.stream}, &1.watermark}))}}
          error -> {:halt, error}
        end
      end)
    end
  end

  @doc "How far it is; 0 where nothing is stored."
  @spec load(atom(), binary(), binary(), binary()) :: {:ok, non_neg_integer()} | {:error, term()}
  def load(store, name, origin, stream) do
    case Store.read(store, path(name, origin, stream)) do
      {:ok, %{watermark: watermark}} -> {:ok, watermark}
      # A node that only holds dead letters has no data.
      {:ok, _} -> {:ok, 0}
      {:error, :not_found} -> {:ok, 0}
      {:error, _} = error -> error
    end
  end

  @doc "Stores how far it is."
  @spec save(atom(), binary(), binary(), binary(), pos_integer()) :: :ok | {:error, term()}
  def save(store, name, origin, stream, watermark),
    do: put(store, path(name, origin, stream), %{watermark: watermark, updated_ms: now_ms()})

  @doc "Sets a record aside; refused where there are too many already, for then somebody has to look."
  @spec set_aside(atom(), binary(), binary(), binary(), Sidekick.Store.record(), String.t()) :: :ok | {:error, term()}
  def set_aside(store, name, origin, stream, record, reason) do
    dead = path(name, origin, stream) ++ [:dead]

    case Store.asked(fn -> :khepri.count(store, dead ++ [@any]) end) do
      {:ok, count} when count < @dead_max ->
        letter = %{record: record, reason: reason, at_ms: now_ms()}
        put(store, dead ++ [<<record.seq::64>>], letter)

      {:ok, count} ->
        {:error, {:too_many_dead_letters, %{count: count, remedy: "redrive or drop some"}}}

      {:error, _} = error ->
        error
    end
  end

  @doc "What was set aside, oldest first."
  @spec dead(atom(), binary()) :: {:ok, [map()]} | {:error, term()}
  def dead(store, name) do
    path = [:sidekick, :consumers, name, @any, @any, :dead, @any]

    with {:ok, found} <- Store.asked(fn -> :khepri.get_many(store, path) end) do
      letters =
        for {[_, _, _, origin, stream, _, _], letter} <- found, do: Map.merge(letter, %{origin: origin, stream: stream})

      {:ok, Enum.sort_by(letters, &{&1.origin, &1.stream, &1.record.seq})}
    end
  end

  @doc "One of them."
  @spec dead(atom(), binary(), binary(), binary(), pos_integer()) :: {:ok, map()} | {:error, term()}
  def dead(store, name, origin, stream, seq) do
    Store.read(store, path(name, origin, stream) ++ [:dead, <<seq::64>>])
  end

  @doc "Forgets one that was set aside."
  @spec drop(atom(), binary(), binary(), binary(), pos_integer()) :: :ok | {:error, term()}
  def drop(store, name, origin, stream, seq),
    do: Store.asked(fn -> :khepri.delete(store, path(name, origin, stream) ++ [:dead, <<seq::64>>]) end)

  defp put(store, path, value), do: Store.asked(fn -> :khepri.put(store, path, value, %{timeout: 8_000}) end)
  defp path(name, origin, stream), do: [:sidekick, :consumers, name, origin, stream]
  defp now_ms, do: System.os_time(:millisecond)
end
