defmodule Sidekick.DocTest do
  use ExUnit.Case, async: true

  doctest Sidekick.Event
  doctest Sidekick, only: [supervisor: 1]

  # Its own tests need packages that cannot be had everywhere, so that it is looked at here.
  @example Path.expand("../../../examples/ecto_consumer/lib/my_app/matches.ex", __DIR__)

  test "the consumer with Ecto that the documentation shows is the one that is tested" do
    {:docs_v1, _, _, _, %{"en" => doc}, _, _} = Code.fetch_docs(Sidekick.Consumer)

    shown =
      @example |> File.read!() |> String.split("\n") |> Enum.map_join("\n", &if(&1 == "", do: "", else: "    " <> &1))

    assert doc =~ shown
  end
end
