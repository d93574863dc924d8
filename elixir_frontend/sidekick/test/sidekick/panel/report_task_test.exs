defmodule Sidekick.Panel.ReportTaskTest do
  # mix sidekick.report as it is typed, against the real sidekick.
  use ExUnit.Case, async: false

  import ExUnit.CaptureIO
  import Sidekick.Test.Eventually

  alias Mix.Tasks.Sidekick.Report
  alias Sidekick.Test.{Binary, Folder}

  @moduletag timeout: 120_000

  defp refused(arguments) do
    capture_io(:stderr, fn -> send(self(), {:status, catch_exit(Report.run(arguments))}) end)
    |> then(fn said ->
      assert_received {:status, {:shutdown, status}}
      {status, said}
    end)
  end

  test "wrong usage and who does not answer are told, with what to do" do
    assert {2, said} = refused([])
    assert said =~ "--frontend NODE or --node NODE"
    assert {2, said} = refused(["--nope", "x"])
    assert said =~ "--nope"
    assert {1, said} = refused(["--node", "nobody@127.0.0.1", "--for", "0.5"])
    assert said =~ "none of nobody@127.0.0.1 answered"
    assert {1, said} = refused(["--frontend", "nobody@127.0.0.1"])
    assert said =~ "no connection to nobody@127.0.0.1"
  end

  @tag :integration
  test "a sidekick is asked, and its crash is readable in the page" do
    %{node: node} = Binary.start!()
    eventually(fn -> match?({:ok, %{state: :running}}, Sidekick.server(node, "lobby")) end)
    {_, 0} = System.cmd("sh", ["-c", "kill -9 #{Sidekick.server!(node, "lobby").os_pid}"])
    eventually(fn -> match?({:ok, %{state: :running, last_exit: %{bundle: 1}}}, Sidekick.server(node, "lobby")) end)
    out = Path.join(Folder.new!(), "page.html")
    said = capture_io(fn -> Report.run(["--node", Atom.to_string(node), "--for", "1.5", "--out", out]) end)
    assert said =~ "wrote #{out}"
    html = File.read!(out)
    assert html =~ "Crash 1 of lobby" and html =~ "It was ended by signal SIGKILL" and html =~ "hello from the lobby"
    # The crash is on the timeline, though nobody was subscribed when it happened.
    assert html =~ "crash bundle 1: signal SIGKILL"
    assert html =~ ~s(aria-label="Memory: last)
  end
end
