defmodule Sidekick.Store.Projections do
  @moduledoc """
  Copies of parts of the tree in ETS tables, which Khepri keeps up to date on every member: faster to read than
  the tree. A table may be a moment behind, even what the reading process has just written.

    * `:streams` - heads of streams, `stream/3`
    * `:state` - values of state, `state_value/4`; takes as much memory again as the state

  The option `:projections` says which there are; give all members the same.
  """

  alias Sidekick.{Options, Store}
  alias Sidekick.Store.Paths

  @any {:if_name_matches, :any, :undefined}
  @patterns %{
    streams: [:sidekick, :origins, @any, :streams, @any],
    state: [:sidekick, :state, @any, @any, @any]
  }

  @doc "The projections there may be."
  @spec known() :: [atom()]
  def known, do: Map.keys(@patterns)

  @doc "Registers those that are wanted, and takes away the others."
  @spec install(Options.t()) :: :ok | {:error, term()}
  def install(%Options{store: store, projections: wanted}) do
    unwanted = for kind <- known(), kind not in wanted, do: table(store, kind)

    with :ok <- remove(store, Enum.filter(unwanted, &(:khepri.has_projection(store, &1) == true))) do
      Enum.find_value(wanted, :ok, fn kind ->
        case :khepri.has_projection(store, table(store, kind)) || register(store, kind) do
          true -> nil
          :ok -> nil
          # Another member was faster.
          {:error, {:khepri, :projection_already_exists, _}} -> nil
          {:error, _} = error -> error
        end
      end)
    end
  end

  @doc "As `Sidekick.Store.stream/3`, from the table; reads the tree where the table has nothing."
  @spec stream(binary(), binary(), atom()) :: {:ok, Store.head()} | {:error, :not_found | term()}
  def stream(origin, stream, store \\ :sidekick_store) do
    case lookup(table(store, :streams), Paths.stream(origin, stream)) do
      {:ok, head} -> {:ok, Map.put(head, :stream, stream)}
      :miss -> Store.stream(origin, stream, store)
    end
  end

  @doc "As `Sidekick.Store.state_value/4`, from the table; reads the tree where the table has nothing."
  @spec state_value(binary(), binary(), binary(), atom()) :: {:ok, term()} | {:error, :not_found | term()}
  def state_value(origin, scope, key, store \\ :sidekick_store) do
    with :miss <- lookup(table(store, :state), Paths.scope(origin, scope) ++ [key]),
         do: Store.state_value(origin, scope, key, store)
  end

  # A miss says nothing: the table may be absent, or still being filled.
  defp lookup(table, path) do
    case :ets.lookup(table, path) do
      [{_path, value}] -> {:ok, value}
      [] -> :miss
    end
  rescue
    ArgumentError -> :miss
  end

  defp remove(_store, []), do: :ok

  defp remove(store, names) do
    with {:ok, _} <- :khepri.unregister_projections(store, names), do: :ok
  end

  defp register(store, kind) do
    entry = fn path, value -> {path, value} end
    projection = :khepri_projection.new(table(store, kind), entry, %{type: :set, read_concurrency: true})
    :khepri.register_projection(store, @patterns[kind], projection)
  end

  defp table(:sidekick_store, :streams), do: :sidekick_store_streams
  defp table(:sidekick_store, :state), do: :sidekick_store_state
  defp table(store, kind), do: :"#{store}_#{kind}"
end
