defmodule Sidekick.NodesTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias Sidekick.Nodes
  alias Sidekick.Test.{Beam, Instance}

  test "a hidden node is connected to, missed when it dies, and found when it is back" do
    name = Beam.name()
    node = :"#{name}@127.0.0.1"
    beam = Beam.start!(name, hidden: true)
    instance = Instance.start!(nodes: [node])
    {:ok, _ref, _} = Nodes.subscribe(self(), instance.connector)
    await_connected(node, instance)
    refute node in Node.list()

    Beam.kill!(beam)
    assert_receive {:sidekick_node, :down, ^node, _reason}, 10_000
    assert [%{node: ^node, connected: false}] = Nodes.list(instance.connector)
    Beam.start!(name, hidden: true)
    assert_receive {:sidekick_node, :up, ^node, nil}, 20_000
    assert [%{node: ^node, connected: true}] = Nodes.list(instance.connector)
  end

  test "a node that is taken out and put in again and again is tried no more often" do
    instance = Instance.start!()
    connector = Process.whereis(instance.connector)
    node = :"nobody@127.0.0.1"
    1 = :erlang.trace(connector, true, [:receive])

    capture_log(fn ->
      for _ <- 1..10 do
        :ok = Nodes.add(node, connector)
        :ok = Nodes.remove(node, connector)
      end

      :ok = Nodes.add(node, connector)

      for _ <- 1..11,
          do: assert_receive({:trace, ^connector, :receive, message} when elem(message, 0) == :tried, 10_000)
    end)

    # Each failure that counts doubles the pause.
    assert :sys.get_state(connector).nodes[node].pause_ms <= 1_600
  end

  test "a node may be added and removed, and a subscriber leave" do
    instance = Instance.start!()
    assert [] = Nodes.list(instance.connector)
    beam = Beam.start!(Beam.name(), hidden: true)
    node = beam.node
    {:ok, ref, []} = Nodes.subscribe(self(), instance.connector)
    assert :ok = Nodes.add(node, instance.connector)
    assert_receive {:sidekick_node, :up, ^node, nil}, 10_000
    assert :ok = Nodes.unsubscribe(ref, instance.connector)
    Beam.kill!(beam)
    assert :ok = Nodes.remove(node, instance.connector)
    assert [] = Nodes.list(instance.connector)
    refute_received {:sidekick_node, :down, ^node, _}
  end

  defp await_connected(node, instance) do
    unless match?([%{connected: true}], Nodes.list(instance.connector)) do
      assert_receive {:sidekick_node, :up, ^node, nil}, 10_000
    end
  end
end
