defmodule Sidekick.Connector do
  @moduledoc """
  Keeps this node connected to the configured sidekick nodes, and tells who comes and goes.

  A sidekick is a hidden node: `Node.list/0` does not show it, `Node.list(:hidden)` does. A lost connection is tried again
  after 0.2 s, then ever later up to 10 s, each time at a random moment of the second half of the pause, so that many
  frontends do not all come at once. See `Sidekick.Nodes` for the functions to use.
  """

  use GenServer

  alias Sidekick.{Options, Telemetry}

  require Logger

  @pause_ms_min 200
  @pause_ms_max 10_000

  defstruct nodes: %{}, subscribers: %{}

  @doc false
  @spec start_link(Options.t()) :: GenServer.on_start()
  def start_link(%Options{} = options), do: GenServer.start_link(__MODULE__, options.nodes, name: options.connector)

  @impl GenServer
  def init(nodes) do
    if Node.alive?() do
      :ok = :net_kernel.monitor_nodes(true, [:nodedown_reason, node_type: :all])
    else
      Logger.warning("this node has no name, so that it reaches no sidekick: start it with --name or --sname")
    end

    {:ok, Enum.reduce(nodes, %__MODULE__{}, &add/2)}
  end

  @impl GenServer
  def handle_call(:list, _from, state), do: {:reply, list(state), state}

  def handle_call({:add, node}, _from, state) when is_atom(node), do: {:reply, :ok, add(node, state)}

  def handle_call({:remove, node}, _from, state),
    do: {:reply, :ok, %{state | nodes: Map.delete(state.nodes, node)}}

  def handle_call({:subscribe, pid}, _from, state) when is_pid(pid) do
    ref = Process.monitor(pid)
    {:reply, {:ok, ref, list(state)}, %{state | subscribers: Map.put(state.subscribers, ref, pid)}}
  end

  def handle_call({:unsubscribe, ref}, _from, state) do
    Process.demonitor(ref, [:flush])
    {:reply, :ok, %{state | subscribers: Map.delete(state.subscribers, ref)}}
  end

  @impl GenServer
  def handle_info({:nodeup, node, _info}, state), do: {:noreply, up(node, state)}

  def handle_info({:nodedown, node, info}, state) do
    case state.nodes do
      %{^node => %{connected: true} = entry} ->
        reason = if is_list(info), do: info[:nodedown_reason]
        tell(state, {:sidekick_node, :down, node, reason})
        entry = %{entry | connected: false, since_ms: now_ms(), pause_ms: @pause_ms_min}
        {:noreply, put(state, node, again(node, entry))}

      _ ->
        {:noreply, state}
    end
  end

  # The key is that of one time of being configured: who is taken out and put in again is not tried twice as often.
  def handle_info({:try, node, key}, state) do
    with %{^node => %{connected: false, key: ^key}} <- state.nodes do
      # In a process of its own: a host that does not answer holds it up for seconds.
      connector = self()
      spawn(fn -> send(connector, {:tried, node, key, Node.connect(node)}) end)
    end

    {:noreply, state}
  end

  def handle_info({:tried, node, _key, true}, state), do: {:noreply, up(node, state)}

  def handle_info({:tried, node, key, _failed}, state) do
    case state.nodes do
      %{^node => %{connected: false, key: ^key} = entry} -> {:noreply, put(state, node, again(node, entry))}
      _ -> {:noreply, state}
    end
  end

  def handle_info({:DOWN, ref, :process, _pid, _reason}, state),
    do: {:noreply, %{state | subscribers: Map.delete(state.subscribers, ref)}}

  def handle_info(_message, state), do: {:noreply, state}

  defp add(node, state) when is_map_key(state.nodes, node), do: state

  defp add(node, state) do
    connected = node in Node.list(:connected)
    key = make_ref()
    unless connected, do: send(self(), {:try, node, key})
    put(state, node, %{connected: connected, since_ms: now_ms(), pause_ms: @pause_ms_min, key: key})
  end

  defp up(node, state) do
    case state.nodes do
      %{^node => %{connected: false} = entry} ->
        Logger.info("connected to #{node}")
        tell(state, {:sidekick_node, :up, node, nil})
        put(state, node, %{entry | connected: true, since_ms: now_ms(), pause_ms: @pause_ms_min})

      _ ->
        state
    end
  end

  defp again(node, entry) do
    half = div(entry.pause_ms, 2)
    Process.send_after(self(), {:try, node, entry.key}, half + :rand.uniform(half))
    if entry.pause_ms == @pause_ms_min, do: Logger.warning("no connection to #{node}; trying until there is")
    %{entry | pause_ms: min(entry.pause_ms * 2, @pause_ms_max)}
  end

  defp tell(state, {:sidekick_node, what, node, reason} = event) do
    Telemetry.execute([:sidekick, :node, what], %{count: 1}, %{node: node, reason: reason})
    Enum.each(state.subscribers, fn {_ref, pid} -> send(pid, event) end)
  end

  defp put(state, node, entry), do: %{state | nodes: Map.put(state.nodes, node, entry)}

  defp list(state) do
    for {node, entry} <- Enum.sort(state.nodes), do: %{node: node, connected: entry.connected, since_ms: entry.since_ms}
  end

  defp now_ms, do: System.os_time(:millisecond)
end
