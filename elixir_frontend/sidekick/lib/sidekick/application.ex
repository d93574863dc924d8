defmodule Sidekick.Application do
  @moduledoc false
  # Starts nothing by itself in a user's project. Where `config :sidekick, :start, opts` is set (this project's own
  # `config/runtime.exs` does it from the environment) it starts one instance with these options.

  use Application

  @impl Application
  def start(_type, _args) do
    children =
      case Application.get_env(:sidekick, :start) do
        nil -> []
        opts -> [{Sidekick, opts}]
      end

    panel =
      case Application.get_env(:sidekick, :panel) do
        nil -> []
        opts -> [{Sidekick.Panel, opts}]
      end

    Supervisor.start_link(children ++ panel, strategy: :one_for_one, name: Sidekick.ApplicationSupervisor)
  end
end
