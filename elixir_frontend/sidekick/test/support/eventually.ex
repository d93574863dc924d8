defmodule Sidekick.Test.Eventually do
  @moduledoc "Retrying assertions."

  @doc "Asks until the answer is truthy; fails after 20 s."
  def eventually(fun, deadline \\ System.monotonic_time(:millisecond) + 20_000) do
    cond do
      answer = fun.() -> answer
      System.monotonic_time(:millisecond) > deadline -> ExUnit.Assertions.flunk("never came true")
      true -> pause(fn -> eventually(fun, deadline) end)
    end
  end

  defp pause(next) do
    receive do
    after
      20 -> next.()
    end
  end
end
