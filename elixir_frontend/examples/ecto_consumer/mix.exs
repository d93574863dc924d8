defmodule EctoConsumer.MixProject do
  use Mix.Project

  def project do
    [
      app: :ecto_consumer,
      version: "0.1.0",
      elixir: "~> 1.17",
      elixirc_paths: elixirc_paths(Mix.env()),
      deps: deps()
    ]
  end

  def application, do: [extra_applications: [:logger]]

  # Stores and uploads are made as the library's own tests make them.
  defp elixirc_paths(:test), do: ["lib", "test/support", Path.expand("../../sidekick/test/support", __DIR__)]
  defp elixirc_paths(_env), do: ["lib"]

  defp deps do
    [
      {:sidekick, path: "../../sidekick"},
      {:ecto_sql, "~> 3.12"},
      {:postgrex, ">= 0.19.0"}
    ]
  end
end
