defmodule Sidekick.Event do
  @moduledoc """
  One event of a subscription, as `Sidekick.events!/3` gives it.

    * `:node` - the sidekick it came from
    * `:topic` - the topic it belongs to; `:sidekick` where it concerns the subscription itself
    * `:type` - what happened: `:started`, `:ended`, `:crash`, `:line`, `:records`, `:up`, ...; `:lagged` where events
      are missing (`data.missed` tells how many)
    * `:seq` - counts the events of this subscription; `0` for those that the library made
    * `:at_ms` - sidekick's wall clock
    * `:data` - everything else of that type

      iex> Sidekick.Event.new({:sidekick_event, :"sidekick@game1", make_ref(),
      ...>   %{topic: :peers, type: :up, seq: 3, at_ms: 1_700_000_000_000, node: :"frontend@beam1"}})
      %Sidekick.Event{node: :"sidekick@game1", topic: :peers, type: :up, seq: 3, at_ms: 1_700_000_000_000,
        data: %{node: :"frontend@beam1"}}
  """

  @enforce_keys [:node, :topic, :type, :seq, :at_ms]
  defstruct [:node, :topic, :type, :seq, :at_ms, data: %{}]

  @type t :: %__MODULE__{
          node: node(),
          topic: Sidekick.topic() | :sidekick,
          type: atom(),
          seq: non_neg_integer(),
          at_ms: non_neg_integer(),
          data: %{optional(atom()) => term()}
        }

  @doc "The event that a message of a subscription tells."
  @spec new({:sidekick_event, node(), reference(), map()}) :: t()
  def new({:sidekick_event, node, _ref, %{topic: topic, type: type, seq: seq, at_ms: at_ms} = event}) do
    data = Map.drop(event, [:topic, :type, :seq, :at_ms])
    %__MODULE__{node: node, topic: topic, type: type, seq: seq, at_ms: at_ms, data: data}
  end

  @doc "Tells that events are missing."
  @spec lagged(node(), pos_integer()) :: t()
  def lagged(node, missed) do
    now_ms = System.os_time(:millisecond)
    %__MODULE__{node: node, topic: :sidekick, type: :lagged, seq: 0, at_ms: now_ms, data: %{missed: missed}}
  end
end
