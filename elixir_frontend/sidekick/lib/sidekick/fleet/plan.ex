defmodule Sidekick.Fleet.Plan do
  @moduledoc """
  What is to be done so that a node runs what it should. Made by comparing, without doing anything.

  | action | stock calls on the node's supervisor |
  |---|---|
  | `:add` | `start_child` |
  | `:start` | `restart_child` |
  | `:stop` | `terminate_child` |
  | `:replace` | `terminate_child`, `delete_child`, `start_child` |
  | `:remove` | `terminate_child`, `delete_child` |
  | `:unknown` | none: the node does not answer |

  Servers that nobody asked the fleet for are left alone; one that the fleet put there is removed once it is wanted no more.
  """

  alias Sidekick.Fleet.Spec

  defmodule Step do
    @moduledoc "One thing to do."
    @enforce_keys [:node, :id, :action, :reason]
    defstruct [:node, :id, :action, :reason, :spec]

    @type action :: :add | :start | :stop | :replace | :remove | :unknown
    @type t :: %__MODULE__{node: node(), id: binary(), action: action(), reason: String.t(), spec: Spec.t() | nil}
  end

  @typedoc "A child as its supervisor tells of it."
  @type actual :: %{pid: pid() | :undefined | :restarting, child: map()}

  @doc """
  The steps for one node. `desired` and `actual` are by id; `applied` holds the fingerprint of what the fleet last put there.
  """
  @spec steps(node(), %{binary() => Spec.t()}, %{binary() => actual()} | :unknown, %{binary() => binary()}) :: [
          Step.t()
        ]
  def steps(node, desired, :unknown, applied) do
    for id <- Enum.sort(Enum.uniq(Map.keys(desired) ++ Map.keys(applied))),
        do: step(node, id, :unknown, "the node does not answer", desired[id])
  end

  def steps(node, desired, actual, applied) do
    wanted = for {id, spec} <- Enum.sort(desired), step = wanted(node, id, spec, actual[id], applied[id]), do: step
    gone = for {id, _} <- Enum.sort(applied), not is_map_key(desired, id), is_map_key(actual, id), do: id
    wanted ++ Enum.map(gone, &step(node, &1, :remove, "it is wanted no more", nil))
  end

  @doc "Lines for people."
  @spec describe([Step.t()]) :: [String.t()]
  def describe([]), do: ["everything runs as it should"]
  def describe(steps), do: Enum.map(steps, &"#{&1.node}: #{&1.action} #{&1.id}, because #{&1.reason}")

  defp wanted(_node, _id, %{running: false}, nil, _applied), do: nil
  defp wanted(node, id, spec, nil, _applied), do: step(node, id, :add, "it is not there", spec)

  defp wanted(node, id, spec, %{pid: pid, child: child}, applied) do
    fingerprint = Spec.fingerprint(spec)

    cond do
      not Spec.matches?(spec, child, applied == fingerprint) ->
        step(node, id, :replace, "it was started otherwise", spec)

      applied != nil and applied != fingerprint ->
        step(node, id, :replace, "its spec has changed", spec)

      spec.running and pid == :undefined ->
        step(node, id, :start, "it is stopped", spec)

      not spec.running and pid != :undefined ->
        step(node, id, :stop, "it should not run", spec)

      true ->
        nil
    end
  end

  defp step(node, id, action, reason, spec), do: %Step{node: node, id: id, action: action, reason: reason, spec: spec}
end
