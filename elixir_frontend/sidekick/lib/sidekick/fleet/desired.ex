defmodule Sidekick.Fleet.Desired do
  @moduledoc false
  # What should run where, in the store; and what the fleet put where, so that it takes away nothing else.
  #
  #     [:sidekick, :fleet, node, id]            %Sidekick.Fleet.Spec{} as a map
  #     [:sidekick, :fleet_applied, node, id]    fingerprint
  #
  # Nodes are atoms that an operator wrote, ids are binaries.

  alias Sidekick.Fleet.Spec
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
    with :ok <- :khepri.delete(store, [:sidekick, :fleet, node, id], %{timeout: 8_000}),
         do: Watch.changed({:fleet, node}, store)
  end

  @doc "Everything that is wanted: `%{node => %{id => spec}}`."
  @spec all(atom()) :: {:ok, %{node() => %{binary() => Spec.t()}}} | {:error, term()}
  def all(store), do: by_node(store, :fleet, &struct(Spec, &1))

  @doc "Everything that was applied: `%{node => %{id => fingerprint}}`."
  @spec applied(atom()) :: {:ok, %{node() => %{binary() => binary()}}} | {:error, term()}
  def applied(store), do: by_node(store, :fleet_applied, & &1)

  @doc "Remembers what was applied."
  @spec put_applied(atom(), node(), binary(), binary()) :: :ok | {:error, term()}
  def put_applied(store, node, id, fingerprint),
    do: write(store, [:sidekick, :fleet_applied, node, id], fingerprint)

  @doc "Forgets that it was applied."
  @spec delete_applied(atom(), node(), binary()) :: :ok | {:error, term()}
  def delete_applied(store, node, id),
    do: :khepri.delete(store, [:sidekick, :fleet_applied, node, id], %{timeout: 8_000})

  defp write(store, path, value), do: :khepri.put(store, path, value, %{timeout: 8_000})

  defp by_node(store, kind, read) do
    with {:ok, found} <- :khepri.get_many(store, [:sidekick, kind, @any, @any]) do
      {:ok,
       Enum.reduce(found, %{}, fn {[_, _, node, id], value}, all ->
         Map.update(all, node, %{id => read.(value)}, &Map.put(&1, id, read.(value)))
       end)}
    end
  end
end
