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

  What was stored before is answered, not stored again, so that sending again is harmless. A transaction runs in a process
  of its own; at most `:max_concurrency` run at once, and `:max_queue` wait. Khepri orders them.
  """

  use GenServer

  alias Sidekick.{Ingest.Request, Options, Store, Telemetry}
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
  def handle_call(request, {caller, _} = from, state) do
    case Request.parse(request, node(caller), state.options) do
      {:ok, procedure, argument} -> admit({from, procedure, argument}, state)
      {:error, {code, _}} = refusal -> {:reply, refused(code, refusal), state}
    end
  end

  @impl GenServer
  def handle_cast(_message, state), do: {:noreply, state}

  @impl GenServer
  def handle_info({:DOWN, ref, :process, _pid, reason}, state) do
    case Map.pop(state.running, ref) do
      {{{from, procedure, argument}, _pid, timer, began}, running} ->
        _ = Process.cancel_timer(timer)
        reply = reply(reason, procedure, state.uuid)
        GenServer.reply(from, reply)
        {:noreply, next(told(procedure, argument, reply, began, %{state | running: running}))}

      {nil, _running} ->
        {:noreply, state}
    end
  end

  def handle_info({:overdue, ref}, state) do
    case state.running do
      %{^ref => {_job, pid, _timer, _began}} -> Process.exit(pid, :kill)
      _ -> :ok
    end

    {:noreply, state}
  end

  def handle_info(_message, state), do: {:noreply, state}

  defp admit(job, %{options: options} = state) do
    cond do
      map_size(state.running) < options.max_concurrency ->
        {:noreply, run(job, state)}

      state.waiting_count < options.max_queue ->
        {:noreply, %{state | waiting: :queue.in(job, state.waiting), waiting_count: state.waiting_count + 1}}

      true ->
        {:reply, refused(:busy, {:error, {:busy, %{waiting: state.waiting_count}}}), state}
    end
  end

  defp next(state) do
    case :queue.out(state.waiting) do
      {{:value, job}, waiting} -> run(job, %{state | waiting: waiting, waiting_count: state.waiting_count - 1})
      {:empty, _} -> state
    end
  end

  defp run({_from, procedure, argument} = job, %{options: options} = state) do
    work = fn -> exit({:result, Store.transaction(options.store, procedure, argument, options.timeout_ms)}) end
    {pid, ref} = spawn_monitor(work)
    timer = Process.send_after(self(), {:overdue, ref}, options.timeout_ms + @grace_ms)
    %{state | running: Map.put(state.running, ref, {job, pid, timer, System.monotonic_time()})}
  end

  defp refused(code, refusal) do
    Telemetry.execute([:sidekick, :ingest, :refused], %{count: 1}, %{code: code})
    refusal
  end

  defp told(procedure, argument, reply, began, %{options: %{store: store}} = state) do
    {change, node, records, bytes} = contents(procedure, argument)
    result = with {:error, {code, _}} <- reply, do: code
    result = if is_atom(result), do: result, else: :ok
    if result == :ok and change != nil, do: Watch.changed(change, store)
    measured = %{duration: System.monotonic_time() - began, records: records, bytes: bytes}
    Telemetry.execute([:sidekick, :ingest, :stop], measured, %{procedure: procedure, result: result})
    if result == :ok and node != nil, do: know(node, state), else: state
  end

  # Nodes that uploaded before this process began are told once more.
  defp know(node, state) do
    unless node in state.nodes, do: Watch.changed({:node, node}, state.options.store)
    %{state | nodes: MapSet.put(state.nodes, node)}
  end

  defp contents(:upload, {origin, node, stream, _last, _dropped, records, _window, _now}) do
    bytes = Enum.reduce(records, 0, fn {_, _, payload}, sum -> sum + byte_size(payload) end)
    {{:stream, origin, stream}, node, length(records), bytes}
  end

  defp contents(:upload_state, {origin, node, scope, _epoch, _before, _rev, put, delete, _now}),
    do: {{:state, origin, scope}, node, length(put) + length(delete), 0}

  defp contents(:watermark, _argument), do: {nil, nil, 0, 0}

  defp reply({:result, {:ok, rev}}, :upload_state, uuid), do: {:ok, %{store: uuid, rev: rev}}
  defp reply({:result, {:ok, watermark}}, _procedure, uuid), do: {:ok, %{store: uuid, watermark: watermark}}
  defp reply({:result, {:error, {code, %{}}} = error}, _procedure, _uuid) when is_atom(code), do: error
  defp reply({:result, {:error, :timeout}}, _procedure, _uuid), do: {:error, {:timeout, %{}}}
  defp reply(:killed, _procedure, _uuid), do: {:error, {:timeout, %{}}}

  defp reply({:result, {:error, reason}}, procedure, _uuid) do
    Logger.warning("sidekick #{procedure}: the store answered #{inspect(reason)}")
    {:error, {:unavailable, %{}}}
  end

  defp reply(reason, procedure, _uuid) do
    Logger.error("sidekick #{procedure} failed: #{inspect(reason)}")
    {:error, {:failed, %{}}}
  end
end
