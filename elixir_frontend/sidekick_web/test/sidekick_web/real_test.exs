defmodule SidekickWeb.RealTest do
  # The pages beside the real sidekick and its real process.
  use SidekickWeb.Test.Case, async: false

  alias Sidekick.Test.Binary

  @moduletag :integration
  @moduletag timeout: 120_000

  setup do
    # Done last, when nobody is there to announce itself again: other tests tell of fleets of their own.
    on_exit(fn ->
      for %{node: node} <- Sidekick.Nodes.list(), do: Sidekick.Nodes.remove(node)
      for path <- [[:sidekick, :nodes], [:sidekick, :panel, :seen]], do: :khepri.delete(:sidekick_store, path)
    end)

    %{node: node} = sidekick = Binary.start!()
    Sidekick.Nodes.add(node)
    start_hub!(connector: Sidekick.Connector, sample_ms: 200)
    eventually(fn -> match?({_, %{state: :running}, _}, Panel.server(node, "lobby")) end)
    %{sidekick: sidekick, node: node}
  end

  defp os_pid(node), do: with({_, %{status: %{os_pid: pid}}, _} <- Panel.server(node, "lobby"), do: pid)

  test "a crash is on the page by itself, its bundle is read and copied, and the same crash is known again", %{
    node: node
  } do
    view = page!("viewer", "/servers/#{node}/lobby")
    shows(view, ".state.good", "running")
    {_, 0} = System.cmd("sh", ["-c", "kill -SEGV #{os_pid(node)}"])
    shows(view, ".timeline a[href='/crashes/#{node}/lobby/1']")
    shows(view, ".state.good", "running")
    shows(view, ".attention li.note", "and plays again")
    {_, 0} = System.cmd("sh", ["-c", "kill -SEGV #{os_pid(node)}"])
    shows(view, ".timeline a[href='/crashes/#{node}/lobby/2']")

    crash = page!("viewer", "/crashes/#{node}/lobby/2")
    shows(crash, ".sentence", "It was ended by signal SIGSEGV")
    assert has_element?(crash, ".same", "The same happened 1 more time")
    assert has_element?(crash, "pre", "hello from the lobby")
    assert has_element?(crash, "textarea", "## Crash 2 of lobby")
    shows(page!("viewer", "/crashes/#{node}/lobby/99"), ".notice.error", "is not there any more")
  end

  test "the log grows by itself, stands still, is searched, and goes on", %{node: node} do
    view = page!("viewer", "/servers/#{node}/lobby/log")
    shows(view, "#lines .line .text", "hello from the lobby")
    line = fn selector -> view |> render() |> LazyHTML.from_document() |> LazyHTML.query(selector) |> Enum.count() end
    before = line.("#lines .stdout")
    :ok = Sidekick.restart_server(node, "lobby")
    eventually(fn -> line.("#lines .stdout") == before + 1 end)

    view |> element("button", "Pause") |> render_click()
    :ok = Sidekick.restart_server(node, "lobby")
    shows(view, ".hint", "Paused.")
    eventually(fn -> render(view) =~ ~r/Paused\. \d+ lines wait/ end)
    assert line.("#lines .stdout") == before + 1
    view |> element("button", "Go on") |> render_click()
    eventually(fn -> line.("#lines .stdout") == before + 2 end)
    view |> form("#log-search", %{q: "no line has this"}) |> render_change()
    assert line.("#lines .line") == 0
    view |> form("#log-search", %{q: "HELLO"}) |> render_change()
    assert line.("#lines .line") == before + 2

    # Whoever leaves the log is told no more of it.
    view |> element(".tabs a", "Overview") |> render_click()
    refute has_element?(view, "#lines")
  end

  test "the log goes on after its sidekick was away", %{sidekick: sidekick, node: node} do
    view = page!("viewer", "/servers/#{node}/lobby/log")
    shows(view, "#lines .line .text", "hello from the lobby")
    count = fn -> view |> render() |> LazyHTML.from_document() |> LazyHTML.query("#lines .stdout") |> Enum.count() end
    before = count.()
    Binary.kill!(sidekick)
    shows(view, ".notice.stale", "cannot be reached")
    Binary.start!(dir: sidekick.dir, node: node)
    eventually(fn -> count.() == before + 1 end)
    # Told by an event now, and not only read once.
    :ok = Sidekick.restart_server(node, "lobby")
    eventually(fn -> count.() == before + 2 end)
  end

  test "state is read, searched, and read again", %{node: node} do
    view = page!("viewer", "/servers/#{node}/lobby/state")
    shows(view, ".notice.empty", "No state yet")
    :ok = Sidekick.put_state(node, "lobby", "world", %{"hp" => 7, "name" => "<b>x</b>"})
    view |> element("button", "Read again") |> render_click()
    shows(view, ".tree .value", "<b>x</b>")
    view |> form("#state-search", %{q: "hp"}) |> render_change()
    assert has_element?(view, ".tree .label", "hp")
    refute has_element?(view, ".tree .label", "name")
  end

  test "an operator restarts, drains, starts, kills: asked, done, told, shown and audited", %{node: node} do
    view = page!("operator", "/servers/#{node}/lobby")
    before = os_pid(node)

    # What sidekick says of a refusal is told in its own words, and audited as failed: nothing was done.
    view |> element(".actions button", "Drain") |> render_click()
    shows(view, "dialog", "Drain lobby on #{node}?")
    view |> element("dialog form") |> render_submit()
    shows(view, ".flashes .error", "lobby has no session to drain; stop it instead.")
    assert {:ok, [%{action: :drain, outcome: :failed} | _]} = Audit.list(target: to_string(node))

    for {button, done} <- [{"Restart", "running"}, {"Kill", "running"}, {"Stop", "stopped"}] do
      view |> element(".actions button:not([disabled])", button) |> render_click()
      shows(view, "dialog", "#{button} lobby on #{node}?")
      view |> element("dialog form") |> render_submit()
      shows(view, ".flashes .info", "#{button} lobby on #{node}: done.")
      shows(view, ".title .state", done)
    end

    assert os_pid(node) != before
    shows(view, ".timeline .kind-action", "stop by operator")
    # Nothing is lost by a start, so it is not asked for.
    shows(view, ".actions button:not([disabled])", "Start")
    view |> element(".actions button", "Start") |> render_click()
    shows(view, ".title .state", "running")
    kinds = for %{action: kind, outcome: :ok} <- elem(Audit.list(who: "operator", target: to_string(node)), 1), do: kind
    assert [:start, :stop, :kill, :restart] -- kinds == []
  end

  test "sidekick is lost: the page shows what was, and how old; it comes back", %{sidekick: sidekick, node: node} do
    view = page!("viewer", "/servers/#{node}/lobby")
    Binary.kill!(sidekick)
    shows(view, ".notice.stale", "#{node} cannot be reached; this is from")
    assert has_element?(view, ".state.old", "running?")
    assert has_element?(view, ".facts dd")
    Binary.start!(dir: sidekick.dir, node: node)
    shows(view, ".title .state:not(.old)", "running")
    refute has_element?(view, ".notice.stale")
  end

  test "a page that is closed leaves nothing half done", %{node: node} do
    view = page!("operator", "/")
    view |> element("tbody input[type=checkbox]") |> render_click()
    view |> element(".bulk button", "Restart") |> render_click()
    shows(view, "dialog", "Restart 1 server?")
    before = os_pid(node)
    view |> element("dialog form") |> render_submit()
    GenServer.stop(view.pid)
    eventually(fn -> os_pid(node) not in [nil, before] end)
    eventually(fn -> match?({:ok, [%{outcome: :ok, action: :restart} | _]}, Audit.list(target: "lobby on #{node}")) end)
  end

  test "a server that crashes again and again is quarantined, floods its log meanwhile, and is released", %{node: node} do
    # A node that allows commands beyond its configuration; the other one goes on.
    %{node: open} = Binary.start!(allow_start: "any")
    Sidekick.Nodes.add(open)
    script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo flood line $i; done; exit 3"
    options = %{command: ["sh", "-c", script], session: false, max_restarts: 1, max_seconds: 60, on_exit: "stop"}
    spec = %{id: :flood, start: {:godot, :start_link, [options]}, restart: :permanent}
    log = page!("viewer", "/servers/#{open}/flood/log")
    shows(log, ".notice.error", "No such server is known.")
    assert {:ok, _} = Supervisor.start_child(Sidekick.supervisor(open), spec)
    eventually(fn -> match?({_, %{state: :quarantined}, _}, Panel.server(open, "flood")) end)

    shows(log, ".title .state.bad", "quarantined")
    shows(log, "#lines .line .text", "flood line 20000")
    assert log |> render() |> LazyHTML.from_document() |> LazyHTML.query("#lines .line") |> Enum.count() <= 500
    {:memory, bytes} = Process.info(log.pid, :memory)
    assert bytes < 20_000_000

    view = page!("operator", "/servers/#{open}/flood")
    assert has_element?(view, ".attention .todo", "Read its last crash, mend the cause, then release it.")
    refute has_element?(view, ".actions button", "Start")
    view |> element(".actions button", "Release") |> render_click()
    shows(view, ".flashes .info", "Release flood on #{open}: done.")
    assert {:ok, [%{action: :release, outcome: :ok} | _]} = Audit.list(target: "flood on #{open}")
    assert {_, %{state: :running}, _} = Panel.server(node, "lobby")
  end
end
