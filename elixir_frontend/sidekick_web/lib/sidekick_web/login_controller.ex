defmodule SidekickWeb.LoginController do
  @moduledoc "Logs in and out of the stand-alone panel."

  use Phoenix.Controller, formats: [:html]

  alias Sidekick.Panel.Audit
  alias SidekickWeb.{Endpoint, Gate, LoginHTML, Users}

  plug :put_root_layout, html: {SidekickWeb.Layouts, :root}
  plug :put_layout, false

  @doc "The form; where nobody is configured, what to do."
  def new(conn, params) do
    cond do
      Users.of_session(get_session(conn)) != nil -> redirect(conn, to: back(params))
      Users.configured?() -> form(conn, 200, "", back(params), nil)
      true -> conn |> put_view(html: LoginHTML) |> put_status(503) |> render(:closed, base: "", page_title: "Closed")
    end
  end

  @doc "Looks at name and password."
  def create(conn, %{"name" => name, "password" => password} = params) when is_binary(name) and is_binary(password) do
    name = String.slice(name, 0, 64)

    if Gate.try?(name, conn.remote_ip),
      do: tried(conn, name, password, back(params)),
      else: too_many(conn, name, back(params))
  end

  def create(conn, params), do: form(conn, 422, "", back(params), "Type both your name and your password.")

  @doc "Ends the session, in other windows of the same browser too."
  def delete(conn, _params) do
    with %{"id" => id} <- get_session(conn, "panel") do
      Gate.revoke(id)
      Endpoint.broadcast("sidekick_session:#{id}", "disconnect", %{})
    end

    conn |> configure_session(drop: true) |> redirect(to: "/login")
  end

  defp tried(conn, name, password, back) do
    case Users.login(name, password) do
      {:ok, user} ->
        note(user.name, user.role, :ok)
        session = Users.begin(user.name)

        conn
        # A fresh session, so that one that was planted before the login is worth nothing.
        |> configure_session(renew: true)
        |> clear_session()
        |> put_session("panel", session)
        |> put_session(:live_socket_id, "sidekick_session:#{session["id"]}")
        |> redirect(to: back)

      :error ->
        note(name, nil, :denied)
        form(conn, 401, name, back, "Name and password do not fit. Ask an admin for a new line of the users file.")
    end
  end

  defp too_many(conn, name, back) do
    sentence = "Too many logins were tried. Wait a minute, then try again."
    conn |> put_resp_header("retry-after", "60") |> form(429, name, back, sentence)
  end

  defp form(conn, status, name, back, problem) do
    conn
    |> put_view(html: LoginHTML)
    |> put_status(status)
    |> put_resp_header("cache-control", "no-store")
    |> render(:form, base: "", page_title: "Log in", name: name, back: back, problem: problem)
  end

  # A store that is down keeps nobody out: to see that it is down is what the panel is for.
  defp note(name, role, outcome) do
    Audit.write(
      %{who: name, role: role, action: :login, target: "panel", outcome: outcome, detail: ""},
      :sidekick_store
    )
  catch
    _kind, _reason -> :ok
  end

  # Within this panel only: an address of elsewhere would make of the login a way there.
  defp back(%{"back" => "/" <> rest = path}) when byte_size(path) < 2_000 do
    if String.starts_with?(rest, ["/", "\\"]) or path =~ ~r/[\x00-\x20\\]/, do: "/", else: path
  end

  defp back(_params), do: "/"
end
