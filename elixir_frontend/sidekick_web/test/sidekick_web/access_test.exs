defmodule SidekickWeb.AccessTest do
  use SidekickWeb.Test.Case, async: false

  import ExUnit.CaptureLog

  alias SidekickWeb.{Gate, Password, Users}

  defp login(name, password, more \\ %{}),
    do: post(build_conn(), "/login", Map.merge(%{"name" => name, "password" => password}, more))

  test "without a login no page shows anything, and the login leads back to where one was going" do
    for path <- [
          "/",
          "/sidekicks",
          "/servers/a@b/c",
          "/servers/a@b/c/log",
          "/crashes",
          "/crashes/a@b/c/1",
          "/store",
          "/audit"
        ] do
      assert {:error, {:redirect, %{to: "/login" <> _}}} = live(build_conn(), path)
    end

    assert {:error, {:redirect, %{to: "/login?back=%2Fstore%3Fq%3Dx"}}} = live(build_conn(), "/store?q=x")
    assert build_conn() |> get("/login?back=/store") |> html_response(200) =~ ~s(name="back" value="/store")
    assert redirected_to(login("viewer", password("viewer"), %{"back" => "/store?q=x"})) == "/store?q=x"

    for evil <- ["//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", ["/x"]],
        do: assert(redirected_to(login("viewer", password("viewer"), %{"back" => evil})) == "/")
  end

  test "a wrong password, an unknown name and nonsense are refused, and what was tried is audited" do
    assert html_response(login("operator", "wrong"), 401) =~ "Name and password do not fit."

    assert {:ok, [%{action: :login, who: "operator", outcome: :denied} | _]} =
             Audit.list(outcome: :denied, who: "operator")

    assert html_response(login("nobody", password("viewer")), 401) =~ "do not fit"
    assert html_response(post(build_conn(), "/login", %{"name" => ["x"]}), 422) =~ "Type both"
    assert html_response(login("viewer", String.duplicate("x", 5_000)), 401)
    assert login("operator", password("operator")).status == 302
    assert {:ok, [%{action: :login, outcome: :ok} | _]} = Audit.list(who: "operator")
  end

  test "who floods the login keeps nobody out but itself" do
    from = fn address ->
      fn name, password ->
        post(%{build_conn() | remote_ip: address}, "/login", %{"name" => name, "password" => password})
      end
    end

    flood = from.({10, 0, 0, 1})
    for _ <- 1..100, do: flood.("operator", "wrong")
    assert flood.("admin", password("admin")).status == 429
    other = from.({10, 0, 0, 2})
    assert other.("operator", password("operator")).status == 302
    # Many addresses together are bounded too.
    statuses = for n <- 3..9, _ <- 1..9, do: from.({10, 0, 0, n}).("name", "wrong").status
    assert Enum.count(statuses, &(&1 == 401)) < 60 and List.last(statuses) == 429
  end

  test "guesses are counted: by name, by address and in all; a minute later it may be tried again" do
    for _ <- 1..10, do: assert(login("operator", "wrong").status == 401)
    conn = login("operator", password("operator"))
    assert html_response(conn, 429) =~ "Too many logins were tried."
    assert get_resp_header(conn, "retry-after") == ["60"]
    # Another name still may, until the address has tried too often.
    assert login("viewer", password("viewer")).status == 302
    for n <- 1..8, do: assert(login("name#{n}", "wrong").status == 401)
    assert login("admin", password("admin")).status == 429
    Gate.next()
    assert login("operator", password("operator")).status == 302
  end

  test "the cookie is sealed, out of reach for scripts, and only of https where the panel is" do
    conn = login("admin", password("admin"))
    [cookie] = get_resp_header(conn, "set-cookie")
    assert cookie =~ "HttpOnly" and cookie =~ "SameSite=Lax" and not (cookie =~ "secure")
    refute cookie =~ "admin" or Base.decode64!(Base.encode64(cookie)) =~ "\"name\""
    Application.put_env(:sidekick_web, :secure, true)
    on_exit(fn -> Application.put_env(:sidekick_web, :secure, false) end)
    conn = login("admin", password("admin"))
    assert ["__Host-sidekick=" <> rest] = get_resp_header(conn, "set-cookie")
    assert rest =~ "secure" and rest =~ "path=/"
    assert get_resp_header(conn, "strict-transport-security") != []
  end

  test "every answer says what a browser may do, and no page needs more" do
    start_hub!()
    conn = "admin" |> browser() |> get("/")
    [policy] = get_resp_header(conn, "content-security-policy")
    assert policy =~ "default-src 'none'" and policy =~ "script-src 'self';" and policy =~ "frame-ancestors 'none'"
    refute policy =~ "unsafe"
    html = html_response(conn, 200)
    refute html =~ ~r/<script(?![^>]*src=)/
    refute html =~ ~r/\sstyle="/ or html =~ ~r/\son\w+="/

    for [_, path] <- Regex.scan(~r/(?:src|href)="(\/assets\/[^"]+)"/, html) do
      # As a browser asks: the tests' own connections are not protected against forgery.
      asset = build_conn() |> Plug.Conn.put_private(:plug_skip_csrf_protection, false) |> get(path)
      assert asset.status == 200
      assert get_resp_header(asset, "cache-control") == ["public, max-age=31536000, immutable"]
    end

    for path <- ["/assets/..%2F..%2Fmix.exs", "/assets/other.js", "/assets/a/b"],
        do: assert(get(build_conn(), path).status == 404)
  end

  test "a login without its token is refused, from another site too" do
    assert_raise Plug.CSRFProtection.InvalidCSRFTokenError, fn ->
      build_conn()
      |> Plug.Conn.put_private(:plug_skip_csrf_protection, false)
      |> Plug.Test.init_test_session(%{})
      |> Plug.Conn.put_req_header("origin", "https://evil.example")
      |> post("/login", %{"name" => "admin", "password" => password("admin")})
    end
  end

  test "who logs out is out, in other windows and with the old cookie too" do
    start_hub!()
    browser = browser("admin")
    {:ok, view, _} = live(browser, "/")
    session = browser |> get("/") |> get_session("panel")
    SidekickWeb.Endpoint.subscribe("sidekick_session:#{session["id"]}")
    assert redirected_to(post(browser, "/logout")) == "/login"
    assert_receive %{event: "disconnect"}
    assert {:error, {:redirect, %{to: "/login" <> _}}} = live(browser, "/")
    render_click(view, "act", %{"kind" => "reload", "node" => to_string(node())})
    assert_redirect(view)
  end

  test "a session ends after its time, with another password, and with its user; a role is that of now" do
    start_hub!()
    browser = browser("admin")
    {:ok, view, _} = live(browser, "/")

    # The same user with a lesser role, and the same hash.
    [line] = for line <- lines(), String.starts_with?(line, "admin:"), do: line
    Users.load!(String.replace(line, "admin:admin:", "admin:viewer:"))
    render_click(view, "act", %{"kind" => "reload", "node" => to_string(node())})
    shows(view, ".flashes .error", "needs the role admin.")

    Users.load!("admin:admin:" <> Password.hash("another password", 1_000))
    render_click(view, "unselect", %{})
    assert_redirect(view)
    assert {:error, {:redirect, _}} = live(browser, "/")

    load_users()
    short = browser("viewer")
    Application.put_env(:sidekick_web, :session_minutes, 0)
    on_exit(fn -> Application.delete_env(:sidekick_web, :session_minutes) end)
    assert {:error, {:redirect, _}} = live(short, "/")
  end

  test "a page that stays open ends when its session does; one of years is no trouble" do
    start_hub!()
    Application.put_env(:sidekick_web, :session_minutes, 5_000_000)
    on_exit(fn -> Application.delete_env(:sidekick_web, :session_minutes) end)
    browser = browser("viewer")
    # Who is logged in already is not asked again.
    assert browser |> get("/login?back=/store") |> redirected_to() == "/store"
    {:ok, view, _} = live(browser, "/")
    send(view.pid, :session_over)
    {path, _} = assert_redirect(view)
    assert path == "/login?back=%2F"
  end

  test "in production it is closed until a user is configured, and says how; in development it is open" do
    Users.load!("")
    conn = get(build_conn(), "/login")
    assert html_response(conn, 503) =~ "The panel is closed: no user is configured."
    assert {:error, {:redirect, %{to: "/login" <> _}}} = live(build_conn(), "/")
    assert login("admin", password("admin")).status == 401

    start_hub!()
    Application.put_env(:sidekick_web, :open, true)
    on_exit(fn -> Application.delete_env(:sidekick_web, :open) end)
    assert {:ok, view, _} = live(build_conn(), "/")
    assert has_element?(view, ".who", "developer")
    # With a user it is not open any more, not even to a page that was.
    load_users()
    render_click(view, "unselect", %{})
    assert_redirect(view)
  end

  test "lines of users are checked at the start, and no hash is shown" do
    hash = Password.hash("some password", 1_000)

    for {text, told} <- [
          {"ann:root:" <> hash, "it may be viewer, operator or admin"},
          {"ann:admin:" <> hash <> "\nann:viewer:" <> hash, "a second time"},
          {"ann:admin:plain", "is not name:role:hash"},
          {"ann", "is not name:role:hash"},
          {"a b:admin:" <> hash, "is no user"}
        ] do
      error = assert_raise(ArgumentError, fn -> Users.load!(text) end)
      assert error.message =~ told
      refute error.message =~ hash or error.message =~ "plain"
    end
  end

  test "mix sidekick_web.user prints a line that can be logged in with" do
    line =
      ExUnit.CaptureIO.capture_io("a long password\n", fn -> Mix.Tasks.SidekickWeb.User.run(["ann", "operator"]) end)

    assert capture_log(fn -> Users.load!(line) end) == ""
    assert login("ann", "a long password").status == 302
    assert_raise Mix.Error, ~r/viewer, operator or admin/, fn -> Mix.Tasks.SidekickWeb.User.run(["ann", "root"]) end
    assert_raise Mix.Error, ~r/usage/, fn -> Mix.Tasks.SidekickWeb.User.run([]) end
  end

  defp lines, do: for({name, user} <- :persistent_term.get(Users), do: "#{name}:#{user.role}:#{user.hash}")
end
