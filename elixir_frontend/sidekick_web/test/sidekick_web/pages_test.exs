defmodule SidekickWeb.PagesTest do
  use SidekickWeb.Test.Case, async: false

  doctest SidekickWeb.Slice
  doctest SidekickWeb.Password

  setup do
    start_hub!()
    tell(fleet(2, 3))
    %{node: hd(nodes(2))}
  end

  test "a server: its figures, charts, what happened as it happens, and crashes that lead to their bundles", %{
    node: node
  } do
    view = page!("viewer", "/servers/#{node}/s1")
    assert has_element?(view, "h1", "s1")
    assert has_element?(view, ".facts dd", "17 ms")
    assert view |> render() |> LazyHTML.from_document() |> LazyHTML.query("figure.chart") |> Enum.count() == 4
    assert has_element?(view, "figure svg[aria-label^='Frame time: last 17 ms']")
    assert has_element?(view, ".empty", "No crash is known.")

    tell(for event <- life("s1", 4, start_ms() + 10), do: {:event, node, event})
    shows(view, ".timeline a[href='/crashes/#{node}/s1/4']")
    shows(view, ".timeline li", "plays from tick 7")
    assert has_element?(view, ".attention li.note") or has_element?(view, ".state", "running")

    # What concerns another server is not looked at.
    tell([{:event, node, event(:quarantined, "s2", restarts: 3, seconds: 5)}])
    refute has_element?(view, ".state.bad")
    tell([{:down, node}])
    shows(view, ".notice.stale", "cannot be reached; this is from")
    assert has_element?(view, ".actions button[disabled][title='needs the role operator']", "Restart")

    tell([{:forgotten, node}])
    shows(view, ".notice.error", "No such server is known.")
  end

  test "what cannot be read is told with what to do: log, state, bundle of a sidekick that does not answer", %{
    node: node
  } do
    log = page!("viewer", "/servers/#{node}/s1/log")
    shows(log, ".notice.error", "Its log cannot be read: #{node} is not connected")
    state = page!("viewer", "/servers/#{node}/s1/state")
    shows(state, ".notice.error", "Its state cannot be read")
    crash = page!("viewer", "/crashes/#{node}/s1/4")
    shows(crash, ".notice.error", "The bundle lies on the game's machine and cannot be read now")

    for path <- ["/servers/no@such/x", "/servers/#{node}/nope", "/servers/x/y/log", "/servers/no@such/x/state"] do
      view = page!("viewer", path)
      shows(view, ".notice.error", "No such server is known.")
      render_click(view, "pause", %{})
      render_click(view, "load_state", %{})
      render_click(view, "search_log", %{"q" => "x"})
    end

    for path <- ["/crashes/no@such/x/1", "/crashes/#{node}/s1/zero", "/crashes/#{node}/s1/-1"],
        do: shows(page!("viewer", path), ".notice.error", "No such crash is known.")
  end

  test "crashes of all servers, searched and paged", %{node: node} do
    view = page!("viewer", "/crashes")
    shows(view, ".notice.empty", "No crash is known.")
    tell(for(n <- 1..60, event <- life("s1", n, start_ms() + n * 10), do: {:event, node, event}))
    shows(view, "nav.pager", "1–50 of 60 crashes")
    view |> element("nav.pager a", "after") |> render_click()
    assert_patch(view, "/crashes?page=2")
    view |> form("#filters", %{q: "main.gd:17"}) |> render_change()
    assert_patch(view, "/crashes?q=main.gd%3A17")
    assert has_element?(view, "nav.pager", "1–1 of 1 crashes")
    view |> form("#filters", %{q: "nothing like it"}) |> render_change()
    assert has_element?(view, ".notice", "Nothing fits the search.")
  end

  test "streams and sinks, those that lag most first; members of the store; a sink that halted", %{node: node} do
    [_, other] = nodes(2)

    tell([
      {:answers, other, answers(["s1"], last: 9_000, cursor: 10, sink_state: :halted, sink_error: "another store")}
    ])

    view = page!("operator", "/store")
    shows(view, "#sinks-title ~ .scroll tbody tr:first-child", "another store")
    sink = "#sinks-title ~ .scroll tbody tr:first-child"
    for part <- ["8\u202F990", "877.9 KiB", "44s"], do: assert(has_element?(view, sink <> " td.number", part))
    assert has_element?(view, sink <> " td.bad", "halted")

    # One that refuses some state goes on, so that it is not bad; its dead letters are.
    refused = [sink_state: :idle, sink_error: "the sink refuses the state of s1", dead: 3, refused: ["s1"]]
    tell([{:answers, other, answers(["s1"], [last: 9_000, cursor: 10] ++ refused)}])
    shows(view, sink <> " .refused", "State of s1 waits.")
    assert has_element?(view, sink <> " td.number.bad", "3")
    refute has_element?(view, sink <> " td.bad", "idle")
    assert has_element?(view, "#streams-title ~ .scroll tbody tr:first-child", "8\u202F990")
    assert has_element?(view, "nav.pager", "of 4 streams")

    tell([
      {:store, %{quorum: :lost, uuid: "u-1", members: [%{node: :a@b, connected: false, leader: false}], streams: []}}
    ])

    shows(view, ".quorum.lost", "lost")
    assert has_element?(view, ".members", "a@b, not connected")
    view |> form("#filters", %{q: to_string(node)}) |> render_change()
    assert has_element?(view, "nav.pager", "of 3 streams")

    # To give up the place of a sink that the configuration no longer has is an admin's.
    refute has_element?(view, ".acts button", "Forget")

    tell([
      {:answers, other, answers(["s1"], last: 9_000, cursor: 10, sink_state: :removed, sink_error: "not configured")}
    ])

    view |> form("#filters", %{q: ""}) |> render_change()
    shows(view, sink <> " td.bad", "removed")
    assert has_element?(view, ".acts button[disabled][title='needs the role admin']", "Forget")
    admin = page!("admin", "/store")
    admin |> element("#sinks-title ~ .scroll tbody tr:first-child button", "Forget") |> render_click()
    shows(admin, "dialog", "Forget sink khepri on #{other}? What that sink lacks may be trimmed")
    admin |> element("dialog form") |> render_submit()
    shows(admin, ".flashes .error", "#{other} is not connected; whether it was done is unknown.")
  end

  test "the audit: what was done is there by itself, filtered; and it is an operator's to read", %{node: node} do
    who = "somebody-#{System.unique_integer([:positive])}"
    view = page!("operator", "/audit?who=#{who}")
    shows(view, ".notice", "Nothing fits the search.")
    entry = %{who: who, role: :operator, action: :kill, target: "s1 on #{node}", outcome: :ok, detail: ""}
    :ok = Audit.write(entry)
    shows(view, "tbody tr", who)
    :ok = Audit.write(%{entry | outcome: :failed, target: "s2 on #{node}"})
    shows(view, "nav.pager", "1–2 of 2 entries")
    view |> form("#filters", %{outcome: "failed"}) |> render_change()
    shows(view, "nav.pager", "1–1 of 1 entries")
    assert has_element?(view, "tbody .outcome.failed")

    viewer = page!("viewer", "/audit")
    assert has_element?(viewer, ".notice.error", "The audit needs the role operator.")
    refute has_element?(viewer, "tbody")
    refute has_element?(viewer, "nav a", "Audit")
  end

  test "names that are long or strange break nothing and are no markup", %{node: node} do
    evil = "<img src=x onerror=alert(1)>" <> String.duplicate("w", 200)
    tell([{:answers, node, answers([evil, "a b/c?d#e"])}])
    view = page!("viewer", "/")
    shows(view, "tbody th a[title^='<img']")
    refute render(view) =~ "<img src=x"
    view |> element("tbody th a", "a b/c?d#e") |> render_click()
    {path, _} = assert_redirect(view)
    assert has_element?(page!("viewer", path), "h1", "a b/c?d#e")
  end
end
