import Config

# Everything that Raft and its log do is told at debug; an operator wants to hear of trouble only.
config :logger, level: if(config_env() == :test, do: :warning, else: :info)
config :logger, :default_formatter, format: "$time [$level] $message\n"
