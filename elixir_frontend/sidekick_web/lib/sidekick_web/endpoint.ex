defmodule SidekickWeb.Endpoint do
  @moduledoc "The web server of the stand-alone panel."

  use Phoenix.Endpoint, otp_app: :sidekick_web

  # Read when a socket connects: whether the cookie is secure is known at run time only.
  socket "/live", Phoenix.LiveView.Socket,
    websocket: [compress: true, connect_info: [session: {SidekickWeb.Session, :options, []}]],
    longpoll: [connect_info: [session: {SidekickWeb.Session, :options, []}]]

  plug Plug.RequestId
  plug Plug.Telemetry, event_prefix: [:phoenix, :endpoint], log: :debug
  plug SidekickWeb.Headers
  # Of requests only the login form is read.
  plug Plug.Parsers, parsers: [:urlencoded], length: 10_000
  plug Plug.Head
  plug SidekickWeb.Session
  plug SidekickWeb.Router
end
