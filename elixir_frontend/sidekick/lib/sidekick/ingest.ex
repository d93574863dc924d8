defmodule Sidekick.Ingest do
  @moduledoc """
  Where sidekick nodes upload to: a process under the registered name `Elixir.Sidekick.Ingest`.

  | request | reply |
  |---|---|
  | `{:upload, %{origin:, node:, stream:, after:, first:, last:, dropped:, records:}}` | `{:ok, %{store:, watermark:}}` |
  | `{:watermark, origin, stream}` | `{:ok, %{store:, watermark:}}` |
  | `{:upload_state, %{origin:, scope:, epoch:, after:, rev:, put:, delete:}}` | `{:ok, %{store:, rev:}}` |

  Errors are `{:error, {code, details}}`:

    * `:gap` - the upload starts behind what is stored and `dropped` does not cover the hole; `details` holds the
      `:watermark` (records) or the `:rev` and `:epoch` (state) that is stored
    * `:stale_epoch` - state of an owner that has been replaced; `:rev` and `:epoch` as stored
    * `:bad_request`, `:too_large` - the request itself is wrong, and will be next time
    * `:refused` - `:validate` (`Sidekick.Options`) does not let the record with this `:seq` in; nothing of the upload was stored
    * `:busy` - the queue is full; nothing was done
    * `:timeout`, `:unavailable`, `:failed` - the outcome is unknown: ask for the watermark

  What was stored before is answered, not stored again, so that sending again is harmless. Each request is checked, and its
  transaction runs, in a process of its own, so that neither a large one nor a `:validate` that takes its time holds up the
  others; at most `:max_concurrency` are at it at once, and `:max_queue` wait. Khepri orders them.
  """

  use GenServer

  alias Sidekick.Ingest.{Request, Worker}
  alias Sidekick.{Options, Store, Telemetry}
  alias Sidekick.Store.Watch

  require Logger

  defstruct [:options, :uuid, nodes: MapSet.new(), running: %{}, waiting: :queue.new(), waiting_count: 0]

  # Beyond the transaction's own bound, which a member without a leader may outlast.
  @grace_ms 1_000

  @doc false
  @spec start_link(Options.t()) :: GenServer.on_start()
  def start_link(%Options{} = options), do: GenServer.start_link(__MODULE__, options, name: options.ingest)

  @impl GenServer
  def init(options) do
    with {:ok, uuid} <- Store.uuid(options.store), do: {:ok, %__MODULE__{options: options, uuid: uuid}}
  end

  @impl GenServer
  def handle_call(request, from, %{options: options} = state) do
    with {:ok, procedure} <- Request.procedure(request),
         :ok <- room(state) do
      {pid, ref} = Worker.start(request, from, options)
      job = %{from: from, pid: pid, ref: ref, procedure: procedure}

      if busy?(state),
        do: {:noreply, %{state | waiting: :queue.in(job, state.waiting), waiting_count: state.waiting_count + 1}},
        else: {:noreply, run(job, state)}
    else
      refusal -> {:reply, refused(refusal), state}
    end
  end

  @impl GenServer
  def handle_cast(_message, state), do: {:noreply, state}

  @impl GenServer
  def handle_info({:DOWN, ref, :process, _pid, reason}, state) do
    case Map.pop(state.running, ref) do
      {%{} = job, running} ->
        _ = Process.cancel_timer(job.timer)
        {reply, facts} = outcome(reason, job.procedure, state)
        GenServer.reply(job.from, reply)
        {:noreply, next(told(job, reply, facts, %{state | running: running}))}

      {nil, _running} ->
        {:noreply, gone(ref, state)}
    end
  end

  def handle_info({:overdue, ref}, state) do
    case state.running do
      %{^ref => job} -> Process.exit(job.pid, :kill)
      _ -> :ok
    end

    {:noreply, state}
  end

  def handle_info(_message, state), do: {:noreply, state}

  defp busy?(%{options: options} = state), do: map_size(state.running) >= options.max_concurrency

  defp room(%{options: options} = state) do
    if busy?(state) and state.waiting_count >= options.max_queue,
      do: {:error, {:busy, %{waiting: state.waiting_count}}},
      else: :ok
  end

  defp next(state) do
    case :queue.out(state.waiting) do
      {{:value, job}, waiting} -> run(job, %{state | waiting: waiting, waiting_count: state.waiting_count - 1})
      {:empty, _} -> state
    end
  end

  # It ended before its turn: nothing was done.
  defp gone(ref, state) do
    {mine, waiting} = state.waiting |> :queue.to_list() |> Enum.split_with(&(&1.ref == ref))
    for job <- mine, do: GenServer.reply(job.from, {:error, {:failed, %{}}})
    %{state | waiting: :queue.from_list(waiting), waiting_count: length(waiting)}
  end

  defp run(%{pid: pid, ref: ref} = job, %{options: options} = state) do
    Worker.go(pid)
    timer = Process.send_after(self(), {:overdue, ref}, options.timeout_ms + @grace_ms)
    job = Map.merge(job, %{timer: timer, began: System.monotonic_time()})
    %{state | running: Map.put(state.running, ref, job)}
  end

  defp refused({:error, {code, _}} = refusal) do
    Telemetry.execute([:sidekick, :ingest, :refused], %{count: 1}, %{code: code})
    refusal
  end

  # Refused by its form: no transaction began.
  defp told(_job, _reply, :refused, state), do: state

  defp told(job, reply, facts, %{options: %{store: store}} = state) do
    result = with {:error, {code, _}} <- reply, do: code
    result = if is_atom(result), do: result, else: :ok
    if result == :ok and facts.change != nil, do: Watch.changed(facts.change, store)
    measured = %{duration: System.monotonic_time() - job.began, records: facts.records, bytes: facts.bytes}
    Telemetry.execute([:sidekick, :ingest, :stop], measured, %{procedure: job.procedure, result: result})
    if result == :ok and facts.node != nil, do: know(facts.node, state), else: state
  end

  # Nodes that uploaded before this process began are told once more.
  defp know(node, state) do
    unless node in state.nodes, do: Watch.changed({:node, node}, state.options.store)
    %{state | nodes: MapSet.put(state.nodes, node)}
  end

  defp outcome({:refused, refusal}, _procedure, _state), do: {refused(refusal), :refused}
  defp outcome({:result, result, facts}, procedure, state), do: {reply(result, procedure, state.uuid), facts}

  defp outcome(:killed, procedure, %{options: options}) do
    Logger.warning(
      "sidekick #{procedure}: ended after #{options.timeout_ms + @grace_ms} ms without an answer; " <>
        "the store may lack a leader, or :validate not come to an end"
    )

    {{:error, {:timeout, %{}}}, Worker.no_facts()}
  end

  defp outcome(reason, procedure, _state) do
    Logger.error("sidekick #{procedure} failed: #{inspect(reason)}")
    {{:error, {:failed, %{}}}, Worker.no_facts()}
  end

  defp reply({:ok, rev}, :upload_state, uuid), do: {:ok, %{store: uuid, rev: rev}}
  defp reply({:ok, watermark}, _procedure, uuid), do: {:ok, %{store: uuid, watermark: watermark}}
  defp reply({:error, {code, %{}}} = error, _procedure, _uuid) when is_atom(code), do: error
  defp reply({:error, :timeout}, _procedure, _uuid), do: {:error, {:timeout, %{}}}

  defp reply({:error, reason}, procedure, _uuid) do
    Logger.warning("sidekick #{procedure}: the store answered #{inspect(reason)}")
    {:error, {:unavailable, %{}}}
  end
end
