defmodule Sidekick.Consumer.Lane do
  @moduledoc false
  # How far one stream is handled and what to do after a failure: a pure function of what happened, so that it can be tried
  # without a store. Times are given in milliseconds.
  #
  # A batch that fails `max_attempts` times is handled record by record from then on, up to its last; a record that fails
  # as often alone is poison. If `max_poison` are set aside without one success between, it is not the records that are
  # wrong: then nothing more is set aside.

  defstruct [
    :cursor,
    :limit,
    :full,
    seen: 0,
    attempts: 0,
    waits: 0,
    alone_until: 0,
    poison: 0,
    due_ms: 0,
    state: :ready,
    error: nil
  ]

  @type t :: %__MODULE__{}
  @type rules :: %{
          max_attempts: pos_integer(),
          max_poison: pos_integer(),
          backoff_ms: {pos_integer(), pos_integer()}
        }

  @doc "A lane that has handled everything up to `cursor`."
  @spec new(non_neg_integer(), pos_integer()) :: t()
  def new(cursor, limit), do: %__MODULE__{cursor: cursor, limit: limit, full: limit}

  @doc "There may be something to handle."
  @spec wake(t()) :: t()
  def wake(%{state: :idle} = lane), do: %{lane | state: :ready}
  def wake(lane), do: lane

  @doc "There is nothing to handle up to `seen`: what is missing behind the cursor was dropped, or is gone."
  @spec idle(t(), non_neg_integer()) :: t()
  def idle(lane, seen), do: %{lane | state: :idle, seen: seen}

  @doc "Whether everything up to `head` is handled, or is not there to be."
  @spec reached?(t(), non_neg_integer() | :unknown) :: boolean()
  def reached?(%{cursor: cursor, seen: seen}, head), do: max(cursor, seen) >= head

  @doc "Whether it may be tried now."
  @spec ready?(t(), integer()) :: boolean()
  def ready?(%{state: :ready}, _now_ms), do: true
  def ready?(%{state: state, due_ms: due}, now_ms) when state in [:waiting, :stalled], do: due <= now_ms
  def ready?(_lane, _now_ms), do: false

  @doc "Everything up to `last` is handled."
  @spec done(t(), pos_integer()) :: t()
  def done(lane, last), do: %{proceed(lane, last) | poison: 0}

  @doc "The record at `seq` was set aside."
  @spec set_aside(t(), pos_integer()) :: t()
  def set_aside(lane, seq), do: %{proceed(lane, seq) | poison: lane.poison + 1}

  @doc """
  It failed with this batch. `:retry` is nobody's fault and never ends; `:error` may be the batch's. The random number
  between 0 and 1 spreads the pause over its second half.
  """
  @spec failed(t(), :retry | :error, %{records: list(), last: pos_integer()}, term(), integer(), float(), rules()) ::
          {:wait | :poison, t()}
  def failed(lane, :retry, _batch, error, now_ms, random, rules),
    do: {:wait, wait(%{lane | error: error}, :waiting, now_ms, random, rules)}

  def failed(lane, :error, batch, error, now_ms, random, rules) do
    lane = %{lane | attempts: lane.attempts + 1, error: error}

    cond do
      lane.attempts < rules.max_attempts ->
        {:wait, wait(lane, :waiting, now_ms, random, rules)}

      length(batch.records) > 1 ->
        {:wait, %{lane | limit: 1, alone_until: batch.last, attempts: 0, waits: 0, state: :ready}}

      lane.poison >= rules.max_poison ->
        {:wait, wait(%{lane | attempts: rules.max_attempts}, :stalled, now_ms, random, rules)}

      true ->
        {:poison, lane}
    end
  end

  defp proceed(lane, last) do
    limit = if last >= lane.alone_until, do: lane.full, else: lane.limit
    %{lane | cursor: last, limit: limit, attempts: 0, waits: 0, state: :ready, error: nil}
  end

  defp wait(lane, state, now_ms, random, %{backoff_ms: {least, most}}) do
    pause = min(least * Integer.pow(2, min(lane.waits, 30)), most)
    due = now_ms + ceil(pause / 2 + pause / 2 * random)
    %{lane | state: state, due_ms: due, waits: lane.waits + 1}
  end
end
