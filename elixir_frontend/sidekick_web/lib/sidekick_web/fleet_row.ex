defmodule SidekickWeb.FleetRow do
  @moduledoc "A row of the fleet's lists: what is shown of a server or sidekick, and nothing else, so that a page stays small."

  alias Sidekick.Panel.{Format, Host, Ring, Server}

  @samples 30

  @doc "The row of what `Sidekick.Panel.servers/2` or `sidekicks/2` lists."
  @spec of({map(), struct(), [map()]}) :: map()
  def of({row, %Server{} = server, reasons}) do
    %{
      key: server.key,
      name: row.name,
      node: row.node,
      state: server.state,
      old: server.remembered_ms != nil,
      since_ms: server.since_ms,
      players: Format.count(row.players),
      frame: Format.unit(row.frame_ms, "ms"),
      frames: recent(server.samples, :frame_ms),
      memory: Format.bytes(row.memory),
      lag: Format.count(row.lag),
      lags: recent(server.samples, :lag),
      restarts: Format.count(row.restarts),
      reason: reason(reasons)
    }
  end

  def of({row, %Host{} = host, reasons}) do
    buffer = Host.buffer(host)

    %{
      key: host.node,
      name: row.name,
      state: host.state,
      old: host.remembered_ms != nil,
      since_ms: host.since_ms,
      seen_ms: host.seen_ms || host.remembered_ms,
      version: Format.text(host.info[:version], 40),
      servers: Format.count(row.servers),
      buffer: Format.bytes(buffer[:bytes]),
      share: Format.share(buffer[:bytes], buffer[:max_bytes]),
      rate: Format.rate(Host.rate(host)),
      lag: Format.count(row.lag),
      lags: recent(host.samples, :lag),
      reason: reason(reasons)
    }
  end

  defp reason([]), do: nil
  defp reason([%{code: code, sentence: sentence} | _]), do: {Format.words(code), sentence}

  defp recent(ring, column), do: ring |> Ring.series(column) |> Enum.take(-@samples)
end
