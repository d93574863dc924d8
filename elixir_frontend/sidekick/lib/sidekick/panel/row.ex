defmodule Sidekick.Panel.Row do
  @moduledoc """
  What of a server or sidekick a list is searched, filtered and sorted by: small, so that a page may read all rows of a large fleet
  for each view and then only the few whole ones that it shows.
  """

  alias Sidekick.Panel.{Attention, Format, Host, Server}

  @calm 1_000

  @enforce_keys [:key, :name, :node]
  defstruct [
    :key,
    :name,
    :node,
    :state,
    :players,
    :frame_ms,
    :memory,
    :lag,
    :since_ms,
    restarts: 0,
    servers: 0,
    rank: @calm,
    text: ""
  ]

  @type t :: %__MODULE__{key: term(), name: String.t(), node: String.t(), rank: pos_integer(), text: String.t()}

  @doc "Of a server, with its reasons for attention."
  @spec of_server(Server.t(), [Attention.reason()]) :: t()
  def of_server(%Server{key: {node, id}} = server, reasons) do
    %__MODULE__{
      key: server.key,
      name: id,
      node: Atom.to_string(node),
      state: server.state,
      players: Server.figure(server, :players),
      frame_ms: Server.figure(server, :frame_ms),
      memory: Server.memory(server),
      lag: server.lag,
      since_ms: server.since_ms,
      restarts: Server.restarts(server),
      rank: rank(reasons),
      text: searched([id, node, server.state, server.status[:problem] | Enum.map(reasons, & &1.code)])
    }
  end

  @doc "Of a sidekick, with how many servers it has."
  @spec of_host(Host.t(), [Attention.reason()], non_neg_integer()) :: t()
  def of_host(%Host{node: node} = host, reasons, servers) do
    name = Atom.to_string(node)
    text = searched([name, host.state, host.info[:version], host.info[:origin] | Enum.map(reasons, & &1.code)])

    %__MODULE__{
      key: node,
      name: name,
      node: name,
      state: host.state,
      lag: Host.lag(host),
      memory: Host.buffer(host)[:bytes],
      since_ms: host.since_ms,
      servers: servers,
      rank: rank(reasons),
      text: text
    }
  end

  @doc "Whether nothing is wrong with it."
  @spec calm?(t()) :: boolean()
  def calm?(%__MODULE__{rank: rank}), do: rank == @calm

  defp rank([]), do: @calm
  defp rank(reasons), do: reasons |> Enum.map(& &1.rank) |> Enum.min()

  defp searched(parts) do
    parts
    |> Enum.reject(&is_nil/1)
    |> Enum.map_join(" ", &Format.text(&1, 200))
    |> String.replace("_", " ")
    |> String.downcase()
  end
end
