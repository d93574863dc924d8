defmodule Sidekick.HelpersTest do
  use ExUnit.Case, async: false

  import ExUnit.CaptureIO
  import Sidekick.Test.Eventually

  alias Sidekick.Helpers
  alias Sidekick.Test.Binary

  doctest Sidekick.Helpers.Table

  @tag :integration
  test "tables show what a real sidekick tells, and who does not answer" do
    %{node: node} = Binary.start!()
    eventually(fn -> match?({:ok, %{state: :running}}, Sidekick.server(node, "lobby")) end)
    {_, 0} = System.cmd("sh", ["-c", "kill -9 #{Sidekick.server!(node, "lobby").os_pid}"])
    eventually(fn -> match?({:ok, %{state: :running, last_exit: %{}}}, Sidekick.server(node, "lobby")) end)
    eventually(fn -> match?({:ok, [_]}, Sidekick.crashes(node, "lobby")) end)
    Sidekick.append!(node, "events", [1, 2, 3])
    assert node in Helpers.sidekicks()

    assert capture_io(fn -> Helpers.servers([node, :"nobody@127.0.0.1"]) end) =~
             ~r/NODE .*STATE.*\n.*nobody@127.0.0.1 +\(not_connected\)\n#{node} +lobby +running +\d+ .*:sigkill/

    assert capture_io(fn -> Helpers.nodes(node) end) =~ ~r/#{node} +\d+\.\d+\.\d+ +\d+s +1 +1 /
    assert capture_io(fn -> Helpers.streams() end) =~ ~r/#{node} +events +1 +3 +\d+ B +0 +khepri:3/

    assert capture_io(fn -> Helpers.sinks(node) end) =~
             ~r"BEHIND +FOR .*\n#{node} +khepri +beam .* B +\d+(m \d+)?s +closed +0 +0 "

    assert capture_io(fn -> Helpers.peers(node) end) =~ ~r/#{node} +#{node()} +false/
    assert capture_io(fn -> Helpers.crashes(node) end) =~ ~r/#{node} +lobby +1 +20.*sigkill.* [0-9a-f]{16} +1/
    assert capture_io(fn -> Helpers.crashes(node, "nobody") end) =~ "(not_found)"
    assert capture_io(fn -> Helpers.crash(node, "lobby", 1) end) =~ "reason"
    assert {:ok, [%{count: 1, damaged: nil} = crash]} = Sidekick.crashes(node, "lobby")
    assert {:ok, %{fingerprint: fingerprint, samples: [_ | _]}} = Sidekick.crash(node, "lobby", 1)
    assert fingerprint == crash.fingerprint
    assert capture_io(fn -> Helpers.logs(node, "lobby") end) =~ "hello from the lobby"
    assert capture_io(fn -> Helpers.logs(node, "nobody") end) =~ "not_found"
  end
end
