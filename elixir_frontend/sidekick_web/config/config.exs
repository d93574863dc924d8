import Config

# All of this is of the stand-alone panel; as a library in another project nothing of it applies, and nothing of it is started.
config :sidekick_web, standalone: config_env() != :test

config :sidekick_web, SidekickWeb.Endpoint,
  adapter: Bandit.PhoenixAdapter,
  pubsub_server: SidekickWeb.PubSub,
  render_errors: [formats: [html: SidekickWeb.ErrorHTML], layout: false],
  live_view: [signing_salt: "sidekick live view"]

config :phoenix, :json_library, Jason

config :logger, level: if(config_env() == :test, do: :warning, else: :info)
config :logger, :default_formatter, format: "$time [$level] $message\n"
