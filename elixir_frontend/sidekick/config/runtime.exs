import Config

# `mix run --no-halt` in this project is the frontend node. As a library in another project nothing here applies: put
# `{Sidekick, opts}` into that project's supervision tree.
if config_env() != :test do
  with dir when is_binary(dir) <- System.get_env("SIDEKICK_DATA_DIR") do
    integer = fn name, default ->
      case System.get_env(name) do
        nil -> default
        "infinity" -> :infinity
        text -> String.to_integer(text)
      end
    end

    names = fn name ->
      System.get_env(name, "") |> String.split([",", " "], trim: true) |> Enum.map(&String.to_atom/1)
    end

    members =
      case names.("SIDEKICK_MEMBERS") do
        [] -> nil
        members -> members
      end

    if System.get_env("SIDEKICK_PANEL") == "1", do: config(:sidekick, :panel, [])

    config :sidekick, :start,
      data_dir: dir,
      nodes: names.("SIDEKICK_NODES"),
      members: members,
      retention: [
        records: integer.("SIDEKICK_RETENTION_RECORDS", 100_000),
        bytes: integer.("SIDEKICK_RETENTION_BYTES", 64 * 1024 * 1024)
      ]
  end
end
