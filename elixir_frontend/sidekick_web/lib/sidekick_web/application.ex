defmodule SidekickWeb.Application do
  @moduledoc false
  # In another project's panel only the tasks and the gate run; the stand-alone panel starts its model and endpoint too.

  use Application

  require Logger

  @impl Application
  def start(_type, _args) do
    children = [{Task.Supervisor, name: SidekickWeb.Tasks}, SidekickWeb.Gate] ++ standalone()
    Supervisor.start_link(children, strategy: :one_for_one, name: SidekickWeb.Supervisor)
  end

  @impl Application
  def config_change(changed, _new, removed), do: SidekickWeb.Endpoint.config_change(changed, removed)

  defp standalone do
    if Application.get_env(:sidekick_web, :standalone, false) do
      SidekickWeb.Users.load!(Application.get_env(:sidekick_web, :users, ""))

      unless SidekickWeb.Users.configured?() or SidekickWeb.Users.open?(),
        do:
          Logger.warning(
            "the panel is closed: no user is configured; set SIDEKICK_WEB_USERS_FILE (mix sidekick_web.user)"
          )

      [{Phoenix.PubSub, name: SidekickWeb.PubSub}, Sidekick.Panel, SidekickWeb.Endpoint]
    else
      []
    end
  end
end
