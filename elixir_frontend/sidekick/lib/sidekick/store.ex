defmodule Sidekick.Store do
  @moduledoc """
  What sidekicks uploaded, in Khepri: latest state and a window of each stream.

  As a process it starts Khepri under a supervisor and stops it at the end. As a module it reads. Reads are local and
  fast, and may be a moment behind in a cluster; `watermark/3` alone goes through Raft, for it settles what became of an
  upload whose answer was lost.

  Writing is `Sidekick.Ingest`'s, through `transaction/4`. See `Sidekick.Store.Cluster` for a store on several nodes,
  `Sidekick.Store.Watch` to be told of changes, `Sidekick.Store.Projections` for faster reads, `Sidekick.Store.Backup` for backups.
  """

  use GenServer

  alias Sidekick.Options
  alias Sidekick.Store.{Lifecycle, Lock, Once, Paths, Procedures}

  require Logger

  @default :sidekick_store
  @star {:if_name_matches, :any, :undefined}

  @type head :: %{
          stream: binary(),
          watermark: non_neg_integer(),
          hash: non_neg_integer(),
          first: non_neg_integer(),
          records: non_neg_integer(),
          bytes: non_neg_integer(),
          dropped: non_neg_integer(),
          updated_ms: non_neg_integer()
        }
  @type record :: %{seq: pos_integer(), at_ms: non_neg_integer(), payload: term()}

  @doc false
  @spec start_link(Options.t()) :: GenServer.on_start()
  def start_link(%Options{} = options), do: GenServer.start_link(__MODULE__, options)

  @doc "Uuid of the store: made once, with the store."
  @spec uuid(atom()) :: {:ok, String.t()} | {:error, term()}
  def uuid(store \\ @default) do
    with {:ok, %{uuid: uuid}} <- read(store, Paths.store()), do: {:ok, uuid}
  end

  @doc "Sidekick nodes that uploaded here, with the origin of each."
  @spec nodes(atom()) :: {:ok, %{node() => map()}} | {:error, term()}
  def nodes(store \\ @default), do: children(store, Paths.nodes())

  @doc "Origins that uploaded records or state here."
  @spec origins(atom()) :: {:ok, [binary()]} | {:error, term()}
  def origins(store \\ @default) do
    with {:ok, streams} <- names(store, Paths.origins()),
         {:ok, states} <- names(store, Paths.states()),
         do: {:ok, Enum.uniq(streams ++ states)}
  end

  @doc "The streams of an origin, ordered by name."
  @spec streams(binary(), atom()) :: {:ok, [head()]} | {:error, term()}
  def streams(origin, store \\ @default) do
    with {:ok, heads} <- children(store, Paths.streams(origin)),
         do: {:ok, heads |> Enum.sort() |> Enum.map(fn {name, head} -> Map.put(head, :stream, name) end)}
  end

  @doc "One stream."
  @spec stream(binary(), binary(), atom()) :: {:ok, head()} | {:error, :not_found | term()}
  def stream(origin, stream, store \\ @default) do
    with {:ok, head} <- read(store, Paths.stream(origin, stream)), do: {:ok, Map.put(head, :stream, stream)}
  end

  @doc """
  Up to `limit` records of a stream, from sequence `from` on (or from the first that is kept).

  Older records than the window holds are gone; `stream/3` says where it begins.
  """
  @spec records(binary(), binary(), pos_integer(), pos_integer(), atom()) :: {:ok, [record()]} | {:error, term()}
  def records(origin, stream, from, limit, store \\ @default) do
    case read(store, Paths.window(origin, stream)) do
      # Of a stream of which everything was dropped so far there is no batch.
      {:ok, {:none, [], []}} ->
        {:ok, []}

      {:ok, {tail, newer, older}} ->
        batches = Enum.drop_while(older ++ Enum.reverse(newer, [tail]), fn {_, last, _, _} -> last < from end)
        collect(store, {origin, stream}, batches, from, limit, [])

      {:error, :not_found} ->
        {:ok, []}

      error ->
        error
    end
  end

  # The batches may change while they are read: the tail grows under another name, the oldest go. Then begin again
  # behind what was read.
  defp collect(store, {origin, stream} = where, [{_, last, _, _} | rest], from, limit, got) when length(got) < limit do
    case read(store, Paths.batch(origin, stream, last)) do
      {:ok, batch} ->
        fresh = for {seq, at_ms, bytes} <- batch, seq >= from, do: %{seq: seq, at_ms: at_ms, payload: term(bytes)}
        collect(store, where, rest, last + 1, limit, Enum.reverse(fresh, got))

      {:error, :not_found} ->
        with {:ok, more} <- records(origin, stream, from, limit - length(got), store),
             do: {:ok, Enum.reverse(got, more)}

      error ->
        error
    end
  end

  defp collect(_store, _where, _batches, _from, limit, got), do: {:ok, got |> Enum.reverse() |> Enum.take(limit)}

  # Not `:safe`: the atoms in it may be new to this VM after a restart; they came in by the distribution once already.
  defp term(bytes), do: :erlang.binary_to_term(bytes)

  @doc "All values of a state scope."
  @spec state(binary(), binary(), atom()) :: {:ok, %{binary() => term()}} | {:error, term()}
  def state(origin, scope, store \\ @default), do: children(store, Paths.scope(origin, scope))

  @doc "One value of a state scope."
  @spec state_value(binary(), binary(), binary(), atom()) :: {:ok, term()} | {:error, :not_found | term()}
  def state_value(origin, scope, key, store \\ @default), do: read(store, Paths.scope(origin, scope) ++ [key])

  @doc "The state scopes of an origin, with epoch and revision."
  @spec scopes(binary(), atom()) :: {:ok, %{binary() => map()}} | {:error, term()}
  def scopes(origin, store \\ @default), do: children(store, Paths.scopes(origin))

  @doc "The last sequence stored of a stream, in order with all uploads before; 0 where there is none."
  @spec watermark(binary(), binary(), atom()) :: {:ok, non_neg_integer()} | {:error, term()}
  def watermark(origin, stream, store \\ @default), do: transaction(store, :watermark, {origin, stream}, 8_000)

  @doc """
  Runs a stored procedure (`Sidekick.Store.Procedures`). `{:error, :timeout}` and the like mean that the outcome is
  unknown.
  """
  @spec transaction(atom(), atom(), tuple(), timeout()) :: {:ok, term()} | {:error, term()}
  def transaction(store, procedure, request, timeout_ms) do
    path = Lifecycle.procedure_path(procedure)

    case asked(fn -> Once.run(store, path, [request], timeout_ms) end) do
      {:ok, result} -> result
      {:error, _} = error -> error
    end
  end

  @doc "Hash that a stream's running hash starts from; `hash/2` continues it."
  @spec hash_zero() :: non_neg_integer()
  def hash_zero, do: Procedures.hash_zero()

  @doc "The running hash after one more record; `stream/3` tells the stored one, over all records ever stored."
  @spec hash(non_neg_integer(), record()) :: non_neg_integer()
  def hash(hash, %{seq: seq, at_ms: at_ms, payload: payload}),
    do: :erlang.crc32(hash, [<<seq::64, at_ms::64>>, external(payload)])

  @doc "The bytes of a payload as they are stored and hashed."
  @spec external(term()) :: binary()
  def external(payload), do: :erlang.term_to_binary(payload, [:deterministic, minor_version: 2])

  @impl GenServer
  def init(options) do
    Process.flag(:trap_exit, true)

    with {:ok, lock} <- Lock.take(options), {:ok, uuid} <- started(options, lock) do
      Logger.info("sidekick store #{uuid} is open in #{options.data_dir} as #{node()}")
      {:ok, {options, lock}}
    else
      {:error, reason} -> {:stop, {:store, reason}}
    end
  end

  @impl GenServer
  def terminate(_reason, {options, lock}) do
    Lifecycle.stop(options)
    Lock.release(lock)
  end

  defp started(options, lock) do
    with {:error, _} = error <- Lifecycle.start(options) do
      Lock.release(lock)
      error
    end
  end

  @doc false
  @spec read(atom(), Paths.path()) :: {:ok, term()} | {:error, :not_found | term()}
  def read(store, path) do
    case asked(fn -> :khepri.get(store, path) end) do
      {:ok, value} -> {:ok, value}
      {:error, {:khepri, :node_not_found, _}} -> {:error, :not_found}
      {:error, _} = error -> error
    end
  end

  defp children(store, path) do
    with {:ok, found} <- asked(fn -> :khepri.get_many(store, path ++ [@star]) end),
         do: {:ok, Map.new(found, fn {path, value} -> {List.last(path), value} end)}
  end

  @doc false
  # Of a store that is just stopping, Khepri 0.18 does not answer `:noproc`: whoever asks would exit with it.
  @spec asked((-> answer)) :: answer | {:error, {:exit, term()}} when answer: term()
  def asked(fun) do
    fun.()
  catch
    :exit, reason -> {:error, {:exit, reason}}
  end

  defp names(store, path) do
    with {:ok, found} <- asked(fn -> :khepri.get_many(store, path ++ [@star]) end),
         do: {:ok, found |> Map.keys() |> Enum.map(&List.last/1)}
  end
end
