# What scripts/cluster asks of its nodes: `NODES wait | status | isolate N | rejoin N`. Run by it, with its cookie and port mapper.

defmodule Cluster do
  alias Sidekick.Store

  @patience_ms 90_000
  @isolated :isolated

  def main([nodes | request]) do
    nodes = nodes |> String.split(",") |> Enum.map(&String.to_atom/1)

    case request do
      ["wait"] -> wait(nodes, System.monotonic_time(:millisecond) + @patience_ms)
      ["status"] -> Enum.each(nodes, &IO.puts("    " <> status(&1)))
      ["isolate", n] -> cut(nodes, String.to_integer(n), @isolated)
      ["rejoin", n] -> cut(nodes, String.to_integer(n), Node.get_cookie())
    end
  end

  defp wait(nodes, deadline) do
    missing = Enum.reject(nodes, &is_pid(call(&1, Process, :whereis, [Sidekick.Ingest])))

    cond do
      missing == [] ->
        :ok

      System.monotonic_time(:millisecond) > deadline ->
        IO.puts(:stderr, "error: not serving: #{Enum.join(missing, ", ")}")
        System.halt(1)

      true ->
        # Other processes start, and nothing tells when they have.
        Process.sleep(100)
        wait(nodes, deadline)
    end
  end

  defp status(node) do
    with pid when is_pid(pid) <- call(node, Process, :whereis, [Sidekick.Ingest]),
         {:ok, status} <- call(node, Store.Cluster, :status, []) do
      quorum = call(node, Store.Watch, :quorum, [])
      connected = Enum.map_join(status.connected, " ", &short/1)

      "#{node} #{status.state}, applied #{status.last_applied}, members #{length(status.members)}, " <>
        "reaches #{connected}, majority #{quorum}, store #{status.uuid}"
    else
      nil -> "#{node} does not serve yet"
      {:away, reason} -> "#{node} is away (#{inspect(reason)})"
      {:error, reason} -> "#{node} serves nothing: #{inspect(reason)}, majority #{inspect(call(node, Store.Watch, :quorum, []))}"
    end
  end

  # The node refuses the others' cookie, and sends them one that they refuse.
  defp cut(nodes, n, cookie) do
    node = Enum.at(nodes, n - 1)

    for other <- nodes -- [node] do
      true = call(node, Node, :set_cookie, [other, cookie])
      if cookie == @isolated, do: call(node, Node, :disconnect, [other])
    end

    IO.puts("    " <> status(node))
  end

  defp short(node), do: node |> Atom.to_string() |> String.split("@") |> hd()

  defp call(node, module, function, arguments) do
    :erpc.call(node, module, function, arguments, 10_000)
  rescue
    error in ErlangError -> {:away, error.original}
  catch
    :exit, reason -> {:away, reason}
  end
end

Cluster.main(System.argv())
