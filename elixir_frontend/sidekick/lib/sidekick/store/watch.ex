defmodule Sidekick.Store.Watch do
  @moduledoc """
  Tells what happens to a store: what was changed, and whether the cluster still has a majority.

      {:ok, ref} = Sidekick.Store.Watch.subscribe()

      receive do
        {:sidekick_store, :sidekick_store, {:changed, {:stream, origin, stream}}} -> ...
        {:sidekick_store, :sidekick_store, {:changed, {:state, origin, scope}}} -> ...
        {:sidekick_store, :sidekick_store, {:changed, {:node, node}}} -> ...
        {:sidekick_store, :sidekick_store, {:changed, {:fleet, node}}} -> ...
        {:sidekick_store, :sidekick_store, {:changed, :audit}} -> ...
        {:sidekick_store, :sidekick_store, {:quorum, :lost}} -> ...
        {:sidekick_store, :sidekick_store, {:quorum, :restored}} -> ...
      end

  A change is a hint to read again: it may come twice, and one may be missing where the leader died; so read once after
  subscribing, and now and then. Changes of the same thing within #{25} ms are told once.

  Without a majority nothing is stored, and sidekicks keep what they have; reads go on from this member, which may be behind.

  Members that lost one another are connected again from here, every few seconds: Raft only speaks to nodes that are connected, and
  waits for ever where nobody connects them (seen: a member that was cut off for 9 s stayed alone after that).

  How it works: whoever writes (`Sidekick.Ingest`, `Sidekick.Fleet`, `Sidekick.Panel.Audit`) tells this process on its own node, which passes it to the
  other members. Khepri's triggers are not used: each event costs a second commit of the Raft log, and in 0.16 a trigger whose
  pattern has wildcards ends the store, for good, when the last child of a node on that path is deleted.
  """

  use GenServer

  alias Sidekick.{Options, Store, Telemetry}
  alias Sidekick.Store.Cluster

  require Logger

  @gather_ms 25
  @check_ms 2_000
  @check_alone_ms 10_000
  @answer_ms 4_000
  defstruct [
    :store,
    :check,
    :connecting,
    quorum: :unknown,
    proven: false,
    subscribers: %{},
    changed: MapSet.new(),
    gathering: false
  ]

  @type change ::
          {:stream, binary(), binary()} | {:state, binary(), binary()} | {:node, node()} | {:fleet, node()} | :audit

  @doc false
  @spec start_link(Options.t()) :: GenServer.on_start()
  def start_link(%Options{store: store}), do: GenServer.start_link(__MODULE__, store, name: name(store))

  @doc "The watching process of a store, on every member's node."
  @spec name(atom()) :: atom()
  def name(store), do: :"#{store}_watch"

  @doc "Tells `pid` what happens, until it ends."
  @spec subscribe(pid(), atom()) :: {:ok, reference()}
  def subscribe(pid \\ self(), store \\ :sidekick_store), do: GenServer.call(name(store), {:subscribe, pid})

  @doc "Ends a subscription."
  @spec unsubscribe(reference(), atom()) :: :ok
  def unsubscribe(ref, store \\ :sidekick_store), do: GenServer.call(name(store), {:unsubscribe, ref})

  @doc "Whether the cluster had a majority when it was last asked, some seconds ago (up to ten where there is one member)."
  @spec quorum(atom()) :: :unknown | :available | :lost
  def quorum(store \\ :sidekick_store), do: GenServer.call(name(store), :quorum)

  @doc "Tells a change that was just stored. Where the store is not running on this node nobody is told."
  @spec changed(change(), atom()) :: :ok
  def changed(change, store) do
    send(name(store), {:sidekick_change, change})
    :ok
  rescue
    # It is being started again; who subscribes anew reads anew.
    ArgumentError -> :ok
  end

  @impl GenServer
  def init(store), do: {:ok, check(%__MODULE__{store: store})}

  @impl GenServer
  def handle_call({:subscribe, pid}, _from, state) when is_pid(pid) do
    ref = Process.monitor(pid)
    {:reply, {:ok, ref}, %{state | subscribers: Map.put(state.subscribers, ref, pid)}}
  end

  def handle_call({:unsubscribe, ref}, _from, state) do
    Process.demonitor(ref, [:flush])
    {:reply, :ok, %{state | subscribers: Map.delete(state.subscribers, ref)}}
  end

  def handle_call(:quorum, _from, state), do: {:reply, state.quorum, state}

  @impl GenServer
  def handle_info({:sidekick_change, change}, state), do: {:noreply, gather(change, %{state | proven: true})}

  def handle_info({:sidekick_changed, changes}, state), do: {:noreply, tell_changes(changes, state)}

  def handle_info(:gathered, state) do
    pass_on(state)
    {:noreply, tell_changes(state.changed, %{state | changed: MapSet.new(), gathering: false})}
  end

  # What was stored since the last time has shown it already.
  def handle_info(:check, %{check: nil, proven: true} = state) do
    Process.send_after(self(), :check, pause_ms(state))
    {:noreply, quorum(:available, connect(%{state | proven: false}))}
  end

  def handle_info(:check, %{check: nil} = state), do: {:noreply, check(connect(state))}

  def handle_info({:overdue, pid}, %{check: {pid, _}} = state),
    do: {:noreply, answered(Process.exit(pid, :kill), state)}

  def handle_info({:DOWN, ref, :process, _, reason}, %{check: {_, ref}} = state) do
    Process.send_after(self(), :check, pause_ms(state))
    {:noreply, quorum(if(match?({:answer, {:ok, _}}, reason), do: :available, else: :lost), %{state | check: nil})}
  end

  def handle_info({:DOWN, ref, :process, _, _}, %{connecting: ref} = state), do: {:noreply, %{state | connecting: nil}}

  def handle_info({:DOWN, ref, :process, _, _}, state),
    do: {:noreply, %{state | subscribers: Map.delete(state.subscribers, ref)}}

  def handle_info(_message, state), do: {:noreply, state}

  # In one process of its own at a time: a machine that does not answer holds it up for seconds.
  defp connect(%{connecting: nil, store: store} = state) do
    case known_members(store) -- [node() | Node.list(:connected)] do
      [] ->
        state

      away ->
        {_pid, ref} = spawn_monitor(fn -> Enum.each(away, &Node.connect/1) end)
        %{state | connecting: ref}
    end
  end

  defp connect(state), do: state

  # Killed; its end is told as any other.
  defp answered(true, state), do: state

  # A store of one is its own majority as long as it can write.
  defp pause_ms(%{store: store}), do: if(length(known_members(store)) > 1, do: @check_ms, else: @check_alone_ms)

  # A transaction that goes through Raft's log. (A read with `favor: :consistency` would not do: a leader that had lost all its
  # followers was seen answering it for 20 s.) In a process of its own, for it may outlast its own timeout.
  defp check(%{store: store} = state) do
    ask = fn -> Store.transaction(store, :watermark, {"sidekick", "quorum"}, @answer_ms - 1_000) end
    {pid, ref} = spawn_monitor(fn -> exit({:answer, ask.()}) end)
    Process.send_after(self(), {:overdue, pid}, @answer_ms)
    %{state | check: {pid, ref}}
  end

  defp quorum(now, %{quorum: now} = state), do: state

  defp quorum(now, %{store: store, quorum: before} = state) do
    members = known_members(store)
    available = if now == :available, do: 1, else: 0
    Telemetry.execute([:sidekick, :store, :quorum], %{available: available}, %{store: store, members: members})

    case {before, now} do
      {_, :lost} ->
        Logger.error("#{store} has no majority of #{inspect(members)}: nothing is stored until it has")
        tell({:quorum, :lost}, state)

      {:lost, :available} ->
        Logger.warning("#{store} has a majority again")
        tell({:quorum, :restored}, state)

      {:unknown, :available} ->
        :ok
    end

    %{state | quorum: now}
  end

  defp gather(change, state) do
    unless state.gathering, do: Process.send_after(self(), :gathered, @gather_ms)
    %{state | changed: MapSet.put(state.changed, change), gathering: true}
  end

  defp pass_on(%{store: store, changed: changed}) do
    for member <- known_members(store), member != node() do
      Process.send({name(store), member}, {:sidekick_changed, changed}, [:noconnect])
    end
  end

  defp known_members(store) do
    case Cluster.known_members(store) do
      {:ok, nodes} -> nodes
      {:error, _} -> []
    end
  end

  defp tell_changes(changes, state) do
    Enum.each(changes, &tell({:changed, &1}, state))
    state
  end

  defp tell(what, state),
    do: Enum.each(state.subscribers, fn {_ref, pid} -> send(pid, {:sidekick_store, state.store, what}) end)
end
