defmodule Servers do
  @moduledoc "The servers that are compared, each an operating system process of its own with a registered process `echo`."

  alias Story.{Os, Wait}

  defstruct [:id, :title, :node, :process, :os_pid]

  @titles [
    beam: "BEAM GenServer",
    sidekick: "sidekick",
    bare: "sidekick, monitors off",
    ei: "C `ei`, blocking loop (has no monitors)"
  ]

  @doc "Starts all servers and connects to them."
  def start(stage) do
    {:ok, _} = :net_kernel.start(:"load@127.0.0.1", %{name_domain: :longnames, hidden: true})
    Node.set_cookie(String.to_atom(stage.cookie))
    for {id, title} <- @titles, do: start(stage, id, title)
  end

  defp start(stage, id, title) do
    node = :"#{id}@127.0.0.1"
    os_pid = Os.start(stage.dir, to_string(id), command(id, node, stage))
    await(stage, id, "serving")
    Wait.until("a connection to #{node}", 10_000, fn -> Node.connect(node) == true end)
    server = %__MODULE__{id: id, title: title, node: node, process: {:echo, node}, os_pid: os_pid}
    7 = GenServer.call(server.process, {:echo, 7})
    server
  end

  defp command(:beam, node, stage) do
    ~w(elixir --erl) ++
      ["-start_epmd false"] ++
      ~w(--hidden --name #{node} --cookie #{stage.cookie} #{stage.repository}/benches/peers/beam_server.exs)
  end

  defp command(:sidekick, node, stage), do: [stage.server, "serve", to_string(node), stage.cookie, "on"]
  defp command(:bare, node, stage), do: [stage.server, "serve", to_string(node), stage.cookie, "off"]
  defp command(:ei, _node, stage), do: [stage.ei, "ei", "127.0.0.1", stage.cookie]

  @doc "What a fresh server of ours takes: without peers, and for each of many that are silent."
  def memory(stage, peers) do
    name = "idle#{System.unique_integer([:positive])}"
    os_pid = Os.start(stage.dir, name, command(:sidekick, :"#{name}@127.0.0.1", stage))
    await(stage, name, "serving")
    alone = rss(os_pid)
    hold = [stage.server, "hold", "#{name}@127.0.0.1", stage.cookie, to_string(peers)]
    holder = Os.start(stage.dir, "#{name}_peers", hold)
    await(stage, "#{name}_peers", "holding #{peers}")
    together = rss(os_pid)

    for pid <- [holder, os_pid] do
      Os.signal(pid, "TERM")
      Os.await_end(pid, 5_000)
    end

    %{alone: alone, per_peer: (together - alone) / peers}
  end

  defp rss(os_pid), do: Os.usage(os_pid).rss_bytes

  # A server says on its standard output that it is ready.
  defp await(stage, name, word) do
    log = Path.join([stage.dir, "logs", "#{name}.log"])
    Wait.until("#{name} to say #{word}", 30_000, fn -> File.read!(log) =~ word end)
  end
end
