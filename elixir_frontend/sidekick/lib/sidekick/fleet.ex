defmodule Sidekick.Fleet do
  @moduledoc """
  All sidekicks: which there are, how they fare, and what should run on them.

      children = [{Sidekick, data_dir: "var/store", nodes: [...]}, Sidekick.Fleet]

  **Who is there.** Those of `:nodes`, and those that announced themselves: whoever uploads to the store is known from then on,
  and stayed connected to. `list/1` tells of each whether it is up, its version, its servers, and what is wrong with it.

  **What should run.** It is written into the store, compared with what runs, and shown before it is done:

      spec = Sidekick.Fleet.Spec.new!(id: "arena", command: ["godot", "--headless", "--path", "game"])
      :ok = Sidekick.Fleet.desire(:"sidekick@game1", spec)

      {:ok, plan} = Sidekick.Fleet.plan()
      Sidekick.Fleet.Plan.describe(plan)      # ["sidekick@game1: add arena, because it is not there"]
      Sidekick.Fleet.execute(plan)            # [{step, :ok}]

  Only stock supervisor calls are used. The sidekicks must allow starts of commands that their configuration does not hold
  (`[node] allow_start = "any"`). What a sidekick would not take it is not given: a server is only replaced once its sidekick has said
  that it would start the new one. If the program itself then cannot be started, the old one is gone and the step tells why. With `reconcile: :auto` plans are executed as they arise, by the fleet on the node of the
  store's leader.

  ## Options

    * `:server` - name of the process, default `Sidekick.Fleet`
    * `:store`, `:connector` - default those of `Sidekick.Options`
    * `:refresh_ms` - how often each sidekick is asked, beside what it tells; default 10000
    * `:reconcile` - `:manual` (default) or `:auto`
  """

  use GenServer

  alias Sidekick.Fleet.{Actual, Desired, Plan, Spec, View}
  alias Sidekick.{Nodes, Store}
  alias Sidekick.Store.Watch

  require Logger

  @defaults [
    server: __MODULE__,
    store: :sidekick_store,
    connector: Sidekick.Connector,
    refresh_ms: 10_000,
    reconcile: :manual
  ]
  @soon_ms 100

  defstruct [
    :options,
    :watch,
    :nodes_ref,
    :probe,
    :work,
    due: MapSet.new(),
    timer: nil,
    view: View.new(),
    subscribers: %{}
  ]

  @doc false
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts) do
    case Keyword.keys(opts) -- Keyword.keys(@defaults) do
      [] -> :ok
      [key | _] -> raise ArgumentError, "unknown option #{inspect(key)} for Sidekick.Fleet"
    end

    options = @defaults |> Keyword.merge(opts) |> Map.new()

    for key <- [:server, :store, :connector],
        not is_atom(options[key]),
        do: raise(ArgumentError, "#{inspect(key)} must be an atom, got #{inspect(options[key])}")

    unless is_integer(options.refresh_ms) and options.refresh_ms > 0,
      do: raise(ArgumentError, ":refresh_ms must be a positive integer, got #{inspect(options.refresh_ms)}")

    unless options.reconcile in [:manual, :auto],
      do: raise(ArgumentError, ":reconcile must be :manual or :auto, got #{inspect(options.reconcile)}")

    GenServer.start_link(__MODULE__, options, name: options.server)
  end

  @doc "All sidekicks, by name; see `Sidekick.Fleet.View`."
  @spec list(GenServer.server()) :: [View.entry()]
  def list(fleet \\ __MODULE__), do: GenServer.call(fleet, :list)

  @doc """
  Tells `pid` what happens: `{:sidekick_fleet, node, :known | :up | :down}` and `{:sidekick_fleet, node, {:problems, list}}`
  whenever these change.
  """
  @spec subscribe(pid(), GenServer.server()) :: {:ok, reference()}
  def subscribe(pid \\ self(), fleet \\ __MODULE__), do: GenServer.call(fleet, {:subscribe, pid})

  @doc "Wants a server on a node. Nothing happens to it before a plan is executed, or `reconcile: :auto` does."
  @spec desire(node(), Spec.t(), atom()) :: :ok | {:error, term()}
  def desire(node, %Spec{} = spec, store \\ :sidekick_store) when is_atom(node), do: Desired.put(store, node, spec)

  @doc "Wants it no more: it is removed, if the fleet put it there."
  @spec undesire(node(), Sidekick.id(), atom()) :: :ok | {:error, term()}
  def undesire(node, id, store \\ :sidekick_store) when is_atom(node), do: Desired.delete(store, node, to_string(id))

  @doc """
  Forgets a sidekick that is gone for good: it is listed no more, and nothing is wanted there or counts as put there. One that uploads
  again is known again; one of the option `:nodes` comes back with the next start. Refused while it is connected.
  """
  @spec forget(node(), GenServer.server()) :: :ok | {:error, term()}
  def forget(node, fleet \\ __MODULE__) when is_atom(node), do: GenServer.call(fleet, {:forget, node}, 30_000)

  @doc "What is wanted: `%{node => %{id => spec}}`."
  @spec desired(atom()) :: {:ok, %{node() => %{binary() => Spec.t()}}} | {:error, term()}
  def desired(store \\ :sidekick_store), do: Desired.all(store)

  @doc "What would be done to make it so. Asks the nodes; changes nothing."
  @spec plan(atom()) :: {:ok, [Plan.Step.t()]} | {:error, term()}
  def plan(store \\ :sidekick_store) do
    with {:ok, desired} <- Desired.all(store), {:ok, applied} <- Desired.applied(store) do
      nodes = Enum.uniq(Map.keys(desired) ++ Map.keys(applied))
      actual = Actual.all(nodes)
      steps = Enum.map(Enum.sort(nodes), &Plan.steps(&1, desired[&1] || %{}, actual[&1], applied[&1] || %{}))
      {:ok, Enum.concat(steps)}
    end
  end

  @doc "Does the steps in order, those of different nodes at once; one that fails ends those of its node."
  @spec execute([Plan.Step.t()], atom()) :: [{Plan.Step.t(), :ok | {:error, term()}}]
  def execute(steps, store \\ :sidekick_store) do
    steps
    |> Enum.group_by(& &1.node)
    |> Task.async_stream(fn {_node, steps} -> execute_all(steps, store) end, max_concurrency: 64, timeout: :infinity)
    |> Enum.flat_map(fn {:ok, done} -> done end)
  end

  defp execute_all(steps, store) do
    {done, _ok} =
      Enum.map_reduce(steps, true, fn
        step, true ->
          result = execute_one(step, store)
          {{step, result}, result == :ok or step.action == :unknown}

        step, false ->
          {{step, {:error, :earlier_step_failed}}, false}
      end)

    done
  end

  # Noted before it is done, else a server that was started just before this ended would be nobody's; and as unfinished,
  # else one that could not be replaced would count as replaced.
  defp execute_one(%{action: action, node: node, spec: spec} = step, store) when action in [:add, :replace] do
    with {:ok, before} <- Desired.applied(store, node, spec.id),
         :ok <- Actual.check(step),
         :ok <- Desired.put_applied(store, node, spec.id, "unfinished") do
      case Actual.execute(step) do
        :ok -> Desired.put_applied(store, node, spec.id, Spec.fingerprint(spec))
        {:error, _} = error -> not_put(before, step, store, error)
        {:unknown, reason} -> {:error, reason}
      end
    end
  end

  defp execute_one(%{action: :remove} = step, store) do
    with :ok <- told(Actual.execute(step)), do: Desired.delete_applied(store, step.node, step.id)
  end

  defp execute_one(step, _store), do: told(Actual.execute(step))

  # Where nothing of the fleet's was there before, nothing is now: else it would take away what the configuration puts there.
  defp not_put(nil, step, store, error) do
    with :ok <- Desired.delete_applied(store, step.node, step.id), do: error
  end

  defp not_put(_before, _step, _store, error), do: error

  defp told({:unknown, reason}), do: {:error, reason}
  defp told(result), do: result

  @impl GenServer
  def init(options), do: {:ok, %__MODULE__{options: options}, {:continue, :refresh}}

  @impl GenServer
  def handle_continue(:refresh, s), do: {:noreply, refresh(s)}

  @impl GenServer
  def handle_call(:list, _from, s), do: {:reply, View.list(s.view), s}

  def handle_call({:forget, node}, _from, %{options: %{store: store, connector: connector}} = s) do
    if node in Node.list(:connected) do
      {:reply, {:error, {:connected, %{node: node, remedy: "stop that sidekick first"}}}, s}
    else
      :ok = Nodes.remove(node, connector)
      {:reply, Desired.forget(store, node), view(s, &Map.delete(&1, node))}
    end
  catch
    :exit, reason -> {:reply, {:error, {:exit, reason}}, s}
  end

  def handle_call({:subscribe, pid}, _from, s) do
    ref = Process.monitor(pid)
    {:reply, {:ok, ref}, %{s | subscribers: Map.put(s.subscribers, ref, pid)}}
  end

  @impl GenServer
  def handle_info(:refresh, s), do: {:noreply, refresh(s)}
  def handle_info(:probe, s), do: {:noreply, probe(%{s | timer: nil})}
  def handle_info({:sidekick_node, :up, node, _}, s), do: {:noreply, s |> view(&View.up(&1, node)) |> soon([node])}
  def handle_info({:sidekick_node, :down, node, _}, s), do: {:noreply, view(s, &View.down(&1, node))}
  def handle_info({:sidekick_event, node, _ref, _event}, s), do: {:noreply, soon(s, [node])}
  def handle_info({:sidekick_store, _, {:changed, {:node, _}}}, s), do: {:noreply, announced(s)}
  def handle_info({:sidekick_store, _, {:changed, {:fleet, _}}}, s), do: {:noreply, reconcile(s)}

  def handle_info({:DOWN, ref, _, _, reason}, %{probe: ref} = s) do
    s = %{s | probe: nil}
    s = with({:probed, answers} <- reason, do: view(s, &View.probed(&1, answers))) |> keep(s)
    {:noreply, if(MapSet.size(s.due) > 0, do: soon(s, []), else: s)}
  end

  def handle_info({:DOWN, ref, _, _, _}, %{work: ref} = s), do: {:noreply, %{s | work: nil}}
  def handle_info({:DOWN, ref, _, _, _}, %{watch: ref} = s), do: {:noreply, %{s | watch: nil}}
  def handle_info({:DOWN, ref, _, _, _}, %{nodes_ref: ref} = s), do: {:noreply, %{s | nodes_ref: nil}}

  def handle_info({:DOWN, ref, _, _, _}, s), do: {:noreply, %{s | subscribers: Map.delete(s.subscribers, ref)}}
  def handle_info(_message, s), do: {:noreply, s}

  # A probe that failed as a whole changes nothing; the next one may do.
  defp keep(%__MODULE__{} = probed, _s), do: probed
  defp keep(_reason, s), do: s

  defp refresh(s) do
    Process.send_after(self(), :refresh, s.options.refresh_ms)
    s = s |> connect() |> watch() |> announced() |> reconcile()
    soon(s, for(%{state: state, node: node} <- View.list(s.view), state != :down, do: node))
  end

  # Both are of the other instance, which may be starting again.
  defp connect(%{nodes_ref: nil, options: %{connector: connector}} = s) do
    monitor = Process.monitor(connector)
    {:ok, _ref, nodes} = Nodes.subscribe(self(), connector)
    view(%{s | nodes_ref: monitor}, &View.known(&1, nodes))
  catch
    :exit, _ -> s
  end

  defp connect(s), do: s

  defp watch(%{watch: nil, options: %{store: store}} = s) do
    monitor = Process.monitor(Watch.name(store))
    {:ok, _} = Watch.subscribe(self(), store)
    %{s | watch: monitor}
  catch
    :exit, _ -> s
  end

  defp watch(s), do: s

  defp announced(%{options: %{store: store, connector: connector}} = s) do
    with {:ok, nodes} <- Store.nodes(store) do
      for node <- Map.keys(nodes), node != node(), not View.known?(s.view, node), do: Nodes.add(node, connector)
      s = view(s, &View.known(&1, Nodes.list(connector)))
      soon(s, for(%{node: node, state: :up, seen_ms: nil} <- View.list(s.view), do: node))
    else
      {:error, _} -> s
    end
  catch
    :exit, _ -> s
  end

  defp soon(s, nodes) do
    s = %{s | due: MapSet.union(s.due, MapSet.new(nodes))}

    if s.timer == nil and s.probe == nil and MapSet.size(s.due) > 0,
      do: %{s | timer: Process.send_after(self(), :probe, @soon_ms)},
      else: s
  end

  # In a process of its own: a node may take seconds not to answer.
  defp probe(s) do
    nodes = MapSet.to_list(s.due)
    new = Enum.filter(nodes, &View.unsubscribed?(s.view, &1))
    fleet = self()
    {_pid, ref} = spawn_monitor(fn -> exit({:probed, View.ask(nodes, new, fleet)}) end)
    %{s | due: MapSet.new(), probe: ref}
  end

  defp reconcile(%{options: %{reconcile: :auto, store: store}, work: nil} = s) do
    if :ra_leaderboard.lookup_leader(store) == {store, node()} do
      {_pid, ref} = spawn_monitor(fn -> reconcile_now(store) end)
      %{s | work: ref}
    else
      s
    end
  end

  defp reconcile(s), do: s

  defp reconcile_now(store) do
    with {:ok, plan} <- plan(store) do
      for {step, result} <- plan |> Enum.reject(&(&1.action == :unknown)) |> execute(store) do
        if result == :ok,
          do: Logger.info("fleet: #{step.action} #{step.id} on #{step.node}, because #{step.reason}"),
          else: Logger.error("fleet: #{step.action} #{step.id} on #{step.node} failed: #{inspect(result)}")
      end
    end
  end

  defp view(s, change) do
    view = change.(s.view)
    for event <- View.changes(s.view, view), {_ref, pid} <- s.subscribers, do: send(pid, event)
    %{s | view: view}
  end
end
