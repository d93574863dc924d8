defmodule Sidekick.Panel.Hub do
  @moduledoc """
  The one process of a node that knows the whole fleet for its pages. See `Sidekick.Panel` for how to start and read it.

  It is subscribed to every sidekick and to the store, feeds what they tell to `Sidekick.Panel.Model`, and publishes the outcome in an
  ETS table named like itself; pages read there and keep only their query. So a page costs its own rows, not a copy of the fleet, and a
  crash is seen by an event while figures (frame time, memory, lag) are sampled.

  Bounds. Pages are told of changes at most once in `flush_ms`, and only once they have taken in the change before (`ready/2`): what
  happens meanwhile is gathered, and becomes `:all` where it is more than #{500} things. Where this process itself falls behind
  (#{20_000} messages waiting), the events that wait are dropped, every sidekick is asked anew, and pages are told `:all`.

  A silent sidekick must not hold up the others, so those that did not answer last time are asked apart from those that did.
  """

  use GenServer

  alias Sidekick.{Nodes, Store}
  alias Sidekick.Panel.{Asking, Attention, Memory, Model, StoreView}
  alias Sidekick.Panel.Hub.Tables
  alias Sidekick.Store.Watch

  require Logger

  @defaults [
    name: __MODULE__,
    connector: Sidekick.Connector,
    store: :sidekick_store,
    sample_ms: 2_000,
    flush_ms: 250,
    remember_ms: 60_000,
    limits: []
  ]
  @topics [:servers, :buffer, :peers]
  @pending_max 500
  @queue_max 20_000
  @store_ms 5_000
  @lanes [:healthy, :suspect]
  @listed_at_once 20

  defstruct [
    :options,
    :nodes_ref,
    :watch_ref,
    :store_ref,
    :memory_ref,
    model: Model.new(),
    tables: nil,
    asking: %{},
    refs: %{},
    listed: MapSet.new(),
    pages: %{},
    flushing: false,
    again: false,
    overflows: 0
  ]

  @type change :: Model.change()
  @type told :: %{version: pos_integer(), changes: :all | [change()]}

  @doc false
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts) do
    case Keyword.keys(opts) -- Keyword.keys(@defaults) do
      [] -> :ok
      [key | _] -> raise ArgumentError, "unknown option #{inspect(key)} for Sidekick.Panel"
    end

    options = @defaults |> Keyword.merge(opts) |> Map.new() |> Map.update!(:limits, &Attention.limits/1)

    for key <- [:sample_ms, :flush_ms, :remember_ms], not (is_integer(options[key]) and options[key] > 0) do
      raise ArgumentError, "#{inspect(key)} of Sidekick.Panel must be a positive integer, got #{inspect(options[key])}"
    end

    GenServer.start_link(__MODULE__, options, name: options.name)
  end

  @doc """
  Tells `pid` of changes: `{:sidekick_panel, ref, %{version:, changes: :all | [change]}}`. The first one comes at once, and is `:all`.
  The next one comes after `ready/2`. Ends with the process.
  """
  @spec subscribe(pid(), GenServer.server()) :: {:ok, reference()}
  def subscribe(pid \\ self(), hub \\ __MODULE__), do: GenServer.call(hub, {:subscribe, pid})

  @doc "The last change was taken in; the next may come."
  @spec ready(reference(), GenServer.server()) :: :ok
  def ready(ref, hub \\ __MODULE__), do: GenServer.cast(hub, {:ready, ref})

  @doc "Puts what an operator did onto a server's timeline."
  @spec acted(node(), binary(), String.t(), GenServer.server()) :: :ok
  def acted(node, id, text, hub \\ __MODULE__), do: GenServer.cast(hub, {:input, {:acted, node, id, text}})

  @doc "How this process fares: pages, messages waiting, how often it fell behind, servers refused for want of room."
  @spec figures(GenServer.server()) :: map()
  def figures(hub \\ __MODULE__), do: GenServer.call(hub, :figures)

  @impl GenServer
  def init(options) do
    tables = Tables.new(options.name, options.limits)
    {:ok, %__MODULE__{options: options, tables: tables}, {:continue, :begin}}
  end

  @impl GenServer
  def handle_continue(:begin, s) do
    for what <- [:sample, :remember, :store], do: send(self(), what)
    {:noreply, s |> connect() |> soon()}
  end

  @impl GenServer
  def handle_call({:subscribe, pid}, _from, s) do
    ref = Process.monitor(pid)
    page = tell(%{pid: pid, ref: ref, pending: :all, ready: true}, s.tables.version)
    {:reply, {:ok, ref}, %{s | pages: Map.put(s.pages, ref, page)}}
  end

  def handle_call(:figures, _from, s) do
    {:message_queue_len, waiting} = Process.info(self(), :message_queue_len)
    {:reply, %{pages: map_size(s.pages), waiting: waiting, overflows: s.overflows, refused: s.model.refused}, s}
  end

  @impl GenServer
  def handle_cast({:ready, ref}, s) when is_map_key(s.pages, ref) do
    page = tell(%{s.pages[ref] | ready: true}, s.tables.version)
    {:noreply, %{s | pages: Map.put(s.pages, ref, page)}}
  end

  def handle_cast({:input, input}, s), do: {:noreply, input(s, input)}
  def handle_cast(_message, s), do: {:noreply, s}

  @impl GenServer
  def handle_info({:sidekick_event, node, ref, event}, s) when :erlang.map_get(node, s.refs) == ref do
    if event[:type] == :lagged,
      do: {:noreply, s |> unlisted(node) |> ask(:suspect, [node])},
      else: {:noreply, input(s, {:event, node, event})}
  end

  def handle_info({:sidekick_node, :up, node, _}, s), do: {:noreply, s |> input({:up, node}) |> ask(:suspect, [node])}

  def handle_info({:sidekick_node, :down, node, _}, s) do
    s = input(unlisted(%{s | refs: Map.delete(s.refs, node)}, node), {:down, node})
    {:noreply, remember(s, [node])}
  end

  def handle_info({:sidekick_store, _, {:changed, {:node, _}}}, s), do: {:noreply, announced(s)}
  def handle_info({:sidekick_store, _, {:quorum, _}}, s), do: {:noreply, look_at_store(s)}
  def handle_info(:flush, s), do: {:noreply, flush(%{s | flushing: false})}

  def handle_info(:sample, s) do
    Process.send_after(self(), :sample, s.options.sample_ms)
    s = %{s | again: true} |> keep_up() |> connect()
    {healthy, suspect} = Enum.split_with(Map.values(s.model.hosts), &(&1.state == :up))
    asked = for %{state: state, node: node} <- suspect, state != :offline, do: node
    {:noreply, s |> ask(:healthy, Enum.map(healthy, & &1.node)) |> ask(:suspect, asked) |> soon()}
  end

  def handle_info(:store, s) do
    Process.send_after(self(), :store, @store_ms)
    {:noreply, s |> watch() |> announced() |> look_at_store()}
  end

  def handle_info(:remember, s) do
    Process.send_after(self(), :remember, s.options.remember_ms)
    {:noreply, remember(s, for({node, %{state: :up}} <- s.model.hosts, do: node))}
  end

  def handle_info({:DOWN, ref, _, _, reason}, s), do: {:noreply, ended(s, ref, reason)}
  def handle_info(_message, s), do: {:noreply, s}

  defp ended(%{store_ref: ref} = s, ref, reason) do
    s = %{s | store_ref: nil}
    with {:store, store} <- reason, do: input(s, {:store, store}), else: (_ -> s)
  end

  defp ended(%{memory_ref: ref} = s, ref, _reason), do: %{s | memory_ref: nil}
  defp ended(%{nodes_ref: ref} = s, ref, _reason), do: %{s | nodes_ref: nil}
  defp ended(%{watch_ref: ref} = s, ref, _reason), do: %{s | watch_ref: nil}

  defp ended(s, ref, reason) do
    case Enum.find(s.asking, fn {_lane, {asking, _}} -> asking == ref end) do
      {lane, {_ref, due}} ->
        s = answered(%{s | asking: Map.delete(s.asking, lane)}, reason)
        if lane in @lanes, do: ask(s, lane, MapSet.to_list(due)), else: s

      nil ->
        %{s | pages: Map.delete(s.pages, ref)}
    end
  end

  # An asking that failed as a whole changes nothing; the next one may do.
  defp answered(s, {:answers, answers, refs}) do
    now_ms = now_ms()

    model =
      Enum.reduce(answers, s.model, fn {node, given}, model -> Model.reduce(model, {:answers, node, given}, now_ms) end)

    # One that went meanwhile took its subscription with it.
    refs = for {node, ref} <- refs, match?(%{state: :up}, model.hosts[node]), into: s.refs, do: {node, ref}
    soon(list_crashes(%{s | model: model, refs: refs}))
  end

  defp answered(s, {:crashes, nodes, lists}) do
    s = Enum.reduce(lists, s, fn {node, lists}, s -> input(s, {:crashes, node, lists}) end)
    list_crashes(%{s | listed: MapSet.union(s.listed, MapSet.new(nodes))})
  end

  defp answered(s, _reason), do: s

  # In a process of its own, one for each lane: a node may take seconds not to answer. What is due meanwhile comes next.
  defp ask(s, _lane, []), do: s

  defp ask(%{asking: asking} = s, lane, nodes) when lane in @lanes do
    case asking do
      %{^lane => {ref, due}} ->
        due = if lane == :healthy, do: due, else: MapSet.union(due, MapSet.new(nodes))
        %{s | asking: Map.put(asking, lane, {ref, due})}

      _ ->
        new = Enum.reject(nodes, &is_map_key(s.refs, &1))
        hub = self()
        {_pid, ref} = spawn_monitor(fn -> exit(asked(nodes, new, hub)) end)
        %{s | asking: Map.put(asking, lane, {ref, MapSet.new()})}
    end
  end

  # Subscribed before it is asked: what happens between the two is told by an event, and not lost.
  defp asked(nodes, new, hub) do
    refs = for {node, {:ok, ref}} <- Asking.request(new, {:subscribe, hub, @topics}), do: {node, ref}
    {:answers, Asking.all(nodes), refs}
  end

  # Once after it came, or after its events were missed: then events tell. Lists are read from disk there, so not of all at once.
  defp list_crashes(%{asking: %{crashes: _}} = s), do: s

  defp list_crashes(s) do
    case Enum.take(for({node, %{state: :up}} <- s.model.hosts, node not in s.listed, do: node), @listed_at_once) do
      [] ->
        s

      nodes ->
        wanted = for node <- nodes, do: {node, MapSet.to_list(Model.ids(s.model, node))}
        {_pid, ref} = spawn_monitor(fn -> exit({:crashes, nodes, Asking.crashes(wanted)}) end)
        %{s | asking: Map.put(s.asking, :crashes, {ref, MapSet.new()})}
    end
  end

  defp unlisted(s, node), do: %{s | listed: MapSet.delete(s.listed, node)}

  defp input(s, input) do
    model = Model.reduce(s.model, input, now_ms())
    s = %{s | model: model}
    if MapSet.size(model.changed) == 0, do: s, else: soon(s)
  end

  defp soon(%{flushing: true} = s), do: s

  defp soon(s) do
    Process.send_after(self(), :flush, s.options.flush_ms)
    %{s | flushing: true}
  end

  defp flush(s) do
    {changed, model} = Model.take(s.model)
    {tables, changes} = Tables.publish(s.tables, model, changed, s.again, now_ms())
    pages = Map.new(s.pages, fn {ref, page} -> {ref, page |> pend(changes) |> tell(tables.version)} end)
    %{s | model: model, tables: tables, pages: pages, again: false}
  end

  defp pend(%{pending: :all} = page, _changes), do: page

  defp pend(%{pending: pending} = page, changes) do
    pending = MapSet.union(pending, changes)
    %{page | pending: if(MapSet.size(pending) > @pending_max, do: :all, else: pending)}
  end

  defp tell(%{ready: false} = page, _version), do: page

  defp tell(%{pending: pending} = page, version) do
    changes = if pending == :all, do: :all, else: Enum.sort(pending)

    if changes == [] do
      page
    else
      send(page.pid, {:sidekick_panel, page.ref, %{version: version, changes: changes}})
      %{page | pending: MapSet.new(), ready: false}
    end
  end

  defp keep_up(s) do
    case Process.info(self(), :message_queue_len) do
      {:message_queue_len, waiting} when waiting > @queue_max ->
        dropped = drop_events(0)

        Logger.warning(
          "#{inspect(s.options.name)} fell behind: #{dropped} events dropped, every sidekick is asked anew"
        )

        pages = Map.new(s.pages, fn {ref, page} -> {ref, %{page | pending: :all}} end)
        %{s | overflows: s.overflows + 1, pages: pages, listed: MapSet.new()}

      _ ->
        s
    end
  end

  defp drop_events(dropped) do
    receive do
      {:sidekick_event, _node, _ref, _event} -> drop_events(dropped + 1)
    after
      0 -> dropped
    end
  end

  # Connector and store are of another part of the tree, which may be starting again.
  defp connect(%{nodes_ref: nil, options: %{connector: connector}} = s) do
    monitor = Process.monitor(connector)
    {:ok, _ref, nodes} = Nodes.subscribe(self(), connector)
    up = for %{node: node, connected: true} <- nodes, do: node
    %{s | nodes_ref: monitor} |> input({:known, nodes}) |> ask(:suspect, up)
  catch
    :exit, _ -> s
  end

  defp connect(s), do: s

  defp watch(%{watch_ref: nil, options: %{store: store}} = s) do
    monitor = Process.monitor(Watch.name(store))
    {:ok, _} = Watch.subscribe(self(), store)
    s = %{s | watch_ref: monitor}
    with {:ok, summaries} <- Memory.all(store), do: input(s, {:remembered, summaries}), else: ({:error, _} -> s)
  catch
    :exit, _ -> s
  end

  defp watch(s), do: s

  # Who uploads is known from then on, and stayed connected to; `Sidekick.Fleet` does the same where it runs.
  defp announced(%{options: %{store: store, connector: connector}} = s) do
    with {:ok, nodes} <- Store.nodes(store) do
      for node <- Map.keys(nodes), node != node(), not is_map_key(s.model.hosts, node), do: Nodes.add(node, connector)
      input(s, {:known, Nodes.list(connector)})
    else
      {:error, _} -> s
    end
  catch
    :exit, _ -> s
    :error, _ -> s
  end

  defp look_at_store(%{store_ref: nil, options: %{store: store}} = s) do
    {_pid, ref} = spawn_monitor(fn -> exit({:store, StoreView.read(store)}) end)
    %{s | store_ref: ref}
  end

  defp look_at_store(s), do: s

  # By one node of the cluster, the leader's; the same summaries from each would be written several times.
  defp remember(%{memory_ref: nil, options: %{store: store}} = s, nodes) do
    if :ra_leaderboard.lookup_leader(store) == {store, node()} do
      summaries =
        for node <- nodes, %{seen_ms: seen} = host when seen != nil <- [s.model.hosts[node]], do: summary(s.model, host)

      {_pid, ref} = spawn_monitor(fn -> Enum.each(summaries, &Memory.write(&1, store)) end)
      %{s | memory_ref: ref}
    else
      s
    end
  catch
    :error, _ -> s
  end

  defp remember(s, _nodes), do: s

  defp summary(model, %{node: node} = host) do
    servers = for id <- Model.ids(model, node), server = model.servers[{node, id}], do: server
    Memory.summary(host, servers)
  end

  defp now_ms, do: System.os_time(:millisecond)
end
