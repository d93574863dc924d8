defmodule SidekickWeb.MixProject do
  use Mix.Project

  @version "0.1.0"

  def project do
    [
      app: :sidekick_web,
      version: @version,
      elixir: "~> 1.17",
      start_permanent: Mix.env() == :prod,
      elixirc_paths: elixirc_paths(Mix.env()),
      deps: deps(),
      releases: [sidekick_web: [include_executables_for: [:unix], applications: [runtime_tools: :permanent]]],
      name: "sidekick_web",
      description: "The panel of a fleet of sidekicks beside Godot game servers, as Phoenix LiveViews.",
      package: [licenses: ["MIT"], links: %{}, files: ~w(lib priv mix.exs README.md .formatter.exs)]
    ]
  end

  def application, do: [mod: {SidekickWeb.Application, []}, extra_applications: [:logger, :crypto, :runtime_tools]]

  # The fleet that tests make is the same as that of the library's tests.
  defp elixirc_paths(:test), do: ["lib", "test/support", Path.expand("../sidekick/test/support", __DIR__)]
  defp elixirc_paths(_env), do: ["lib"]

  defp deps do
    [
      {:sidekick, path: "../sidekick"},
      {:phoenix, "~> 1.8"},
      {:phoenix_live_view, "~> 1.1"},
      {:phoenix_html, "~> 4.1"},
      {:bandit, "~> 1.5"},
      {:jason, "~> 1.4"},
      {:lazy_html, ">= 0.1.0", only: :test}
    ]
  end
end
