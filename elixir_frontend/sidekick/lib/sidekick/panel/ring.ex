defmodule Sidekick.Panel.Ring do
  @moduledoc """
  The last samples of some figures, for sparklines and charts: bounded, and one binary, so that an ETS table holds two thousand of
  them without copying.

      iex> ring = Sidekick.Panel.Ring.new([:frame_ms, :players], 2)
      iex> ring = Enum.reduce([{1000, [16.5, 3]}, {2000, [nil, 4]}, {3000, [17.0, nil]}], ring, fn {at_ms, values}, ring ->
      ...>   Sidekick.Panel.Ring.push(ring, at_ms, values)
      ...> end)
      iex> Sidekick.Panel.Ring.series(ring, :players)
      [{2000, 4.0}, {3000, nil}]
      iex> Sidekick.Panel.Ring.series(ring, :frame_ms)
      [{2000, nil}, {3000, 17.0}]

  Figures are kept with 32 bits, about seven digits; all of them are zero or more, so that a negative number can stand for one that
  is not known.
  """

  @enforce_keys [:columns, :max]
  defstruct [:columns, :max, count: 0, samples: <<>>]

  @type t :: %__MODULE__{columns: [atom()], max: pos_integer(), count: non_neg_integer(), samples: binary()}

  @at_bytes 8
  @value_bytes 4
  @unknown -1.0
  @apart_ms 100
  # The largest that 32 bits hold.
  @most 3.4e38

  @doc "An empty ring for these figures, of at most `max` samples."
  @spec new([atom()], pos_integer()) :: t()
  def new(columns, max) when max > 0, do: %__MODULE__{columns: columns, max: max}

  @doc "Whether the newest sample is so old that another one says more: two of the same moment make a line of nothing."
  @spec due?(t(), integer()) :: boolean()
  def due?(ring, at_ms), do: ring.count == 0 or at_ms - last_ms(ring) >= @apart_ms

  @doc "One more sample; the oldest goes where the ring is full. A time before the newest is taken as the newest's."
  @spec push(t(), integer(), [number() | nil]) :: t()
  def push(%__MODULE__{columns: columns} = ring, at_ms, values) when length(values) == length(columns) do
    at_ms = max(at_ms, last_ms(ring) || at_ms)
    sample = for value <- values, into: <<at_ms::signed-64>>, do: <<known(value)::float-32>>

    if ring.count < ring.max do
      %{ring | samples: ring.samples <> sample, count: ring.count + 1}
    else
      <<_oldest::binary-size(byte_size(sample)), rest::binary>> = ring.samples
      # A fresh binary: appending to a part of one keeps the whole alive.
      %{ring | samples: <<rest::binary, sample::binary>>}
    end
  end

  @doc "One figure's samples, oldest first."
  @spec series(t(), atom()) :: [{integer(), float() | nil}]
  def series(%__MODULE__{columns: columns, samples: samples}, column) do
    case Enum.find_index(columns, &(&1 == column)) do
      nil ->
        []

      index ->
        before = index * @value_bytes
        behind = (length(columns) - index - 1) * @value_bytes

        for <<at_ms::signed-64, _::binary-size(before), value::float-32, _::binary-size(behind) <- samples>>,
          do: {at_ms, if(value < 0, do: nil, else: value)}
    end
  end

  @doc "The time of the newest sample."
  @spec last_ms(t()) :: integer() | nil
  def last_ms(%__MODULE__{count: 0}), do: nil

  def last_ms(%__MODULE__{columns: columns, samples: samples, count: count}) do
    size = @at_bytes + length(columns) * @value_bytes
    <<_::binary-size((count - 1) * size), at_ms::signed-64, _::binary>> = samples
    at_ms
  end

  defp known(value) when is_number(value) and value >= 0, do: min(value / 1, @most)
  defp known(_), do: @unknown
end
