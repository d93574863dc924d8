defmodule Sidekick.Panel.LiveTest do
  # The panel's model beside the real sidekick.
  use ExUnit.Case, async: false

  import Sidekick.Test.Eventually

  alias Sidekick.Panel
  alias Sidekick.Panel.{Audit, Crash, Host, LogTail, Memory, Ring, Server}
  alias Sidekick.Test.{Binary, Instance}

  @moduletag :integration
  @moduletag timeout: 120_000

  @operator %{name: "op", role: :operator}

  defp start! do
    sidekick = Binary.start!()
    instance = Instance.start!(nodes: [sidekick.node])
    hub = :"live_hub_#{System.unique_integer([:positive])}"
    opts = [name: hub, connector: instance.connector, store: instance.store]
    start_supervised!({Panel, opts ++ [sample_ms: 200, flush_ms: 20, remember_ms: 300]})
    {sidekick, instance, hub}
  end

  defp server(hub, node), do: with({_, server, _} <- Panel.server(node, "lobby", hub), do: server)
  defp kinds(hub, node), do: with(%Server{timeline: timeline} <- server(hub, node), do: Enum.map(timeline, & &1.kind))

  test "a crash is seen by its event, its bundle is readable, and an operator's restart is done, shown and audited" do
    {%{node: node}, instance, hub} = start!()
    eventually(fn -> match?(%Server{state: :running}, server(hub, node)) end)
    assert {_, %{state: :up, info: %{version: _}}, _} = Panel.sidekick(node, hub)
    {:ok, ref} = Panel.subscribe(self(), hub)
    assert_receive {:sidekick_panel, ^ref, %{changes: :all}}
    Panel.ready(ref, hub)

    {_, 0} = System.cmd("sh", ["-c", "kill -9 #{server(hub, node).status.os_pid}"])
    eventually(fn -> match?([%{node: ^node, id: "lobby", number: 1}], Panel.crashes(hub)) end)
    eventually(fn -> match?(%Server{state: :running, crash: %{number: 1}}, server(hub, node)) end)
    eventually(fn -> [:crash, :ended] -- kinds(hub, node) == [] end)

    eventually(fn ->
      Enum.any?(Panel.attention(hub), &(&1.code == :crashed and &1.subject == {:server, {node, "lobby"}}))
    end)

    crash = node |> Sidekick.crash!("lobby", 1) |> Crash.read(node)
    assert crash.sentence =~ "SIGKILL" and crash.server == "lobby"
    assert Enum.any?(crash.log, &(&1.line == "hello from the lobby"))
    assert Crash.to_markdown(crash) =~ "signal SIGKILL"

    # Figures are sampled meanwhile.
    eventually(fn -> server(hub, node).samples |> Ring.series(:memory) |> Enum.count(&elem(&1, 1)) > 2 end)

    before = server(hub, node).status.os_pid
    opts = [hub: hub, store: instance.store]
    assert {:confirm, %{token: token}} = Panel.act(@operator, {:restart, node, "lobby"}, opts)
    assert :ok = Panel.act(@operator, {:restart, node, "lobby"}, opts ++ [confirm: token])
    eventually(fn -> match?(%Server{state: :running, status: %{os_pid: pid}} when pid != before, server(hub, node)) end)
    eventually(fn -> :action in kinds(hub, node) end)
    assert {:ok, [%{action: :restart, outcome: :ok, who: "op"}, %{detail: "begun"}]} = Audit.list([], instance.store)

    tail = LogTail.push(LogTail.new(), Sidekick.logs!(node, "lobby"))
    assert tail |> LogTail.search("HELLO") |> LogTail.lines() |> length() >= 2
  end

  test "streams and sinks are seen; when sidekick dies it is offline, and what it told is there for the next panel too" do
    {sidekick = %{node: node}, instance, hub} = start!()
    eventually(fn -> match?(%Server{state: :running}, server(hub, node)) end)
    Sidekick.append!(node, "lobby/match", Enum.to_list(1..50))
    eventually(fn -> match?({_, %{streams: [%{name: "lobby/match", last: 50}]}, _}, Panel.sidekick(node, hub)) end)
    {_, host, _} = Panel.sidekick(node, hub)
    assert [%{name: "khepri"}] = host.sinks
    # No Sidekick.Ingest under its usual name runs here, so all of it waits.
    eventually(fn -> match?(%Server{lag: 50}, server(hub, node)) and host |> Host.lag() |> is_integer() end)
    eventually(fn -> match?({:ok, [%{node: ^node, servers: [%{id: "lobby"}]}]}, Memory.all(instance.store)) end)

    Binary.kill!(sidekick)
    eventually(fn -> match?({_, %{state: :offline}, [%{code: :offline}]}, Panel.sidekick(node, hub)) end)
    assert %Server{state: :running} = server(hub, node)

    stop_supervised!(hub)
    start_supervised!({Panel, name: hub, connector: instance.connector, store: instance.store})
    eventually(fn -> match?(%Server{remembered_ms: at_ms} when is_integer(at_ms), server(hub, node)) end)

    # The same sidekick again, after a while: what it tells now replaces what was remembered.
    Binary.start!(dir: sidekick.dir, node: node)
    eventually(fn -> match?(%Server{state: :running, remembered_ms: nil}, server(hub, node)) end)
    assert {_, %{state: :up}, _} = Panel.sidekick(node, hub)
  end
end
