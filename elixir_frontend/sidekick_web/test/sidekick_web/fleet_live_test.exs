defmodule SidekickWeb.FleetLiveTest do
  use SidekickWeb.Test.Case, async: false

  defp rows(view),
    do:
      view |> render() |> LazyHTML.from_document() |> LazyHTML.query("tbody tr th.name a") |> Enum.map(&LazyHTML.text/1)

  test "servers are listed, searched, filtered, sorted and paged, all of it in the address" do
    start_hub!()
    tell(fleet(3, 20))
    view = page!("viewer", "/")
    assert has_element?(view, "nav.pager", "1–50 of 60 servers")
    assert length(rows(view)) == 50
    assert has_element?(view, ".totals dd", "60")

    view |> element("nav.pager a", "after") |> render_click()
    assert_patch(view, "/?page=2")
    assert length(rows(view)) == 10

    view |> form("#filters", %{q: "s7"}) |> render_change()
    assert_patch(view, "/?q=s7")
    assert rows(view) == ["s7", "s7", "s7"]
    view |> element("thead a", "Players") |> render_click()
    assert_patch(view, "/?q=s7&sort=players")
    assert has_element?(view, "th[aria-sort=descending]", "Players")
    view |> form("#filters", %{state: "quarantined"}) |> render_change()
    assert has_element?(view, ".notice", "Nothing fits the search.")

    {:ok, sent, _} = "viewer" |> browser() |> live("/?q=s7&sort=memory&per=25&state=running")
    assert rows(sent) == ["s7", "s7", "s7"]
    [node | _] = nodes(3)
    {:ok, one, _} = "viewer" |> browser() |> live("/?node=#{node}")
    assert length(rows(one)) == 20
    # Nothing of an address can break it.
    {:ok, _, _} = "viewer" |> browser() |> live("/?sort=drop&page=-4&per=1e9&state=running'&node=%00")
  end

  test "what happens is shown by its event, first what is worst, and goes again" do
    start_hub!()
    tell(fleet(2, 3))
    [node | _] = nodes(2)
    view = page!("viewer", "/")
    refute has_element?(view, ".attention")
    tell([{:event, node, event(:quarantined, "s2", restarts: 3, seconds: 5)}])
    shows(view, ".attention li.bad", "quarantined")
    shows(view, "tbody tr:first-child .state.bad", "quarantined")
    assert has_element?(view, ".attention .todo", "Read its last crash, mend the cause, then release it.")
    assert hd(rows(view)) == "s2"
    view |> form("#filters", %{troubled: "1"}) |> render_change()
    assert rows(view) == ["s2"]
    tell([{:event, node, event(:state, "s2", state: :running, at_ms: start_ms() + 9)}])
    shows(view, ".notice", "Nothing fits the search.")
    refute has_element?(view, ".attention li.bad")
  end

  test "a sidekick that is away is shown as it was; a lost majority and a hub that is not there are told" do
    start_hub!()
    tell(fleet(2, 1))
    [node | _] = nodes(2)
    view = page!("viewer", "/sidekicks")
    assert rows(view) == Enum.map(nodes(2), &Atom.to_string/1)
    tell([{:down, node}])
    shows(view, "tbody .state.bad", "offline")
    shows(view, ".attention", "Its games play on without it.")
    tell([{:store, %{quorum: :lost, members: [:a@b, :c@d, :e@f], streams: []}}])
    shows(view, ".bar.error", "The store has lost its majority")
    stop_supervised!(Hub)
    shows(view, ".notice", "The panel's model is starting.")
    start_hub!()
    shows(view, ".notice", "No sidekick is known yet.")
    tell(fleet(1, 1))
    shows(view, "tbody .state.good", "up")
  end

  test "several at once: an operator is asked, may think better of it, and is told what failed" do
    start_hub!()
    tell(fleet(2, 2))
    view = page!("operator", "/")
    assert has_element?(view, ".bulk button[disabled]", "Restart")
    view |> element("thead input[type=checkbox]") |> render_click()
    assert has_element?(view, ".bulk", "4 selected")
    view |> element("tbody tr:first-child input[type=checkbox]") |> render_click()
    assert has_element?(view, ".bulk", "3 selected")

    view |> element(".bulk button", "Drain") |> render_click()
    shows(view, "dialog", "Drain 3 servers? No new players come")
    view |> element("dialog button", "Cancel") |> render_click()
    refute has_element?(view, "dialog")

    view |> element(".bulk button", "Restart") |> render_click()
    shows(view, "dialog li", "s2 on #{hd(nodes(2))}")
    view |> element("dialog form") |> render_submit()
    # Nobody answers for the story's nodes: each failure is told, and is in the audit.
    shows(view, ".flashes .error", "Restart 3 servers: 3 of 3 failed.")
    assert has_element?(view, ".flashes .error", "s1 on #{List.last(nodes(2))}, s2 on #{List.last(nodes(2))}: ")
    assert {:ok, [%{action: :restart, who: "operator", outcome: :failed} | _]} = Audit.list()
    view |> element(".flashes .error button") |> render_click()
    refute has_element?(view, ".flashes .error")
  end

  test "a viewer's buttons are off, and what a viewer sends all the same is refused on the server and audited" do
    start_hub!()
    tell(fleet(1, 1))
    [node] = nodes(1)
    view = page!("viewer", "/")
    assert has_element?(view, ".bulk button[disabled][title='needs the role operator']", "Restart")

    for kind <- ~w(start stop drain restart kill release) do
      render_click(view, "act", %{"kind" => kind, "node" => to_string(node), "id" => "s1"})
      shows(view, ".flashes .error", "#{String.capitalize(kind)} s1 on #{node}: needs the role operator.")
      assert {:ok, [%{who: "viewer"} | _]} = Audit.list(outcome: :denied, target: "s1 on #{node}")
    end

    for params <- [
          %{"kind" => "reload", "node" => to_string(node)},
          %{"kind" => "forget_sink", "node" => to_string(node), "id" => "khepri"}
        ] do
      render_click(view, "act", params)
      shows(view, ".flashes .error", "needs the role admin.")
    end

    refute has_element?(view, "dialog")
    operator = page!("operator", "/")
    render_click(operator, "act", %{"kind" => "reload", "node" => to_string(node)})
    shows(operator, ".flashes .error", "needs the role admin.")
    assert has_element?(page!("admin", "/sidekicks"), "tbody button:not([disabled])", "Reload")
  end

  test "what no page sends is refused, and breaks nothing" do
    start_hub!()
    tell(fleet(1, 1))
    [node] = nodes(1)
    view = page!("admin", "/")

    for params <- [
          %{},
          %{"kind" => "rm"},
          %{"kind" => "kill", "node" => "no@such", "id" => "x"},
          %{"kind" => "view", "node" => to_string(node)}
        ] do
      render_click(view, "act", params)
      shows(view, ".flashes .error", "That is no action of this panel.")
    end

    render_click(view, "confirm", %{"token" => "forged"})
    refute has_element?(view, "dialog")
    render_click(view, "select", %{"node" => "no@such", "id" => "x"})
    render_click(view, "nonsense", %{"a" => ["b"]})
    assert has_element?(view, ".bulk", "0 selected")
  end

  test "2,000 servers: a page is its rows, not the fleet" do
    start_hub!()
    tell(fleet(200, 10))
    eventually(fn -> match?(%{servers: %{running: 2_000}}, Panel.totals()) end)
    {:ok, view, html} = "viewer" |> browser() |> live("/?per=200")
    assert has_element?(view, "nav.pager", "of 2\u202F000 servers")
    assert length(rows(view)) == 200
    # What the whole first answer weighs for two hundred rows, and what the page's process keeps.
    assert byte_size(html) < 600_000
    {:memory, bytes} = Process.info(view.pid, :memory)
    assert bytes < 20_000_000
  end
end
