defmodule SidekickWeb.Session do
  @moduledoc """
  The session cookie of the stand-alone panel: encrypted, out of reach for scripts, sent by this site only, and over TLS only where the
  panel's address is https.
  """

  @behaviour Plug

  @impl Plug
  def init(_opts), do: []

  @impl Plug
  def call(conn, _opts), do: Plug.Session.call(conn, Plug.Session.init(options()))

  @doc "The options of `Plug.Session`."
  @spec options() :: keyword()
  def options do
    secure = Application.get_env(:sidekick_web, :secure, false)

    [
      store: :cookie,
      # A browser takes a cookie of this name only if it is secure and of this very host.
      key: if(secure, do: "__Host-sidekick", else: "sidekick"),
      signing_salt: "sidekick session",
      encryption_salt: "sidekick session, sealed",
      same_site: "Lax",
      http_only: true,
      secure: secure,
      path: "/"
    ]
  end
end
