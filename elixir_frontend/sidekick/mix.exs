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
      description: "Talks to sidekick nodes beside Godot game servers and keeps what they upload in Khepri.",
      package: [licenses: ["MIT"], links: %{}]
    ]
  end

  def application do
    [mod: {Sidekick.Application, []}, extra_applications: [:logger, :crypto] ++ system_khepri()]
  end

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_env), do: ["lib"]

  # Khepri comes from Hex, or from the system where Hex is out of reach: a folder in ERL_LIBS holds it already
  # compiled. Mix prunes the code path to the applications it knows, so that the second has to be named there.
  defp deps, do: if(khepri() == :hex, do: [{:khepri, "~> 0.18"}], else: [])
  defp system_khepri, do: if(khepri() == :system, do: [:khepri], else: [])

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
