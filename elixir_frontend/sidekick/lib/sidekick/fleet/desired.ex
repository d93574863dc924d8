defmodule Sidekick.Fleet.Desired do
  @moduledoc false
  # What should run where, in the store; and what the fleet put where, so that it takes away nothing else.
  #
  #     [:sidekick, :fleet, node, id]            %Sidekick.Fleet.Spec{} as a map
  #     [:sidekick, :fleet_applied, node, id]    fingerprint
  #
  # Nodes are atoms that an operator wrote, ids are binaries.

  alias Sidekick.Fleet.Spec
  alias Sidekick.Store
  alias Sidekick.Store.Watch

  @any {:if_name_matches, :any, :undefined}

  @doc "Wants a server on a node."
  @spec put(atom(), node(), Spec.t()) :: :ok | {:error, term()}
  def put(store, node, %Spec{} = spec) do
    with :ok <- write(store, [:sidekick, :fleet, node, spec.id], Map.from_struct(spec)),
         do: Watch.changed({:fleet, node}, store)
  end

  @doc "Wants it no more."
  @spec delete(atom(), node(), binary()) :: :ok | {:error, term()}
  def delete(store, node, id) do
    with :ok <- remove(store, [:sidekick, :fleet, node, id]),
         do: Watch.changed({:fleet, node}, store)
  end

  @doc "Everything that is wanted: `%{node => %{id => spec}}`."
  @spec all(atom()) :: {:ok, %{node() => %{binary() => Spec.t()}}} | {:error, term()}
  def all(store), do: by_node(store, :fleet, &struct(Spec, &1))

  @doc "Everything that was applied: `%{node => %{id => fingerprint}}`."
  @spec applied(atom()) :: {:ok, %{node() => %{binary() => binary()}}} | {:error, term()}
  def applied(store), do: by_node(store, :fleet_applied, & &1)

  @doc "What was applied of one, or `nil`."
  @spec applied(atom(), node(), binary()) :: {:ok, binary() | nil} | {:error, term()}
  def applied(store, node, id) do
    with {:error, :not_found} <- Store.read(store, [:sidekick, :fleet_applied, node, id]), do: {:ok, nil}
  end

  @doc "Remembers what was applied."
  @spec put_applied(atom(), node(), binary(), binary()) :: :ok | {:error, term()}
  def put_applied(store, node, id, fingerprint),
    do: write(store, [:sidekick, :fleet_applied, node, id], fingerprint)

  @doc "Forgets that it was applied."
  @spec delete_applied(atom(), node(), binary()) :: :ok | {:error, term()}
  def delete_applied(store, node, id),
    do: remove(store, [:sidekick, :fleet_applied, node, id])

  @doc "Forgets a node altogether; that it once uploaded too, else it would be known again."
  @spec forget(atom(), node()) :: :ok | {:error, term()}
  def forget(store, node) do
    Enum.find_value([:fleet, :fleet_applied, :nodes], :ok, fn kind ->
      with :ok <- remove(store, [:sidekick, kind, node]), do: nil
    end)
  end

  defp write(store, path, value), do: Store.asked(fn -> :khepri.put(store, path, value, %{timeout: 8_000}) end)
  defp remove(store, path), do: Store.asked(fn -> :khepri.delete(store, path, %{timeout: 8_000}) end)

  defp by_node(store, kind, read) do
    with {:ok, found} <- Store.asked(fn -> :khepri.get_many(store, [:sidekick, kind, @any, @any]) end) do
      {:ok,
       Enum.reduce(found, %{}, fn {[_, _, node, id], value}, all ->
         Map.update(all, node, %{id => read.(value)}, &Map.put(&1, id, read.(value)))
       end)}
    end
  end
end
