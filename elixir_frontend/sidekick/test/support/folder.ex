defmodule Sidekick.Test.Folder do
  @moduledoc "A folder for one test."

  @doc "Makes it; it is removed once the test is over."
  def new! do
    dir = Path.join(System.tmp_dir!(), "sidekick-test-#{System.pid()}-#{System.unique_integer([:positive])}")
    File.mkdir_p!(dir)
    ExUnit.Callbacks.on_exit(fn -> File.rm_rf!(dir) end)
    dir
  end
end
