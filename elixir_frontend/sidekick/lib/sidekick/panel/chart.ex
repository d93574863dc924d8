defmodule Sidekick.Panel.Chart do
  @moduledoc """
  Sparklines and charts as data: points, the text of SVG paths, ticks with labels. Nothing here knows of HTML.

  A gap in the samples is a gap in the line, never a line drawn over it.
  """

  alias Sidekick.Panel.Format

  @type sample :: {integer(), number() | nil}
  @type tick :: %{at: float(), value: number(), label: String.t()}
  @type sparkline :: %{
          width: number(),
          height: number(),
          path: String.t(),
          area: String.t(),
          last: {float(), float()} | nil
        }
  @type chart :: %{
          width: number(),
          height: number(),
          plot: %{x: number(), y: number(), width: number(), height: number()},
          path: String.t(),
          area: String.t(),
          x: [tick()],
          y: [tick()],
          empty: boolean(),
          summary: String.t()
        }

  @doc """
  A line without axes.

      iex> Sidekick.Panel.Chart.sparkline([{0, 0}, {10, 5}, {20, 10}], 100, 20).path
      "M0,20L50,10L100,0"

      iex> Sidekick.Panel.Chart.sparkline([{0, 1}, {10, nil}, {20, 1}, {30, 1}], 90, 10).path
      "M0,0L0,0M60,0L90,0"

      iex> Sidekick.Panel.Chart.sparkline([], 100, 20).path
      ""
  """
  @spec sparkline([sample()], number(), number()) :: sparkline()
  def sparkline(samples, width, height) do
    runs = runs(samples, scale_x(samples, 0, width), scale_y(top(samples), 0, height))
    last = runs |> List.last([]) |> List.last()
    %{width: width, height: height, path: path(runs), area: area(runs, height), last: last}
  end

  @doc """
  A chart with axes. Options: `width:`, `height:` (of the whole, default 640 by 180), `unit:` (`:bytes`, `:percent`, `:count`, or a text
  such as `"ms"`), `at_least:` (what the upper end of the axis shows at the least, so that noise does not look like a mountain), `end:` (what
  the newest sample is called, default `"now"`).
  """
  @spec chart([sample()], keyword()) :: chart()
  def chart(samples, opts \\ []) do
    {width, height} = {Keyword.get(opts, :width, 640), Keyword.get(opts, :height, 180)}
    unit = Keyword.get(opts, :unit, :count)
    plot = %{x: 64, y: 8, width: width - 72, height: height - 32}
    ticks = nice_ticks(max(top(samples), Keyword.get(opts, :at_least, 0)), 4, if(unit == :bytes, do: 2, else: 10))
    to_x = scale_x(samples, plot.x, plot.width)
    to_y = scale_y(List.last(ticks), plot.y, plot.height)
    runs = runs(samples, to_x, to_y)

    %{
      width: width,
      height: height,
      plot: plot,
      path: path(runs),
      area: area(runs, plot.y + plot.height),
      x: time_ticks(samples, to_x, Keyword.get(opts, :end, "now")),
      y: for(value <- ticks, do: %{at: to_y.(value), value: value, label: label(value, unit)}),
      empty: runs == [],
      summary: summary(samples, unit)
    }
  end

  @doc """
  The marks of an axis from zero to at least `top`, about `wanted` of them, each a round number: 1, 2 or 5 times a power of ten, or a
  power of two for sizes.

      iex> Sidekick.Panel.Chart.nice_ticks(87, 4)
      [0, 25, 50, 75, 100]

      iex> Sidekick.Panel.Chart.nice_ticks(0.034, 3)
      [0, 0.02, 0.04]

      iex> Sidekick.Panel.Chart.nice_ticks(3 * 1024 * 1024, 4, 2)
      [0, 1048576, 2097152, 3145728]

      iex> Sidekick.Panel.Chart.nice_ticks(0, 4)
      [0, 1]
  """
  @spec nice_ticks(number(), pos_integer(), 2 | 10) :: [number()]
  def nice_ticks(top, wanted, base \\ 10)
  def nice_ticks(top, _wanted, _base) when top <= 0, do: [0, 1]

  def nice_ticks(top, wanted, base) do
    step = nice_step(top / wanted, base)
    # A quotient such as 2.0000000001 is 2, not 3.
    count = max(1, ceil(Float.round(top / step, 6)))
    for n <- 0..count, do: exact(n * step)
  end

  defp nice_step(rough, 2), do: max(1, Integer.pow(2, max(0, ceil(:math.log2(rough)))))

  defp nice_step(rough, 10) do
    power = :math.pow(10, floor(:math.log10(rough)))
    power * Enum.find([1, 2, 2.5, 5, 10], &(rough / power <= &1 + 1.0e-9))
  end

  defp exact(number) do
    rounded = if is_float(number), do: Float.round(number, 9), else: number
    if rounded == trunc(rounded), do: trunc(rounded), else: rounded
  end

  @doc "What a line says, for who cannot see it."
  @spec summary([sample()], term()) :: String.t()
  def summary(samples, unit) do
    case for {_, value} <- samples, value != nil, do: value do
      [] ->
        "no samples yet"

      values ->
        "last #{label(List.last(values), unit)}, lowest #{label(Enum.min(values), unit)}, highest #{label(Enum.max(values), unit)}"
    end
  end

  @doc "A figure with its unit."
  @spec label(number(), term()) :: String.t()
  def label(value, :bytes), do: Format.bytes(round(value))
  def label(value, :percent), do: Format.percent(value)
  def label(value, :count), do: Format.count(value)
  def label(value, unit) when is_binary(unit), do: Format.unit(value, unit)

  defp top(samples), do: Enum.reduce(samples, 0, fn {_, value}, top -> if value, do: max(top, value), else: top end)

  defp scale_x([], x, _width), do: fn _ -> x end

  defp scale_x(samples, x, width) do
    {{first, _}, {last, _}} = {hd(samples), List.last(samples)}
    fn at_ms -> x + width * (at_ms - first) / max(1, last - first) end
  end

  defp scale_y(top, y, height), do: fn value -> y + height * (1 - value / max(top, 1.0e-9)) end

  # The points, cut where a sample is missing.
  defp runs(samples, to_x, to_y) do
    samples
    |> Enum.chunk_by(fn {_, value} -> value == nil end)
    |> Enum.reject(fn [{_, value} | _] -> value == nil end)
    |> Enum.map(fn run -> for {at_ms, value} <- run, do: {to_x.(at_ms), to_y.(value)} end)
  end

  # A single point becomes a line of no length, which round caps show as a dot.
  defp path(runs) do
    Enum.map_join(runs, fn
      [point] -> "M#{point(point)}L#{point(point)}"
      [first | rest] -> "M#{point(first)}" <> Enum.map_join(rest, &"L#{point(&1)}")
    end)
  end

  defp area(runs, bottom) do
    Enum.map_join(runs, fn [{first, _} | _] = run ->
      {last, _} = List.last(run)
      "M#{point({first, bottom})}" <> Enum.map_join(run, &"L#{point(&1)}") <> "L#{point({last, bottom})}Z"
    end)
  end

  defp point({x, y}), do: "#{coordinate(x)},#{coordinate(y)}"

  defp coordinate(number) do
    rounded = Float.round(number / 1, 1)
    if rounded == trunc(rounded), do: Integer.to_string(trunc(rounded)), else: Float.to_string(rounded)
  end

  # The ends and the middle, as ages: what a glance asks is how long ago.
  defp time_ticks([], _to_x, _newest), do: []

  defp time_ticks(samples, to_x, newest) do
    {{first, _}, {last, _}} = {hd(samples), List.last(samples)}

    for at_ms <- Enum.uniq([first, div(first + last, 2), last]) do
      # Samples come a little early or late: "−1.0 s" says more than "−999 ms".
      age = round((last - at_ms) / 100) * 100
      %{at: to_x.(at_ms) / 1, value: at_ms, label: if(age == 0, do: newest, else: "−" <> Format.duration(age))}
    end
  end
end
