defmodule Sidekick.Test.Folder do
  @moduledoc "A folder for one test."

  import Sidekick.Test.Eventually

  @doc "Makes it; it is removed once the test is over."
  def new! do
    dir = Path.join(System.tmp_dir!(), "sidekick-test-#{System.pid()}-#{System.unique_integer([:positive])}")
    File.mkdir_p!(dir)
    # What was killed a moment ago may still be writing there: a guard notes how its server ended.
    ExUnit.Callbacks.on_exit(fn -> eventually(fn -> match?({:ok, _}, File.rm_rf(dir)) end) end)
    dir
  end
end
