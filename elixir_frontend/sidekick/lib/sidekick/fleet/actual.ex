defmodule Sidekick.Fleet.Actual do
  @moduledoc false
  # What a node's supervisor tells, and what it is told to do: stock supervisor calls, each bounded, for a supervisor's own
  # functions wait for ever.

  alias Sidekick.Fleet.Plan.Step
  alias Sidekick.Fleet.Spec

  @ask_ms 5_000
  @do_ms 65_000

  @doc "The children of many nodes at once."
  @spec all([node()]) :: %{node() => %{binary() => map()} | :unknown}
  def all(nodes) do
    nodes
    |> Task.async_stream(&{&1, children(&1)}, max_concurrency: 64, timeout: :infinity, ordered: false)
    |> Map.new(fn {:ok, found} -> found end)
  end

  @doc """
  Whether the node would take this spec. Asked before anything is done, for a server that was removed to make room for one that is
  refused would be gone.
  """
  @spec check(Step.t()) :: :ok | {:error, term()}
  def check(step) do
    case call(step, {:check_child, Spec.child(step.spec)}) do
      # A sidekick of before there was this question.
      {:error, {:unknown_request, _}} -> :ok
      {:unknown, reason} -> {:error, reason}
      answer -> answer
    end
  end

  @doc "Does one step; `:unknown` where its outcome is."
  @spec execute(Step.t()) :: :ok | {:error, term()} | {:unknown, term()}
  def execute(%Step{action: :add} = step), do: start(step)
  def execute(%Step{action: :start} = step), do: call(step, {:restart_child, step.id}) |> started()
  def execute(%Step{action: :stop} = step), do: call(step, {:terminate_child, step.id})
  def execute(%Step{action: :unknown}), do: {:error, :not_connected}
  def execute(%Step{action: :remove} = step), do: remove(step)

  def execute(%Step{action: :replace} = step) do
    with :ok <- remove(step), do: if(step.spec.running, do: start(step), else: :ok)
  end

  defp children(node) do
    children = call!(node, :which_children, @ask_ms)

    for {id, pid, _type, _modules} <- children, into: %{} do
      {:ok, child} = call!(node, {:get_childspec, id}, @ask_ms)
      {to_string(id), %{pid: pid, child: child}}
    end
  catch
    # It went away, or a child did between the two questions.
    :exit, _ -> :unknown
    :error, {:badmatch, _} -> :unknown
  end

  defp start(step), do: call(step, {:start_child, Spec.child(step.spec)}) |> started()

  defp started({:ok, _pid}), do: :ok
  defp started({:ok, _pid, _info}), do: :ok
  defp started({:error, {:already_started, _pid}}), do: :ok
  defp started({:error, :running}), do: :ok
  defp started(failed), do: failed

  defp remove(step) do
    with :ok <- absent_is_fine(call(step, {:terminate_child, step.id})),
         do: absent_is_fine(call(step, {:delete_child, step.id}))
  end

  # A temporary child is forgotten when it ends.
  defp absent_is_fine({:error, :not_found}), do: :ok
  defp absent_is_fine(other), do: other

  defp call(step, request) do
    call!(step.node, request, @do_ms)
  catch
    :exit, {reason, _} -> {:unknown, reason}
  end

  # As `Supervisor` does it, with a bound.
  defp call!(node, request, timeout), do: GenServer.call(Sidekick.supervisor(node), request, timeout)
end
