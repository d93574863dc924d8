defmodule Sidekick.Panel.HubTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Sidekick.Test.{Eventually, FleetStory}

  alias Sidekick.Panel
  alias Sidekick.Panel.{Hub, Memory, Notice, Query}
  alias Sidekick.Test.Instance

  # Without a connector or a store of its own: what it is told comes from the test, as from sidekicks.
  defp start_hub!(opts \\ []) do
    name = :"hub_#{System.unique_integer([:positive])}"
    defaults = [name: name, connector: :no_connector, store: :no_store, flush_ms: 20, sample_ms: 50]
    start_supervised!({Panel, Keyword.merge(defaults, opts)})
    name
  end

  defp tell(hub, inputs), do: Enum.each(inputs, &GenServer.cast(hub, {:input, &1}))

  defp fleet(nodes, per_node) do
    Enum.flat_map(nodes, fn node ->
      [{:up, node}, {:answers, node, answers(for(n <- 1..per_node, do: "s#{n}"))}]
    end)
  end

  defp told(ref) do
    receive do
      {:sidekick_panel, ^ref, told} -> told
    after
      10_000 -> flunk("the page was told nothing")
    end
  end

  # Takes in changes until one holds the thing.
  defp told_of(hub, ref, change) do
    %{changes: changes} = told(ref)
    Panel.ready(ref, hub)
    if changes == :all or change in changes, do: changes, else: told_of(hub, ref, change)
  end

  test "200 sidekicks with 2,000 servers: lists are right, and a crash reaches a page among thousands of other events" do
    :rand.seed(:exsss, 200)
    hub = start_hub!()
    nodes = nodes(200)
    tell(hub, fleet(nodes, 10))
    eventually(fn -> match?(%{servers: %{running: 2_000}}, Panel.totals(hub)) end)
    assert %{sidekicks: %{up: 200}, players: players, attention: 0} = Panel.totals(hub)
    assert players == 2_000 * 6.0 or players == 12_000
    assert %{total: 2_000, pages: 40, rows: rows} = Panel.servers(%Query{}, hub)
    assert length(rows) == 50

    {:ok, ref} = Panel.subscribe(self(), hub)
    assert %{changes: :all} = told(ref)
    Panel.ready(ref, hub)

    # Every server lives a life; one of them is then quarantined.
    stories = for node <- nodes, n <- 1..10, event <- life("s#{n}", 1, start_ms() + n), do: {:event, node, event}
    victim = {Enum.at(nodes, 117), "s7"}
    {node, id} = victim
    tell(hub, stories)
    tell(hub, [{:event, node, event(:quarantined, id, restarts: 3, seconds: 5, at_ms: start_ms() + 50)}])
    told_of(hub, ref, {:server, victim})

    eventually(fn ->
      match?(
        %{total: 1, rows: [{%{key: ^victim}, %{state: :quarantined}, [_ | _]}]},
        Panel.servers(%Query{state: :quarantined}, hub)
      )
    end)

    # Rows are written one by one and what they come to after them; pages are told once all of it is there.
    eventually(fn -> match?([%{subject: {:server, ^victim}, code: :quarantined} | _], Panel.attention(hub)) end)
    assert %{rows: [{%{key: ^victim}, _, _} | _]} = Panel.servers(%Query{}, hub)
    assert {_, %{timeline: [%{kind: :quarantined} | _]}, _} = Panel.server(node, id, hub)
    assert length(Panel.crashes(hub)) == 500
    assert %{overflows: 0, refused: 0} = Hub.figures(hub)

    # What a view of 2,000 rows costs, counted in reductions, which no other load changes.
    {:reductions, before} = Process.info(self(), :reductions)
    for _ <- 1..20, do: Panel.servers(%Query{sort: :memory, text: "s1"}, hub)
    {:reductions, later} = Process.info(self(), :reductions)
    assert div(later - before, 20) < 250_000
  end

  test "a page that does not keep up is told once, of everything it missed; at most so much" do
    hub = start_hub!()
    [node] = nodes(1)
    ids = for n <- 1..600, do: "s#{n}"
    tell(hub, [{:up, node}, {:answers, node, answers(ids)}])
    eventually(fn -> match?(%{servers: %{running: 600}}, Panel.totals(hub)) end)
    {:ok, ref} = Panel.subscribe(self(), hub)
    assert %{changes: :all, version: first} = told(ref)

    change = fn id, n -> {:event, node, event(:state, id, state: :stopping, at_ms: start_ms() + n)} end
    tell(hub, for(n <- 1..3, do: change.("s#{n}", n)))
    eventually(fn -> match?(%{servers: %{stopping: 3}}, Panel.totals(hub)) end)
    refute_received {:sidekick_panel, ^ref, _}
    Panel.ready(ref, hub)
    assert %{changes: changes, version: second} = told(ref)
    assert second > first
    assert for({:server, {_, id}} <- changes, do: id) == ["s1", "s2", "s3"]

    tell(hub, for({id, n} <- Enum.with_index(ids), do: change.(id, n + 10)))
    eventually(fn -> match?(%{servers: %{stopping: 600}}, Panel.totals(hub)) end)
    Panel.ready(ref, hub)
    assert %{changes: :all} = told(ref)
  end

  test "a page that ends is forgotten, and one more is told everything at once" do
    hub = start_hub!()
    page = spawn(fn -> receive(do: (:end -> :ok)) end)
    {:ok, _} = Panel.subscribe(page, hub)
    assert %{pages: 1} = Hub.figures(hub)
    Process.exit(page, :kill)
    eventually(fn -> Hub.figures(hub).pages == 0 end)
    {:ok, ref} = Panel.subscribe(self(), hub)
    assert %{changes: :all} = told(ref)
  end

  test "where events come faster than they are taken in, they are dropped, it says so, and pages are told everything" do
    log =
      capture_log(fn ->
        hub = start_hub!()
        {:ok, ref} = Panel.subscribe(self(), hub)
        told(ref)
        Panel.ready(ref, hub)
        :sys.suspend(hub)
        # A subscription's events, as a node floods them; the table must not be read while the process stands still.
        event = {:sidekick_event, :"flood@127.0.0.1", make_ref(), event(:state, "lobby", state: :running)}
        pid = Process.whereis(hub)
        send(pid, :sample)
        for _ <- 1..25_000, do: send(pid, event)
        :sys.resume(hub)
        eventually(fn -> match?(%{overflows: 1, waiting: waiting} when waiting < 1_000, Hub.figures(hub)) end)
        tell(hub, [{:up, :"late@127.0.0.1"}])
        assert told_of(hub, ref, {:host, :"late@127.0.0.1"}) == :all
      end)

    assert log =~ "fell behind" and log =~ "asked anew"
  end

  test "of a sidekick that is away the store's memory is shown, with its age; a lost store is told" do
    instance = Instance.start!()
    [gone] = nodes(1)

    model =
      Enum.reduce(
        [{:up, gone}, {:answers, gone, answers(["arena", "lobby"])}],
        Panel.Model.new(),
        &Panel.Model.reduce(&2, &1, 5_000)
      )

    servers = Map.values(model.servers)
    :ok = Memory.write(Memory.summary(model.hosts[gone], servers), instance.store)
    hub = start_hub!(connector: instance.connector, store: instance.store)
    eventually(fn -> match?({_, %{remembered_ms: 5_000}, _}, Panel.server(gone, "lobby", hub)) end)
    assert {_, host, [%{code: :offline}]} = Panel.sidekick(gone, hub)
    assert %{kind: :stale, text: text} = Notice.of_host(host, 65_000)
    assert text =~ "this is from 1m ago"
    assert {_, %{state: :running, status: %{health: %{players: 6}}}, []} = Panel.server(gone, "lobby", hub)
    eventually(fn -> match?(%{members: [%{leader: true}], quorum: :available, error: nil}, Panel.store(hub)) end)
    assert Notice.of_store(Panel.store(hub)) == nil

    Instance.stop!(instance)
    tell(hub, [{:store, Panel.StoreView.read(instance.store)}])
    eventually(fn -> Panel.store(hub).error != nil end)
    assert %{kind: :error, todo: todo} = Notice.of_store(Panel.store(hub))
    assert todo =~ "Start"
  end

  test "a summary is bounded, and forgotten where that is wanted" do
    instance = Instance.start!()
    [node] = nodes(1)
    ids = for n <- 1..900, do: "server_with_a_rather_long_name_#{n}"
    status = [status: %{problem: String.duplicate("x", 10_000), last_exit: %{reason: {:signal, :sigsegv}, pid: self()}}]

    model =
      Enum.reduce(
        [{:up, node}, {:answers, node, answers(ids, status)}],
        Panel.Model.new(),
        &Panel.Model.reduce(&2, &1, 5_000)
      )

    summary = Memory.summary(model.hosts[node], Map.values(model.servers))
    assert :erlang.external_size(summary) <= 200_000
    assert length(summary.servers) + summary.left_out == 900 and summary.servers != []
    :ok = Memory.write(summary, instance.store)
    assert {:ok, [^summary]} = Memory.all(instance.store)
    :ok = Memory.forget(node, instance.store)
    assert {:ok, []} = Memory.all(instance.store)
  end

  test "where it does not run, a page can say so" do
    assert Panel.servers(%Query{}, :no_hub) == nil and Panel.attention(:no_hub) == nil and Panel.totals(:no_hub) == nil
    assert Panel.server(:a@b, "x", :no_hub) == nil and Panel.sidekicks(%Query{}, :no_hub) == nil
    assert %{kind: :loading} = Notice.of(:not_running)
    assert_raise ArgumentError, ~r/:nope/, fn -> Hub.start_link(nope: 1) end
    assert_raise ArgumentError, ~r/:flush_ms/, fn -> Hub.start_link(flush_ms: 0) end
  end
end
