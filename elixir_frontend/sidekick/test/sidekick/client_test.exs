defmodule Sidekick.ClientTest do
  # Streams, events and raising twins, with the real sidekick.
  use ExUnit.Case, async: false

  import Sidekick.Test.Eventually

  alias Sidekick.{Error, Event}
  alias Sidekick.Test.{Binary, Folder}

  @moduletag :integration
  @moduletag timeout: 120_000

  defp running! do
    sidekick = Binary.start!()
    eventually(fn -> match?({:ok, %{state: :running}}, Sidekick.server(sidekick.node, "lobby")) end)
    sidekick
  end

  test "a twin gives the value alone, or raises" do
    %{node: node} = running!()
    assert %{version: _} = Sidekick.info!(node)
    assert [%{id: "lobby"}] = Sidekick.servers!(node)
    assert %{first: 1, last: 2} = Sidekick.append!(node, "s", [1, 2])
    assert [%{payload: 2}] = Sidekick.read!(node, "s", 2, 10)
    assert %{last: 2} = Sidekick.stream_info!(node, "s")
    assert :ok = Sidekick.put_state!(node, "world", "k", 1)
    assert 1 = Sidekick.get_state!(node, "world", "k")
    assert :ok = Sidekick.restart_server!(node, "lobby", deadline: 20_000)
    assert [%{name: "khepri", kind: :beam}] = Sidekick.sinks!(node)
    error = assert_raise Error, fn -> Sidekick.server!(node, "nobody") end
    assert error.code == :not_found and error.node == node
    error = assert_raise Error, fn -> Sidekick.call_game!(node, "lobby", :hello) end
    assert error.code == :no_session
  end

  test "a server's end is told to who monitors it, and many nodes are asked at once" do
    %{node: node} = running!()
    assert {:ok, ref} = Sidekick.monitor_server(node, "lobby")
    assert :ok = Sidekick.send_game(node, "lobby", :anything)
    assert :ok = Sidekick.kill_server(node, "lobby")
    assert_receive {:DOWN, ^ref, :process, _, {:signal, :sigkill}}, 10_000
    assert :ok = Sidekick.stop_server(node, "lobby")
    assert {:error, %Error{code: :not_running}} = Sidekick.send_game(node, "lobby", :anything)
    away = :"nobody@127.0.0.1"
    assert %{^node => {:ok, %{version: _}}, ^away => {:error, error}} = Sidekick.multi_request([node, away], :info)
    assert error.code == :not_connected
    assert [{:lobby, _, :worker, _}] = Supervisor.which_children(Sidekick.supervisor(node))
  end

  test "a stream is read lazily, from a sequence, up to where it ended at the beginning" do
    %{node: node} = running!()
    for part <- Enum.chunk_every(1..25_000, 5_000), do: Sidekick.append!(node, "long", part)
    stream = Sidekick.stream!(node, "long")
    assert Enum.map(stream, & &1.payload) == Enum.to_list(1..25_000)
    assert [%{seq: 24_999}, %{seq: 25_000}] = node |> Sidekick.stream!("long", from: 24_999, batch: 1) |> Enum.to_list()
    assert [] = node |> Sidekick.stream!("long", from: :end) |> Enum.to_list()
    # What is appended by who reads is not read too.
    grown = Enum.map(Sidekick.stream!(node, "long", from: 25_000), &Sidekick.append!(node, "long", [&1.payload]).last)
    assert grown == [25_001]
    assert_raise Error, ~r/not_found/, fn -> Enum.take(Sidekick.stream!(node, "none"), 1) end
    assert_raise ArgumentError, fn -> Sidekick.stream!(node, "long", form: 1) end
    assert [%{seq: 1}] = Enum.take(stream, 1)
  end

  test "a stream is followed from before it exists, in order, and nothing stays behind in the mailbox" do
    %{node: node} = running!()
    writer = Task.async(fn -> for n <- 1..200, do: Sidekick.append!(node, "live", [n]) end)
    seen = node |> Sidekick.stream!("live", follow: true, batch: 7) |> Enum.take(200)
    assert Enum.map(seen, & &1.payload) == Enum.to_list(1..200)
    Task.await(writer)
    {:messages, left} = Process.info(self(), :messages)
    assert Enum.all?(left, fn {port, {:data, _}} -> is_port(port) end)
  end

  test "what is trimmed while a stream is read is passed over, and it goes on with what comes" do
    %{node: node} = running!()
    for n <- 1..100, do: Sidekick.append!(node, "live", [n])

    # Between two reads everything is stored, and so trimmed.
    trim = fn ->
      start_supervised!({Sidekick, data_dir: Folder.new!()})
      eventually(fn -> match?({:ok, %{first: 101}}, Sidekick.stream(node, "live")) end)
    end

    read = fn opts, then ->
      node
      |> Sidekick.stream!("live", [batch: 10] ++ opts)
      |> Stream.map(&tap(&1.seq, fn seq -> if seq == 10, do: then.() end))
    end

    assert Enum.to_list(read.([], trim)) == Enum.to_list(1..10)
    stop_supervised!(Sidekick)
    for n <- 101..200, do: Sidekick.append!(node, "live", [n])
    follower = Task.async(fn -> read.([follow: true], fn -> :ok end) |> Enum.take(110) end)
    for n <- 201..210, do: Sidekick.append!(node, "live", [n])
    assert Task.await(follower, 20_000) == Enum.to_list(101..210)
  end

  test "who follows a stream learns that the connection is lost" do
    sidekick = %{node: node} = running!()
    Sidekick.append!(node, "live", [1])
    test = self()

    follower =
      Task.async(fn ->
        assert_raise Error, fn ->
          node |> Sidekick.stream!("live", follow: true) |> Enum.each(&send(test, {:seen, &1.seq}))
        end
      end)

    assert_receive {:seen, 1}, 5_000
    Binary.kill!(sidekick)
    assert Task.await(follower, 20_000).code in [:not_connected, :no_sidekick]
  end

  test "events are enumerated until the connection is lost" do
    sidekick = %{node: node} = running!()
    started = fn -> node |> Sidekick.events!([:servers, :peers]) |> Enum.find(&(&1.type == :started)) end
    watcher = Task.async(started)
    # The subscription begins some time after the task, so one restart might be too early.
    done = eventually(fn -> Sidekick.restart_server!(node, "lobby") && Task.yield(watcher, 0) end)
    assert {:ok, %Event{node: ^node, topic: :servers, type: :started, data: %{id: "lobby", os_pid: os_pid}}} = done
    assert is_integer(os_pid)

    test = self()

    lost =
      Task.async(fn ->
        assert_raise Error, fn -> node |> Sidekick.events!({:stream, "s"}) |> Enum.each(&send(test, &1.type)) end
      end)

    eventually(fn ->
      Sidekick.append!(node, "s", [1])
      :records in (self() |> Process.info(:messages) |> elem(1))
    end)

    Binary.kill!(sidekick)
    assert Task.await(lost, 20_000).code in [:not_connected, :no_sidekick]
    assert_raise Error, fn -> Enum.take(Sidekick.events!(node, :servers), 1) end
  end
end
