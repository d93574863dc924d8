defmodule Sidekick.Client.Events do
  @moduledoc false
  # A subscription as an enumerable. A process of its own receives the events, so that the mailbox of whoever enumerates holds
  # nothing, and keeps at most `max_queue` of them: then the oldest go, and one `:lagged` event says how many.

  use GenServer

  alias Sidekick.Client.Call
  alias Sidekick.{Error, Event}

  @max_queue 1_000

  defstruct [:node, :ref, :waiting, queue: :queue.new(), count: 0, missed: 0, max: @max_queue, ended: nil]

  @doc "Events of the topics, without end; raises `Sidekick.Error` where the connection is lost."
  @spec stream!(node(), [Sidekick.topic()], keyword()) :: Enumerable.t(Event.t())
  def stream!(node, topics, opts) do
    others = Keyword.keys(opts) -- [:max_queue, :timeout]
    others == [] || raise ArgumentError, "unknown options #{inspect(others)} for events!"
    max = Keyword.get(opts, :max_queue, @max_queue)
    (is_integer(max) and max > 0) || raise ArgumentError, ":max_queue must be a positive integer, got #{inspect(max)}"
    Stream.resource(fn -> open!(node, topics, opts) end, &next/1, &GenServer.stop/1)
  end

  defp open!(node, topics, opts) do
    max = Keyword.get(opts, :max_queue, @max_queue)

    case GenServer.start(__MODULE__, {self(), node, topics, max, opts}) do
      {:ok, pid} -> pid
      {:error, {:refused, %Error{} = error}} -> raise error
    end
  end

  defp next(pid) do
    case GenServer.call(pid, :next, :infinity) do
      %Event{} = event -> {[event], pid}
      %Error{} = error -> raise error
    end
  end

  @impl GenServer
  def init({owner, node, topics, max, opts}) do
    Process.monitor(owner)
    Process.monitor({:sidekick, node})

    case Sidekick.subscribe(node, topics, Keyword.take(opts, [:timeout])) do
      {:ok, ref} -> {:ok, %__MODULE__{node: node, ref: ref, max: max}}
      {:error, error} -> {:stop, {:shutdown, {:refused, error}}}
    end
    |> unwrap()
  end

  # A start that is refused is no crash, so it must not be reported as one.
  defp unwrap({:stop, {:shutdown, refused}}), do: {:stop, refused}
  defp unwrap(started), do: started

  @impl GenServer
  def handle_call(:next, from, state), do: {:noreply, serve(%{state | waiting: from})}

  @impl GenServer
  def handle_info({:sidekick_event, node, ref, _} = message, %{node: node, ref: ref} = state),
    do: {:noreply, message |> Event.new() |> keep(state) |> serve()}

  def handle_info({:DOWN, _, :process, {:sidekick, node}, reason}, %{node: node} = state) do
    code = if reason == :noconnection, do: :not_connected, else: :no_sidekick
    {:error, error} = Call.error(node, code, %{})
    {:noreply, serve(%{state | ended: error})}
  end

  def handle_info({:DOWN, _, :process, owner, _reason}, state) when is_pid(owner), do: {:stop, :normal, state}
  def handle_info(_message, state), do: {:noreply, state}

  # Ending this process ends the subscription too; being told spares sidekick a while of useless sending.
  @impl GenServer
  def terminate(_reason, %{ended: nil} = state), do: Sidekick.unsubscribe(state.node, state.ref, timeout: 1_000)
  def terminate(_reason, _state), do: :ok

  defp keep(event, %{count: count, max: max} = state) when count < max,
    do: %{state | queue: :queue.in(event, state.queue), count: count + 1}

  defp keep(event, state),
    do: %{state | queue: :queue.in(event, :queue.drop(state.queue)), missed: state.missed + 1}

  defp serve(%{waiting: nil} = state), do: state

  defp serve(%{missed: missed} = state) when missed > 0,
    do: reply(Event.lagged(state.node, missed), %{state | missed: 0})

  defp serve(state) do
    case :queue.out(state.queue) do
      {{:value, event}, queue} -> reply(event, %{state | queue: queue, count: state.count - 1})
      {:empty, _} when state.ended != nil -> reply(state.ended, state)
      {:empty, _} -> state
    end
  end

  defp reply(answer, state) do
    GenServer.reply(state.waiting, answer)
    %{state | waiting: nil}
  end
end
