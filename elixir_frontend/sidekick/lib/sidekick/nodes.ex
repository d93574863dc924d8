defmodule Sidekick.Nodes do
  @moduledoc """
  The sidekick nodes this node keeps connected to (`Sidekick.Connector`).

      {:ok, ref, nodes} = Sidekick.Nodes.subscribe()

      receive do
        {:sidekick_node, :up, node, nil} -> ...
        {:sidekick_node, :down, node, reason} -> ...
      end
  """

  @default Sidekick.Connector

  @type entry :: %{node: node(), connected: boolean(), since_ms: non_neg_integer()}

  @doc "The configured nodes, and since when each is connected or not."
  @spec list(GenServer.server()) :: [entry()]
  def list(connector \\ @default), do: GenServer.call(connector, :list)

  @doc "Keeps connected to one more node."
  @spec add(node(), GenServer.server()) :: :ok
  def add(node, connector \\ @default) when is_atom(node), do: GenServer.call(connector, {:add, node})

  @doc "No longer tries to reach a node; an open connection stays."
  @spec remove(node(), GenServer.server()) :: :ok
  def remove(node, connector \\ @default) when is_atom(node), do: GenServer.call(connector, {:remove, node})

  @doc "Sends `{:sidekick_node, :up | :down, node, reason}` to `pid` until it ends; answers the nodes as they are now."
  @spec subscribe(pid(), GenServer.server()) :: {:ok, reference(), [entry()]}
  def subscribe(pid \\ self(), connector \\ @default), do: GenServer.call(connector, {:subscribe, pid})

  @doc "Ends a subscription."
  @spec unsubscribe(reference(), GenServer.server()) :: :ok
  def unsubscribe(ref, connector \\ @default), do: GenServer.call(connector, {:unsubscribe, ref})
end
