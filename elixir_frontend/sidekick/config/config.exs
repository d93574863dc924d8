import Config

# Everything that Raft and its log do is told at debug and info; an operator wants to hear of trouble only.
config :logger, level: :info
config :logger, :default_formatter, format: "$time [$level] $message\n"
