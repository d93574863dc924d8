defmodule Sidekick.Consumer.LaneTest do
  use ExUnit.Case, async: true

  alias Sidekick.Consumer.Lane

  @rules %{max_attempts: 3, max_poison: 2, backoff_ms: {100, 1_000}}

  defp batch(first, last), do: %{records: Enum.to_list(first..last), last: last}
  defp fail(lane, kind, batch, now \\ 0), do: Lane.failed(lane, kind, batch, :oops, now, 1.0, @rules)
  defp fail!(lane, kind, batch), do: with({:wait, lane} <- fail(lane, kind, batch), do: lane)

  test "pauses grow up to the longest, and a success begins anew" do
    {pauses, lane} =
      Enum.map_reduce(1..7, Lane.new(0, 10), fn _, lane ->
        lane = fail!(lane, :retry, batch(1, 5))
        {lane.due_ms, lane}
      end)

    assert pauses == [100, 200, 400, 800, 1_000, 1_000, 1_000]
    refute Lane.ready?(lane, 999)
    assert Lane.ready?(lane, 1_000)
    assert %{attempts: 0, error: :oops} = lane
    lane = Lane.done(lane, 5)
    assert %{cursor: 5, error: nil} = lane
    assert Lane.ready?(lane, 0)
    assert fail!(lane, :retry, batch(6, 7)).due_ms == 100
    refute lane |> Lane.idle(0) |> Lane.ready?(0)
    assert lane |> Lane.idle(0) |> Lane.wake() |> Lane.ready?(0)
    # Being told of more does not shorten a pause.
    refute lane |> fail!(:retry, batch(6, 7)) |> Lane.wake() |> Lane.ready?(0)
  end

  test "a batch that fails is handled one by one, up to its last record" do
    lane = Lane.new(0, 10) |> fail!(:error, batch(1, 10)) |> fail!(:error, batch(1, 10)) |> fail!(:error, batch(1, 10))
    assert %{limit: 1, attempts: 0, state: :ready} = lane
    lane = Lane.done(lane, 1)
    assert lane.limit == 1
    lane = lane |> fail!(:error, batch(2, 2)) |> fail!(:error, batch(2, 2))
    assert {:poison, lane} = fail(lane, :error, batch(2, 2))
    lane = Lane.set_aside(lane, 2)
    assert %{cursor: 2, limit: 1, poison: 1} = lane
    lane = Enum.reduce(3..10, lane, &Lane.done(&2, &1))
    assert %{cursor: 10, limit: 10, poison: 0} = lane
  end

  test "when everything is poison nothing more is set aside, until something succeeds" do
    poison = fn lane, seq ->
      lane = lane |> fail!(:error, batch(seq, seq)) |> fail!(:error, batch(seq, seq))
      fail(lane, :error, batch(seq, seq))
    end

    {:poison, lane} = poison.(Lane.new(0, 1), 1)
    {:poison, lane} = poison.(Lane.set_aside(lane, 1), 2)
    {:wait, lane} = poison.(Lane.set_aside(lane, 2), 3)
    assert %{state: :stalled, cursor: 2} = lane
    assert {:wait, %{state: :stalled}} = fail(lane, :error, batch(3, 3))
    lane = Lane.done(lane, 3)
    assert {:poison, _} = poison.(lane, 4)
  end
end
