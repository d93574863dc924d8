defmodule SidekickWeb.Mount do
  @moduledoc """
  The panel in a router, that of another application too:

      import SidekickWeb.Mount

      scope "/" do
        pipe_through [:browser, :require_operator]
        live_sidekick "/sidekick", user: {MyApp.Operators, :of_session}
      end

  `of_session/1` is given the session (string keys) and answers who asks: `%{name: "ann", role: :viewer | :operator | :admin}`, with
  `expires_ms:` (wall clock) where it ends, or nil: then nothing is shown. It is asked for every page and before every event, so who
  loses a role loses it at once.

  The application runs `{Sidekick, ...}` and `Sidekick.Panel` in its own supervision tree, and its endpoint has
  `socket "/live", Phoenix.LiveView.Socket` with its session in `connect_info`. Options:

    * `:user` - required, `{module, function}` as above
    * `:hub` - name of the `Sidekick.Panel`, default `Sidekick.Panel.Hub`
    * `:store` - of the audit, default `:sidekick_store`
    * `:login` - where to send who may not see it; default nil: a sentence says so
    * `:live_socket_path` - default `"/live"`
    * `:as` - name of the live session, default `:sidekick`; another one for a second panel in the same router
  """

  @defaults [hub: Sidekick.Panel.Hub, store: :sidekick_store, login: nil, live_socket_path: "/live", as: :sidekick]

  @doc "The routes of the panel below `path`."
  defmacro live_sidekick(path, opts) do
    quote bind_quoted: [path: path, opts: opts] do
      import Phoenix.LiveView.Router, only: [live: 4, live_session: 3]

      {name, options} = SidekickWeb.Mount.options(Phoenix.Router.scoped_path(__MODULE__, path), opts)

      scope path, alias: false, as: false do
        get "/assets/*file", SidekickWeb.Assets, []

        live_session name, options do
          live "/", SidekickWeb.FleetLive, :servers, as: :sidekick_fleet
          live "/sidekicks", SidekickWeb.FleetLive, :sidekicks, as: :sidekick_fleet
          live "/servers/:node/:id", SidekickWeb.ServerLive, :overview, as: :sidekick_server
          live "/servers/:node/:id/log", SidekickWeb.ServerLive, :log, as: :sidekick_server
          live "/servers/:node/:id/state", SidekickWeb.ServerLive, :state, as: :sidekick_server
          live "/crashes", SidekickWeb.CrashesLive, :index, as: :sidekick_crashes
          live "/crashes/:node/:id/:number", SidekickWeb.CrashLive, :show, as: :sidekick_crash
          live "/store", SidekickWeb.StoreLive, :index, as: :sidekick_store
          live "/audit", SidekickWeb.AuditLive, :index, as: :sidekick_audit
        end
      end
    end
  end

  @doc false
  @spec options(String.t(), keyword()) :: {atom(), keyword()}
  def options(path, opts) do
    case Keyword.keys(opts) -- [:user | Keyword.keys(@defaults)] do
      [] -> :ok
      [key | _] -> raise ArgumentError, "unknown option #{inspect(key)} for live_sidekick"
    end

    with {module, function} when is_atom(module) and is_atom(function) <- opts[:user] do
      opts = @defaults |> Keyword.merge(opts) |> Map.new()
      # Where it is mounted at the root the base is empty, so that every address is base <> "/...".
      mounted = opts |> Map.delete(:as) |> Map.put(:base, String.trim_trailing(path, "/"))
      hooks = [SidekickWeb.Access, SidekickWeb.Follow, SidekickWeb.Actions]

      {opts.as,
       root_layout: {SidekickWeb.Layouts, :root},
       session: {__MODULE__, :session, [mounted]},
       on_mount: for(hook <- hooks, do: {hook, :default})}
    else
      _ -> raise ArgumentError, "live_sidekick needs user: {module, function}, which tells who asks"
    end
  end

  @doc false
  @spec session(Plug.Conn.t(), map()) :: map()
  def session(_conn, mounted), do: %{"sidekick_mounted" => mounted}
end
