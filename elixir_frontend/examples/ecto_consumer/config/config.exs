import Config

# Tests run on a node without a name, of which the library warns.
config :logger, level: if(config_env() == :test, do: :error, else: :info)
config :logger, :default_formatter, format: "$time [$level] $message\n"
