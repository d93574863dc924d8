defmodule SidekickWeb.Headers do
  @moduledoc """
  What a browser may do with the panel's pages: run and style with files of this site alone, and be shown in no other site's frame.
  """

  @behaviour Plug

  import Plug.Conn

  @policy "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " <>
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

  @impl Plug
  def init(_opts), do: []

  @impl Plug
  def call(conn, _opts) do
    conn
    |> put_resp_header("content-security-policy", @policy)
    |> put_resp_header("x-content-type-options", "nosniff")
    |> put_resp_header("referrer-policy", "same-origin")
    |> put_resp_header("cross-origin-opener-policy", "same-origin")
    |> put_resp_header("permissions-policy", "camera=(), microphone=(), geolocation=()")
    |> secure(Application.get_env(:sidekick_web, :secure, false))
  end

  defp secure(conn, true), do: put_resp_header(conn, "strict-transport-security", "max-age=31536000")
  defp secure(conn, false), do: conn
end
