defmodule SidekickTest do
  # How the client reads answers; that a real sidekick gives them is `Sidekick.IntegrationTest`'s.
  use ExUnit.Case, async: false

  alias Sidekick.Error

  defmodule Echo do
    @moduledoc false
    use GenServer

    @impl GenServer
    def init(answer), do: {:ok, answer}
    @impl GenServer
    def handle_call(request, _from, answer), do: answer.(request, answer)
  end

  defp answer(fun) do
    {:ok, pid} = GenServer.start_link(Echo, fun)
    Process.register(pid, :sidekick)
    :ok
  end

  test "a node that is away is an error" do
    assert {:error, %Error{code: :not_connected, node: :"nobody@127.0.0.1"}} = Sidekick.info(:"nobody@127.0.0.1")
  end

  test "a node without sidekick is an error" do
    assert {:error, %Error{code: :no_sidekick} = error} = Sidekick.info(node())

    assert Exception.message(error) ==
             "no_sidekick (#{node()}); the node is up, but it is no sidekick, or one that is just starting"

    assert %{:"nobody@127.0.0.1" => {:error, away}} =
             answers = Sidekick.multi_request([node(), :"nobody@127.0.0.1", node()], :info)

    assert answers[node()] == {:error, error} and away.code == :not_connected
    assert Exception.message(away) =~ ~r/same cookie, and reachable from #{node()}/
  end

  test "no answer in time is an error" do
    answer(fn _, state -> {:noreply, state} end)
    assert {:error, %Error{code: :timeout}} = Sidekick.info(node(), timeout: 20)

    assert %{:"nobody@127.0.0.1" => {:error, %Error{code: :not_connected}}} =
             answers = Sidekick.multi_request([node(), :"nobody@127.0.0.1"], :info, timeout: 20)

    assert {:error, %Error{code: :timeout}} = answers[node()]
    # What comes late is dropped.
    assert Process.info(self(), :messages) == {:messages, []}
  end

  test "sidekick's own errors and odd answers are errors" do
    answer(fn
      {:server, id}, state -> {:reply, {:error, {:not_found, %{id: id}}}, state}
      :info, state -> {:reply, :what, state}
      :servers, _state -> exit(:oops)
    end)

    Process.flag(:trap_exit, true)
    assert {:error, %Error{code: :not_found, details: %{id: "x"}}} = Sidekick.server(node(), "x")
    assert {:error, %Error{code: :bad_reply, details: %{reply: :what}}} = Sidekick.info(node())

    ExUnit.CaptureLog.capture_log(fn ->
      assert {:error, %Error{code: :failed, details: %{reason: :oops}}} = Sidekick.servers(node())
    end)
  end

  test "each function sends the documented request" do
    answer(&{:reply, {:ok, &1}, &2})
    n = node()
    me = self()
    ref = make_ref()

    for {call, request} <- [
          {fn -> Sidekick.info(n) end, :info},
          {fn -> Sidekick.servers(n) end, :servers},
          {fn -> Sidekick.server(n, "a") end, {:server, "a"}},
          {fn -> Sidekick.start_server(n, "a") end, {:start_server, "a"}},
          {fn -> Sidekick.stop_server(n, "a") end, {:stop_server, "a"}},
          {fn -> Sidekick.restart_server(n, "a") end, {:restart_server, "a"}},
          {fn -> Sidekick.rolling_restart(n, "zones") end, {:rolling_restart, "zones"}},
          {fn -> Sidekick.reload(n) end, {:reload, %{plan: false}}},
          {fn -> Sidekick.reload(n, plan: true) end, {:reload, %{plan: true}}},
          {fn -> Sidekick.drain_server(n, "a") end, {:drain_server, "a"}},
          {fn -> Sidekick.kill_server(n, "a") end, {:kill_server, "a"}},
          {fn -> Sidekick.logs(n, "a") end, {:logs, "a", %{limit: 100}}},
          {fn -> Sidekick.logs(n, "a", limit: 5, after: 9) end, {:logs, "a", %{limit: 5, after: 9}}},
          {fn -> Sidekick.crashes(n, "a") end, {:crashes, "a"}},
          {fn -> Sidekick.crash(n, "a", 2) end, {:crash, "a", 2}},
          {fn -> Sidekick.append(n, "s", [1]) end, {:append, "s", [1]}},
          {fn -> Sidekick.append(n, "s", [1], producer: "p", batch: 3) end,
           {:append, "s", [1], %{producer: "p", batch: 3}}},
          {fn -> Sidekick.read(n, "s", 1, 10) end, {:read, "s", 1, 10}},
          {fn -> Sidekick.streams(n) end, :streams},
          {fn -> Sidekick.stream(n, "s") end, {:stream, "s"}},
          {fn -> Sidekick.put_state(n, "z", "k", 1) end, {:put_state, "z", "k", 1}},
          {fn -> Sidekick.delete_state(n, "z", "k") end, {:delete_state, "z", "k"}},
          {fn -> Sidekick.get_state(n, "z", "k") end, {:get_state, "z", "k"}},
          {fn -> Sidekick.state_history(n, "z", "k") end, {:state_history, "z", "k"}},
          {fn -> Sidekick.state(n, "z") end, {:state, "z"}},
          {fn -> Sidekick.sinks(n) end, :sinks},
          {fn -> Sidekick.forget_sink(n, "k") end, {:forget_sink, "k"}},
          {fn -> Sidekick.init_sink(n, "k") end, {:init_sink, "k"}},
          {fn -> Sidekick.init_sink(n, "k", sql: true) end, {:init_sink, "k", %{sql: true}}},
          {fn -> Sidekick.drain_sinks(n) end, {:drain_sinks, 60_000}},
          {fn -> Sidekick.drain_sinks(n, deadline: 7) end, {:drain_sinks, 7}},
          {fn -> Sidekick.drain_sink(n, "k") end, {:drain_sink, "k", %{timeout_ms: 60_000}}},
          {fn -> Sidekick.drain_sink(n, :all, deadline: 7) end, {:drain_sink, :all, %{timeout_ms: 7}}},
          {fn -> Sidekick.retry_sink(n, "k") end, {:retry_sink, "k"}},
          {fn -> Sidekick.dead_letters(n, "k") end, {:dead_letters, "k"}},
          {fn -> Sidekick.redrive_dead(n, "k", :all) end, {:redrive_dead, "k", :all}},
          {fn -> Sidekick.discard_dead(n, "k", 3) end, {:discard_dead, "k", 3}},
          {fn -> Sidekick.subscribe(n, :servers) end, {:subscribe, me, [:servers]}},
          {fn -> Sidekick.unsubscribe(n, ref) end, {:unsubscribe, ref}}
        ] do
      assert {:ok, ^request} = call.()
    end

    assert_raise ArgumentError, fn -> Sidekick.append(n, "s", [1], batch: 3) end
  end

  test "what only the caller can have mistaken raises, and says what" do
    n = node()

    for {call, named} <- [
          {fn -> Sidekick.info("sidekick@127.0.0.1") end, ~s(got "sidekick@127.0.0.1")},
          {fn -> Sidekick.info(nil) end, "got nil"},
          {fn -> Sidekick.multi_request([n, "x"], :info) end, ~s(got "x")},
          {fn -> Sidekick.info(n, timeuot: 1) end, ":timeuot"},
          {fn -> Sidekick.servers!(n, timeout: -1) end, ":timeout must"},
          {fn -> Sidekick.stop_server(n, "a", deadlin: 1) end, ":deadlin"},
          {fn -> Sidekick.stream!(n, "s", batch: 0) end, ":batch"},
          {fn -> Sidekick.stream!(n, "s", follow: :yes) end, ":follow"},
          {fn -> Sidekick.stream!(n, "s", from: 0) end, ":from"},
          {fn -> Sidekick.stream!(n, "s", form: 1) end, ":form"},
          {fn -> Sidekick.events!(n, :servers, max_que: 1) end, ":max_que"}
        ] do
      error = assert_raise ArgumentError, call
      assert Exception.message(error) =~ named
    end
  end

  test "a game that has not said hello is told from a node that is away" do
    answer(fn {:drain_server, "lobby"}, s ->
      {:reply, {:error, {:not_connected, %{detail: "lobby has no session"}}}, s}
    end)

    assert {:error, %Error{code: :no_session} = error} = Sidekick.drain_server(node(), "lobby")
    assert Exception.message(error) =~ "lobby has no session"
  end

  test "events that wait for a slow consumer are bounded; what went is told, and the subscription ends with it" do
    test = self()
    ref = make_ref()

    answer(fn
      {:subscribe, pid, [:servers]}, state ->
        # Before the answer, so that they are all there before the first is asked for.
        for n <- 1..10, do: send(pid, {:sidekick_event, node(), ref, event(n)})
        {:reply, {:ok, ref}, state}

      {:unsubscribe, ended}, state ->
        send(test, {:unsubscribed, ended})
        {:reply, :ok, state}
    end)

    events = node() |> Sidekick.events!(:servers, max_queue: 3) |> Enum.take(4)
    assert [%{type: :lagged, data: %{missed: 7}}, %{seq: 8}, %{seq: 9}, %{seq: 10, data: %{id: "lobby"}}] = events
    assert_receive {:unsubscribed, ^ref}
    assert_raise ArgumentError, fn -> Sidekick.events!(node(), :servers, max_queue: 0) end
  end

  defp event(n), do: %{topic: :servers, type: :state, seq: n, at_ms: n, id: "lobby"}
end
