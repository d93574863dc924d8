defmodule SidekickWeb.Router do
  @moduledoc "The addresses of the stand-alone panel."

  use Phoenix.Router

  import Phoenix.LiveView.Router, only: [fetch_live_flash: 2]
  import SidekickWeb.Mount

  pipeline :browser do
    plug :accepts, ["html"]
    plug :fetch_session
    plug :fetch_live_flash
    plug :protect_from_forgery
  end

  scope "/" do
    pipe_through :browser

    get "/login", SidekickWeb.LoginController, :new
    post "/login", SidekickWeb.LoginController, :create
    post "/logout", SidekickWeb.LoginController, :delete

    live_sidekick "/", user: {SidekickWeb.Users, :of_session}, login: "/login"
  end
end
