defmodule Sidekick.MixProject do
  use Mix.Project

  @version "0.1.0"

  def project do
    [
      app: :sidekick,
      version: @version,
      elixir: "~> 1.17",
      start_permanent: Mix.env() == :prod,
      elixirc_paths: elixirc_paths(Mix.env()),
      deps: deps(),
      name: "sidekick",
      description: "Talks to sidekick nodes beside Godot game servers and keeps what they upload in Khepri.",
      package: package(),
      docs: docs()
    ]
  end

  # The configuration here is that of a node of its own, so it is no part of the package.
  defp package do
    [licenses: ["MIT"], links: %{}, files: ~w(lib mix.exs README.md LICENSE .formatter.exs)]
  end

  defp docs do
    [
      main: "readme",
      extras: ["README.md"],
      groups_for_modules: [
        Client: [Sidekick, Sidekick.Error, Sidekick.Event, Sidekick.Helpers, Sidekick.Helpers.Table, Sidekick.Nodes],
        Store: ~r/^Sidekick\.(Store|Ingest|Options)/,
        Consumers: ~r/^Sidekick\.Consumer/,
        Fleet: ~r/^Sidekick\.Fleet/,
        Panel: ~r/^Sidekick\.Panel/
      ]
    ]
  end

  def application do
    [mod: {Sidekick.Application, []}, extra_applications: [:logger, :crypto] ++ system_khepri()]
  end

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_env), do: ["lib"]

  # Khepri comes from Hex, or from the system where Hex is out of reach: a folder in ERL_LIBS holds it already
  # compiled. Mix prunes the code path to the applications it knows, so that the second has to be named there.
  defp deps, do: if(khepri() == :hex, do: [{:khepri, "~> 0.18"}], else: []) ++ ex_doc()
  defp system_khepri, do: if(khepri() == :system, do: [:khepri], else: [])

  # Only who makes the documentation needs it: SIDEKICK_DOCS=1 mix do deps.get, docs
  defp ex_doc, do: if(System.get_env("SIDEKICK_DOCS"), do: [{:ex_doc, "~> 0.34", only: :dev, runtime: false}], else: [])

  defp khepri do
    case System.get_env("SIDEKICK_KHEPRI") do
      "system" -> :system
      "hex" -> :hex
      nil -> if(khepri_in_erl_libs?(), do: :system, else: :hex)
      other -> Mix.raise("SIDEKICK_KHEPRI is #{inspect(other)}; it may be \"system\" or \"hex\"")
    end
  end

  defp khepri_in_erl_libs? do
    (System.get_env("ERL_LIBS") || "")
    |> String.split(":", trim: true)
    |> Enum.any?(&(Path.wildcard(Path.join(&1, "khepri*/ebin/khepri.app")) != []))
  end
end
