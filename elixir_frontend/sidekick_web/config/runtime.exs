import Config

# Everything that an operator sets, from the environment; README.md lists it. A wrong value ends the start with its name.
if config_env() == :test do
  for endpoint <- [SidekickWeb.Endpoint, SidekickWeb.Test.HostEndpoint] do
    config :sidekick_web, endpoint,
      secret_key_base: String.duplicate("test", 16),
      live_view: [signing_salt: "test salt"],
      pubsub_server: SidekickWeb.PubSub,
      render_errors: [formats: [html: SidekickWeb.ErrorHTML], layout: false],
      server: false
  end
else
  # A secret in a file does not show in the process list.
  secret = fn name ->
    case System.get_env(name <> "_FILE") do
      nil -> System.get_env(name)
      file -> file |> File.read!() |> String.trim()
    end
  end

  names = fn name ->
    System.get_env(name, "") |> String.split([",", " "], trim: true) |> Enum.map(&String.to_atom/1)
  end

  port = "SIDEKICK_WEB_PORT" |> System.get_env("4750") |> String.to_integer()
  url = URI.parse(System.get_env("SIDEKICK_WEB_URL", "http://127.0.0.1:#{port}"))

  unless url.scheme in ["http", "https"] and is_binary(url.host),
    do: raise("SIDEKICK_WEB_URL must be the panel's address, such as https://panel.example.org")

  if url.scheme == "http" and url.host not in ["127.0.0.1", "localhost"] and config_env() == :prod,
    do: raise("SIDEKICK_WEB_URL is http: passwords would travel readable; put TLS in front and write https")

  {:ok, ip} = "SIDEKICK_WEB_IP" |> System.get_env("127.0.0.1") |> String.to_charlist() |> :inet.parse_address()

  secret_key_base = secret.("SIDEKICK_WEB_SECRET") || Base.encode64(:crypto.strong_rand_bytes(48))

  if byte_size(secret_key_base) < 64,
    do: raise("SIDEKICK_WEB_SECRET has fewer than 64 characters; make one with `mix phx.gen.secret`")

  config :sidekick_web,
    secure: url.scheme == "https",
    users: secret.("SIDEKICK_WEB_USERS") || "",
    # Without users development is open on this machine alone, and production closed.
    open: config_env() == :dev and url.host in ["127.0.0.1", "localhost"],
    session_minutes: "SIDEKICK_WEB_SESSION_MINUTES" |> System.get_env("720") |> String.to_integer()

  config :sidekick_web, SidekickWeb.Endpoint,
    url: [scheme: url.scheme, host: url.host, port: url.port],
    http: [ip: ip, port: port],
    check_origin: ["#{url.scheme}://#{url.host}:#{url.port}"],
    secret_key_base: secret_key_base,
    server: true

  # The panel's node holds the store too; see `Sidekick.Options`. Without a folder the panel runs where the store does not.
  with dir when is_binary(dir) <- System.get_env("SIDEKICK_DATA_DIR") do
    members = names.("SIDEKICK_MEMBERS")

    window = fn name, default ->
      case System.get_env(name) do
        nil -> default
        "infinity" -> :infinity
        text -> String.to_integer(text)
      end
    end

    config :sidekick, :start,
      data_dir: dir,
      nodes: names.("SIDEKICK_NODES"),
      members: if(members == [], do: nil, else: members),
      retention: [
        records: window.("SIDEKICK_RETENTION_RECORDS", 100_000),
        bytes: window.("SIDEKICK_RETENTION_BYTES", 64 * 1024 * 1024)
      ]
  end
end
