defmodule Sidekick.Panel.Memory do
  @moduledoc """
  What the store remembers of each sidekick, so that a panel shows something of one that is away: its servers, sinks and streams as they
  were, and of when that is.

      [:sidekick, :panel, :seen, node]    the summary as a map; `node` as a binary

  A summary is bounded: #{500} servers, #{50} sinks, #{50} streams, #{200_000} bytes; what is over is left out and counted in `:left_out`.
  """

  alias Sidekick.Panel.{Format, Host, Server}

  @any {:if_name_matches, :any, :undefined}
  @servers_max 500
  @sinks_max 50
  @streams_max 50
  @bytes_max 200_000
  @status [:id, :state, :since_ms, :os_pid, :epoch, :restarts, :last_exit, :problem, :rss_bytes, :health]
  # Not the scopes that it refuses: their number and their texts are the games'.
  @sink [:name, :kind, :state, :lag_records, :lag_bytes, :lag_age_ms, :dead_letters, :error]
  @info [:version, :origin, :incarnation, :uptime_ms]
  @timeout_ms 5_000

  @type summary :: %{
          node: node(),
          at_ms: integer(),
          info: map(),
          servers: [map()],
          sinks: [map()],
          streams: [map()],
          left_out: non_neg_integer()
        }

  @doc "What is to be remembered of a sidekick and its servers."
  @spec summary(Host.t(), [Server.t()]) :: summary()
  def summary(%Host{} = host, servers) do
    servers = Enum.sort_by(servers, & &1.key)

    bounded(%{
      node: host.node,
      at_ms: host.seen_ms,
      info: host.info |> Map.take(@info) |> Map.put(:buffer, plain(Host.buffer(host))),
      servers: servers |> Enum.take(@servers_max) |> Enum.map(&status/1),
      sinks:
        host.sinks
        |> Enum.take(@sinks_max)
        |> Enum.map(&plain(Map.take(&1, @sink))),
      streams:
        host.streams
        |> Enum.take(@streams_max)
        |> Enum.map(&plain(Map.take(&1, [:name, :first, :last, :bytes, :cursors, :dropped]))),
      left_out: max(0, length(servers) - @servers_max)
    })
  end

  @doc "Remembers it."
  @spec write(summary(), atom()) :: :ok | {:error, term()}
  def write(%{node: node} = summary, store \\ :sidekick_store),
    do: :khepri.put(store, path() ++ [Atom.to_string(node)], summary, %{timeout: @timeout_ms})

  @doc "Forgets a sidekick that is gone for good."
  @spec forget(node(), atom()) :: :ok | {:error, term()}
  def forget(node, store \\ :sidekick_store),
    do: :khepri.delete(store, path() ++ [Atom.to_string(node)], %{timeout: @timeout_ms})

  @doc "Everything that is remembered."
  @spec all(atom()) :: {:ok, [summary()]} | {:error, term()}
  def all(store \\ :sidekick_store) do
    with {:ok, found} <- :khepri.get_many(store, path() ++ [@any]),
         do: {:ok, found |> Map.values() |> Enum.filter(&match?(%{node: _, at_ms: _}, &1)) |> Enum.sort_by(& &1.node)}
  end

  defp path, do: [:sidekick, :panel, :seen]

  defp status(%Server{key: {_node, id}, status: status, state: state, since_ms: since_ms}) do
    status |> Map.take(@status) |> plain() |> Map.merge(%{id: id, state: state, since_ms: since_ms})
  end

  # No pids, references or functions: they mean nothing later. No text without end: it came from a game.
  defp plain(%{} = map), do: for({key, value} <- map, into: %{}, do: {key, plain(value)})
  defp plain(list) when is_list(list), do: list |> Enum.take(50) |> Enum.map(&plain/1)
  defp plain(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> Enum.map(&plain/1) |> List.to_tuple()
  defp plain(text) when is_binary(text), do: Format.text(text, 300)
  defp plain(value) when is_atom(value) or is_number(value), do: value
  defp plain(_other), do: nil

  defp bounded(%{servers: servers} = summary) when servers != [] do
    if :erlang.external_size(summary) <= @bytes_max do
      summary
    else
      kept = Enum.take(servers, div(length(servers), 2))
      bounded(%{summary | servers: kept, left_out: summary.left_out + length(servers) - length(kept)})
    end
  end

  defp bounded(summary), do: summary
end
