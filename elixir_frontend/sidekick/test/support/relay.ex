defmodule Sidekick.Test.Relay do
  @moduledoc "A process on another BEAM that passes what it gets on to a test, as `{node, message}`."

  @doc "Runs for ever."
  def run(test) do
    receive do
      message -> send(test, {node(), message})
    end

    run(test)
  end
end
