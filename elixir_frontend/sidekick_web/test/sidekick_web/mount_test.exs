defmodule SidekickWeb.MountTest do
  # The panel in another application's router, with that one's own users, hub and session.
  use SidekickWeb.Test.Case, async: false

  alias SidekickWeb.{Forbidden, Mount}

  @endpoint SidekickWeb.Test.HostEndpoint

  defp operator, do: Plug.Test.init_test_session(build_conn(), %{"operator" => "olga"})

  test "it is there below its path, for who that application lets in" do
    start_hub!(name: :mounted_hub)
    tell(fleet(1, 2), :mounted_hub)
    {:ok, view, html} = live(operator(), "/ops/sidekick")
    assert has_element?(view, ".who", "olga")
    refute has_element?(view, ".who form")
    assert html =~ ~s(href="/ops/sidekick/assets/app.css?vsn=)
    assert get(build_conn(), "/ops/sidekick/assets/app.js").status == 200
    [node] = nodes(1)
    view |> element("tbody a", "s1") |> render_click()
    assert_redirect(view, "/ops/sidekick/servers/#{node}/s1")
    {:ok, server, _} = live(operator(), "/ops/sidekick/servers/#{node}/s1")
    server |> element(".actions button", "Restart") |> render_click()
    shows(server, "dialog", "Restart s1 on #{node}?")
    server |> element("dialog form") |> render_submit()
    shows(server, ".flashes .error", "is not connected")
    assert {:ok, [%{who: "olga", action: :restart} | _]} = Audit.list(who: "olga")
  end

  test "who is nobody there is refused" do
    assert_raise Forbidden, fn -> live(build_conn(), "/ops/sidekick") end
    assert Plug.Exception.status(%Forbidden{}) == 403
  end

  test "wrong options are told when the router is compiled" do
    assert_raise ArgumentError, ~r/unknown option :users/, fn -> Mount.options("/", users: []) end
    assert_raise ArgumentError, ~r/needs user:/, fn -> Mount.options("/", []) end
  end
end
