defmodule SidekickWeb.Test.Operators do
  @moduledoc "Who may see the panel in another application: it decides from its own session."

  def of_session(%{"operator" => name}), do: %{name: name, role: :operator}
  def of_session(_session), do: nil
end

defmodule SidekickWeb.Test.HostRouter do
  @moduledoc "The router of an application that mounts the panel."

  use Phoenix.Router

  import Phoenix.LiveView.Router, only: [fetch_live_flash: 2]
  import SidekickWeb.Mount

  pipeline :browser do
    plug :accepts, ["html"]
    plug :fetch_session
    plug :fetch_live_flash
    plug :protect_from_forgery
  end

  scope "/ops" do
    pipe_through :browser
    live_sidekick "/sidekick", user: {SidekickWeb.Test.Operators, :of_session}, hub: :mounted_hub
  end
end

defmodule SidekickWeb.Test.HostEndpoint do
  @moduledoc "Its endpoint."

  use Phoenix.Endpoint, otp_app: :sidekick_web

  @session [store: :cookie, key: "_host", signing_salt: "of the host"]

  socket "/live", Phoenix.LiveView.Socket, websocket: [connect_info: [session: @session]]
  plug Plug.Session, @session
  plug SidekickWeb.Test.HostRouter
end
