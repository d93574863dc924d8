defmodule Sidekick.Panel.ModelTest do
  use ExUnit.Case, async: true

  import Sidekick.Test.FleetStory

  alias Sidekick.Panel.{Attention, Host, Model, Ring, Server}

  @node :"sidekick@game001.internal"
  @now start_ms() + 60_000

  defp model(inputs, model \\ Model.new()), do: Enum.reduce(inputs, model, &Model.reduce(&2, &1, @now))

  defp up(ids, opts \\ []), do: model([{:up, @node}, {:answers, @node, answers(ids, opts)}])

  defp codes(model, key) do
    limits = Attention.limits()

    case key do
      {:server, key} -> Attention.of_server(model.servers[key], limits, @now)
      {:host, node} -> Attention.of_host(model.hosts[node], limits, @now)
    end
    |> Enum.map(& &1.code)
  end

  test "a sidekick is loading until it answers, then its servers are there with their figures" do
    model = model([{:known, [%{node: @node, connected: true, since_ms: 5}]}])
    assert %{state: :loading, since_ms: 5} = model.hosts[@node]
    model = model([{:answers, @node, answers(["lobby"], last: 100, cursor: 40)}], model)
    assert %{state: :up, seen_ms: @now} = model.hosts[@node]
    assert %Server{state: :running, lag: 60} = server = model.servers[{@node, "lobby"}]
    refute is_map_key(server.status, :pid)
    assert Server.figure(server, :players) == 6
    assert Ring.series(server.samples, :players) == [{@now, 6.0}]
    assert Host.lag(model.hosts[@node]) == 60
  end

  test "a crash runs through the timeline, and is one crash however it is told" do
    :rand.seed(:exsss, 1)
    events = for event <- life("lobby", 1, start_ms()), do: {:event, @node, event}
    model = ["lobby"] |> up() |> then(&model(events, &1))
    server = model.servers[{@node, "lobby"}]
    assert server.state == :running and server.since_ms == start_ms() + 6
    assert Enum.map(server.timeline, & &1.kind) == [:playing, :started, :crash, :ended]
    assert %{number: 1, script_line: "res://main.gd:1"} = server.crash
    assert [%{node: @node, id: "lobby", number: 1}] = model.crashes
    summary = %{number: 1, at_ms: start_ms() + 1, reason: "hang", script_line: nil, bytes: 10}
    model = model([{:crashes, @node, %{"lobby" => [summary, %{summary | number: 2}, :junk], "other" => :junk}}], model)
    assert Enum.map(model.crashes, & &1.number) == [2, 1]
    assert :crashed in codes(model, {:server, {@node, "lobby"}})
  end

  test "an answer that was asked for before an event does not undo it" do
    model = up(["lobby"])
    event = event(:state, "lobby", at_ms: @now, from: :running, state: :unresponsive)
    model = Model.reduce(model, {:event, @node, event}, @now)
    late = %{answers(["lobby"]) | asked_ms: @now - 1}
    assert %{state: :unresponsive} = Model.reduce(model, {:answers, @node, late}, @now).servers[{@node, "lobby"}]
    fresh = %{answers(["lobby"]) | asked_ms: @now + 1}
    assert %{state: :running} = Model.reduce(model, {:answers, @node, fresh}, @now).servers[{@node, "lobby"}]
  end

  test "what is not in a whole picture is gone; who went while it was asked stays away" do
    model = up(["arena", "lobby"])
    {_, model} = Model.take(model)
    model = model([{:answers, @node, answers(["lobby"])}], model)
    assert Map.keys(model.servers) == [{@node, "lobby"}]
    assert {:server, {@node, "arena"}} in elem(Model.take(model), 0)
    model = model([{:down, @node}, {:answers, @node, answers(["lobby"])}], model)
    assert model.hosts[@node].state == :offline
    assert model.servers[{@node, "lobby"}].state == :running
    assert codes(model, {:host, @node}) == [:offline]
    model = model([{:forgotten, @node}], model)
    assert model.servers == %{} and model.hosts == %{}
  end

  test "one that does not answer is silent, and what it told stays" do
    error = {:error, %Sidekick.Error{code: :timeout}}
    model = model([{:answers, @node, %{info: error, servers: error, sinks: error, streams: error}}], up(["lobby"]))
    assert model.hosts[@node].state == :silent
    assert codes(model, {:host, @node}) == [:silent]
    assert model.servers[{@node, "lobby"}].state == :running
  end

  test "what the store remembers shows until something fresher comes, and never over it" do
    summary = %{
      node: @node,
      at_ms: 7,
      info: %{version: "0.0.9"},
      servers: [%{id: "lobby", state: :running}],
      sinks: [],
      streams: []
    }

    model = model([{:remembered, [summary]}])
    assert %{state: :offline, remembered_ms: 7} = model.hosts[@node]
    assert %{state: :running, remembered_ms: 7} = model.servers[{@node, "lobby"}]
    assert codes(model, {:server, {@node, "lobby"}}) == []
    model = model([{:up, @node}, {:answers, @node, answers(["lobby"])}], model)
    assert %{remembered_ms: nil} = model.servers[{@node, "lobby"}]
    assert model == model([{:remembered, [%{summary | at_ms: @now}]}], model)
  end

  test "attention says why and what to do, the most harmful first" do
    quarantined = [status: %{state: :quarantined, restarts: 4, last_exit: %{reason: :hang, at_ms: 1, bundle: 2}}]

    model =
      up(["lobby"], quarantined ++ [full: true, sink_error: "no connection", last: 90_000, cursor: 1])

    assert codes(model, {:server, {@node, "lobby"}}) == [:quarantined, :lag]
    assert codes(model, {:host, @node}) == [:buffer_full, :sink_error]
    limits = Attention.limits()
    [first | _] = reasons = Attention.of_server(model.servers[{@node, "lobby"}], limits, @now)
    assert first.sentence =~ "after 4 restarts, last by hang" and first.remedy =~ "release"

    all =
      reasons ++
        Attention.of_host(model.hosts[@node], limits, @now) ++ Attention.of_store(%{quorum: :lost, members: [1, 2, 3]})

    assert [:no_quorum, :quarantined | _] = sorted = all |> Attention.sort() |> Enum.map(& &1.code)
    assert sorted == all |> Enum.reverse() |> Attention.sort() |> Enum.map(& &1.code)
    assert sorted == Enum.sort_by(sorted, fn code -> Enum.find_index(Attention.codes(), &(&1 == code)) end)
    assert_raise ArgumentError, ~r/:nope/, fn -> Attention.limits(nope: 1) end
  end

  test "each state that is trouble has its reason" do
    for {status, opts, expected} <- [
          {%{state: :unresponsive}, [], [:unresponsive]},
          {%{state: :backing_off, next_start_ms: @now + 3_000}, [], [:backing_off]},
          {%{rss_bytes: 5_000_000_000}, [], [:memory]},
          {%{rss_bytes: 900, health: %{memory_high: true}}, [], [:memory]},
          {%{rss_bytes: 900, health: %{memory_high: false}}, [], []},
          {%{health: %{frame_ms: 80.0}}, [], [:frame_time]},
          {%{problem: "no hello"}, [], [:problem]},
          {%{}, [], []},
          {%{state: :standby}, [], []}
        ] do
      model = up(["lobby"], [status: status] ++ opts)
      assert {status, codes(model, {:server, {@node, "lobby"}})} == {status, expected}
    end

    assert codes(up(["lobby"], sink_state: :halted, sink_error: "another store"), {:host, @node}) == [:sink_halted]
  end

  test "a sink that refuses some state goes on, which is told otherwise than one that fails" do
    refused = [sink_error: "the sink refuses the state of s1: hats", refused: for(n <- 1..7, do: "s#{n}")]
    of_host = fn model -> Attention.of_host(model.hosts[@node], Attention.limits(), @now) end

    for state <- [:uploading, :idle] do
      assert [reason] = of_host.(up(["lobby"], [sink_state: state] ++ refused))
      assert reason.code == :state_refused
      assert reason.sentence =~ "goes on, but the state of s1, s2, s3, s4, s5 and 2 more waits: the sink refuses"
      assert reason.remedy =~ "Write a value that it takes" and reason.remedy =~ "ctl sink retry khepri"
    end

    # What it lacks beside them is told too; one that fails or has halted does not go on.
    model = up(["lobby"], [sink_state: :uploading, last: 90_000, cursor: 1] ++ refused)
    assert [:state_refused, :lag] = codes(model, {:host, @node})
    assert [_, %{sentence: sentence}] = of_host.(model)
    assert sentence =~ "records behind (8.6 MiB, the oldest since 7m 29s)."
    assert codes(up(["lobby"], [sink_state: :backing_off] ++ refused), {:host, @node}) == [:sink_error]
    assert codes(up(["lobby"], [sink_state: :halted] ++ refused), {:host, @node}) == [:sink_halted]
  end

  test "a sink that the configuration no longer has is not told as one that fails" do
    model = up(["lobby"], sink_state: :removed, sink_error: "the configuration does not have it", last: 3, cursor: 1)
    assert [reason] = Attention.of_host(model.hosts[@node], Attention.limits(), @now)
    assert reason.code == :sink_removed
    assert reason.sentence =~ "no sink khepri any more; kept for it: 2 records."
    assert reason.remedy =~ "sidekick ctl sink forget khepri"
  end

  # Whatever another version or a broken peer tells, the model stands.
  test "strange answers and events change nothing else and raise nothing" do
    :rand.seed(:exsss, 20_261)
    junk = [nil, 1, -1, 1.5, "x", <<255>>, :atom, [], [1], %{}, %{a: 1}, {}, {:ok}, self(), make_ref()]

    keys = [
      :id,
      :state,
      :health,
      :rss_bytes,
      :last_exit,
      :problem,
      :restarts,
      :since_ms,
      :standby,
      :number,
      :reason,
      :script_line
    ]

    Enum.reduce(1..3_000, up(["lobby"]), fn _, model ->
      fields = for key <- Enum.take_random(keys, 4), into: %{}, do: {key, Enum.random(junk)}
      status = Map.merge(status("lobby"), fields)
      type = Enum.random([:state, :crash, :ended, :started, :promoted, :never_heard_of, :hang, :quarantined, :level])

      input =
        case :rand.uniform(4) do
          1 -> {:answers, @node, %{answers([]) | servers: {:ok, [status, Enum.random(junk)]}}}
          2 -> {:answers, @node, %{answers(["lobby"]) | sinks: {:ok, junk}, streams: {:ok, junk}, info: {:ok, %{}}}}
          3 -> {:event, @node, Map.merge(event(type, "lobby"), fields)}
          4 -> {Enum.random(junk), Enum.random(junk)}
        end

      model = Model.reduce(model, input, @now)
      limits = Attention.limits()
      for {_, server} <- model.servers, do: assert(is_list(Attention.of_server(server, limits, @now)))
      for {_, host} <- model.hosts, do: assert(is_list(Attention.of_host(host, limits, @now)))
      model
    end)
  end
end
