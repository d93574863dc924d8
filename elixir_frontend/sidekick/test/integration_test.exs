defmodule Sidekick.IntegrationTest do
  # The client, and the way of the data into Khepri, with the real sidekick.
  use ExUnit.Case, async: false

  import Bitwise
  import Sidekick.Test.Eventually

  alias Sidekick.{Error, Store}
  alias Sidekick.Test.{Binary, Folder}

  @moduletag :integration
  @moduletag timeout: 120_000

  setup_all do
    if is_nil(System.get_env("SIDEKICK_BIN")), do: raise("SIDEKICK_BIN must be the path of the built sidekick")
    :ok
  end

  defp start_store!(opts \\ []) do
    opts = Keyword.put_new_lazy(opts, :data_dir, &Folder.new!/0)
    start_supervised!({Sidekick, opts})
    opts
  end

  test "the node tells of itself" do
    %{node: node} = Binary.start!()
    assert {:ok, info} = Sidekick.info(node)
    assert info.name in [node, Atom.to_string(node)]
    assert is_binary(info.version) and byte_size(info.origin) == 36 and info.incarnation == 1
    assert is_integer(info.uptime_ms) and is_map(info.buffer)
    assert Enum.map(info.servers, &to_string/1) == ["lobby"]
    assert :pong = Node.ping(node)
    refute node in Node.list()
  end

  test "servers are seen, stopped, started, restarted and killed" do
    %{node: node} = Binary.start!()
    eventually(fn -> match?({:ok, %{state: :running}}, Sidekick.server(node, "lobby")) end)
    assert {:ok, [%{id: "lobby", os_pid: os_pid}]} = Sidekick.servers(node)
    assert {:ok, %{id: "lobby"}} = Sidekick.server(node, :lobby)
    assert :ok = Sidekick.restart_server(node, "lobby")
    assert {:ok, %{state: :running, os_pid: other}} = Sidekick.server(node, "lobby")
    assert other != os_pid
    assert :ok = Sidekick.stop_server(node, "lobby")
    assert {:ok, %{state: :stopped}} = Sidekick.server(node, "lobby")
    assert :ok = Sidekick.start_server(node, "lobby")
    assert :ok = Sidekick.kill_server(node, "lobby")
    eventually(fn -> match?({:ok, %{state: :running, last_exit: %{}}}, Sidekick.server(node, "lobby")) end)

    assert eventually(fn ->
             {:ok, lines} = Sidekick.logs(node, "lobby", limit: 50)
             Enum.find(lines, &(&1.line == "hello from the lobby" and &1.source == :stdout))
           end)

    assert {:ok, crashes} = Sidekick.crashes(node, "lobby")
    assert is_list(crashes)
    assert {:error, %Error{code: :not_found}} = Sidekick.server(node, "nobody")
  end

  test "what is appended is on disk, read back, and not appended twice" do
    sidekick = %{node: node} = Binary.start!()
    terms = [1, %{"a" => [1.5, :b]}, {"x", nil}, <<255>>, -1, [-1, -2], 1 <<< 80]
    assert {:ok, %{first: 1, last: 7}} = Sidekick.append(node, "events", terms)
    once = [producer: "test", batch: 1]
    assert {:ok, %{first: 8, last: 8}} = Sidekick.append(node, "events", ["once"], once)
    assert {:ok, %{first: 8, last: 8}} = Sidekick.append(node, "events", ["once"], once)
    assert {:ok, records} = Sidekick.read(node, "events", 1, 100)
    assert Enum.map(records, & &1.payload) == terms ++ ["once"]
    assert Enum.map(records, & &1.seq) == Enum.to_list(1..8)
    assert {:ok, %{last: 8}} = Sidekick.stream(node, "events")
    assert {:ok, [%{name: "events"}]} = Sidekick.streams(node)
    assert :ok = Sidekick.put_state(node, "world", "k", %{"x" => 1})
    assert :ok = Sidekick.put_state(node, "world", "gone", 1)
    assert :ok = Sidekick.delete_state(node, "world", "gone")

    Binary.kill!(sidekick)
    assert {:error, %Error{}} = Sidekick.info(node)
    Binary.start!(dir: sidekick.dir, node: node)
    assert {:ok, [%{payload: "once"}]} = Sidekick.read(node, "events", 8, 10)
    assert {:ok, %{"x" => 1}} = Sidekick.get_state(node, "world", "k")
    assert {:ok, %{"k" => %{"x" => 1}}} == Sidekick.state(node, "world")
  end

  test "a sink that is configured keeps its cursors, so that nothing is trimmed that it lacks" do
    %{node: node} = Binary.start!()
    {:ok, %{last: 3}} = Sidekick.append(node, "events", [1, 2, 3])
    assert {:error, %Error{code: :in_use, details: %{detail: remedy}}} = Sidekick.forget_sink(node, "khepri")
    assert remedy =~ "take it out of the configuration"
    assert {:ok, %{cursors: %{"khepri" => 0}, lag: %{"khepri" => %{records: 3}}}} = Sidekick.stream(node, "events")
    assert {:error, %Error{code: :not_found}} = Sidekick.forget_sink(node, "other")
  end

  test "events arrive at who subscribed" do
    %{node: node} = Binary.start!()
    assert {:ok, ref} = Sidekick.subscribe(node, [:servers, {:stream, "events"}])
    assert {:ok, _} = Sidekick.append(node, "events", ["hello"])
    assert_receive {:sidekick_event, ^node, ^ref, %{topic: {:stream, "events"}}}, 5_000
    assert :ok = Sidekick.restart_server(node, "lobby")
    assert_receive {:sidekick_event, ^node, ^ref, %{topic: :servers}}, 10_000
    assert :ok = Sidekick.unsubscribe(node, ref)
  end

  test "records and state reach Khepri once, through the death of sidekick and of the store" do
    opts = start_store!()
    sidekick = %{node: node} = Binary.start!()
    {:ok, %{origin: origin}} = Sidekick.info(node)
    {:ok, _} = Sidekick.append(node, "events", Enum.to_list(1..500))
    :ok = Sidekick.put_state(node, "world", "score", 1)
    eventually(fn -> match?({:ok, %{watermark: 500}}, Store.stream(origin, "events")) end)

    # sidekick dies: what was acknowledged comes after it is back.
    {:ok, _} = Sidekick.append(node, "events", Enum.to_list(501..600))
    Binary.kill!(sidekick)
    Binary.start!(dir: sidekick.dir, node: node)
    eventually(fn -> match?({:ok, %{watermark: 600}}, Store.stream(origin, "events")) end)

    # The store goes away and comes back; sidekick keeps everything meanwhile.
    :ok = stop_supervised(Sidekick)
    {:ok, _} = Sidekick.append(node, "events", Enum.to_list(601..1000))
    :ok = Sidekick.put_state(node, "world", "score", 2)
    start_store!(opts)
    eventually(fn -> match?({:ok, %{watermark: 1000}}, Store.stream(origin, "events")) end)
    eventually(fn -> Store.state(origin, "world") == {:ok, %{"score" => 2}} end)
    assert {:ok, records} = Store.records(origin, "events", 1, 10_000)
    assert Enum.map(records, &{&1.seq, &1.payload}) == Enum.map(1..1000, &{&1, &1})
    assert {:ok, nodes} = Store.nodes()
    assert Map.has_key?(nodes, node)
    eventually(fn -> match?({:ok, %{cursors: %{"khepri" => 1000}}}, Sidekick.stream(node, "events")) end)
  end
end
