defmodule EctoConsumer.Test.Place do
  @moduledoc "A fresh database with the tables of `MyApp.Matches`, and a client of the test's own."

  import ExUnit.Callbacks

  @cockroach "SIDEKICK_TEST_COCKROACH_URL"
  @tables Path.expand("../../priv/tables.sql", __DIR__)

  @doc "Where the tests run: PostgreSQL, and CockroachDB where one is given."
  def names, do: if(System.get_env(@cockroach), do: [:postgres, :cockroach], else: [:postgres])

  @doc "The server, as the options of a connection."
  def server!(:postgres), do: EctoConsumer.Test.Postgres.start!()

  def server!(:cockroach) do
    uri = @cockroach |> System.fetch_env!() |> URI.parse()
    [user | password] = String.split(uri.userinfo || "root", ":", parts: 2)
    database = String.trim_leading(uri.path || "", "/")
    database = if database == "", do: "defaultdb", else: database

    [hostname: uri.host, port: uri.port || 26_257, username: user, database: database] ++
      if(password == [], do: [], else: [password: hd(password)])
  end

  @doc "A database of its own; the answer has the options to reach it and a connection to it."
  def new!(server) do
    name = "ecto_consumer_#{System.pid()}_#{System.unique_integer([:positive])}"
    admin = start_supervised!({Postgrex, server}, id: :admin)
    Postgrex.query!(admin, "CREATE DATABASE #{name}", [])
    :ok = stop_supervised!(:admin)
    options = Keyword.put(server, :database, name)
    client = start_supervised!({Postgrex, options}, id: :client)
    for table <- @tables |> File.read!() |> String.split(";\n", trim: true), do: Postgrex.query!(client, table, [])
    %{options: options, client: client}
  end

  @doc "Every goal that stands there, as `{seq, kind, by}`, in order; and the watermark."
  def stored(client) do
    %{rows: goals} = Postgrex.query!(client, "SELECT seq, kind, by FROM goals ORDER BY seq", [])
    %{rows: watermarks} = Postgrex.query!(client, "SELECT seq FROM watermarks", [])
    {Enum.map(goals, &List.to_tuple/1), List.flatten(watermarks)}
  end
end
