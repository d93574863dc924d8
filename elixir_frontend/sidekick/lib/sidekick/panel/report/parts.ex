defmodule Sidekick.Panel.Report.Parts do
  @moduledoc false
  # The pieces that the sections of a report are made of: badges, times, tables, lines.

  import Sidekick.Panel.Report.Html, only: [tag: 3]

  alias Sidekick.Panel.{Chart, Format}

  @bad [:quarantined, :unresponsive, :offline, :halted, :lost, :denied, :failed]
  @warn [:backing_off, :silent, :loading, :stopping, :draining, :starting, :waiting, :unknown]
  @good [:running, :up, :idle, :uploading, :available, :ok]

  @type html :: Sidekick.Panel.Report.Html.content()

  @doc "A state, told by its word; the colour only repeats it."
  @spec badge(term()) :: html()
  def badge(state), do: tag("span", [class: "badge #{tone(state)}"], Format.words(state))

  @doc "How bad a state is."
  @spec tone(term()) :: String.t() | nil
  def tone(state) when state in @bad, do: "bad"
  def tone(state) when state in @warn, do: "warn"
  def tone(state) when state in @good, do: "good"
  def tone(_state), do: nil

  @doc "A time as how long ago it was, with the absolute one beside it for who hovers."
  @spec ago(term(), integer()) :: html()
  def ago(at_ms, now_ms), do: time(at_ms, Format.ago(at_ms, now_ms))

  @doc "A time in full."
  @spec at(term()) :: html()
  def at(at_ms), do: time(at_ms, Format.time(at_ms))

  defp time(at_ms, text) do
    case Format.iso(at_ms) do
      nil -> text
      iso -> tag("time", [datetime: iso, title: Format.time(at_ms)], text)
    end
  end

  @doc "A name of somebody's: in one line, whole for who hovers."
  @spec name(term()) :: html()
  def name(text) do
    text = Format.text(text, 300)
    tag("span", [class: "name", title: text], text)
  end

  @doc "A notice of `Sidekick.Panel.Notice`."
  @spec notice(Sidekick.Panel.Notice.t() | nil) :: html()
  def notice(nil), do: nil

  def notice(%{kind: kind, text: text, todo: todo}),
    do: tag("div", [class: "notice #{kind}"], [tag("p", [], text), tag("p", [class: "todo"], todo)])

  @doc """
  A table. `columns` are `{heading, :text | :num | :wide}`, the first is the row's heading; a table may be wider than the page, and then
  scrolls by itself, by keyboard too.
  """
  @spec table(String.t(), [{String.t(), atom()}], [[html()]], html()) :: html()
  def table(_caption, _columns, [], empty), do: empty

  def table(caption, columns, rows, _empty) do
    head = for {heading, kind} <- columns, do: tag("th", [scope: "col", class: class(kind)], heading)
    body = for row <- rows, do: tag("tr", [], cells(row, columns))

    tag("div", [class: "scroll", tabindex: 0, role: "region", aria_label: caption], [
      tag("table", [], [tag("caption", [], caption), tag("thead", [], tag("tr", [], head)), tag("tbody", [], body)])
    ])
  end

  defp cells([first | rest], [_ | columns]) do
    [
      tag("th", [scope: "row"], first)
      | Enum.zip_with(rest, columns, fn cell, {_, kind} -> tag("td", [class: class(kind)], cell) end)
    ]
  end

  defp class(:num), do: "num"
  defp class(:wide), do: "wide"
  defp class(:text), do: nil

  @doc "A number with its line; the line repeats what has been, so a reader of the screen is spared it."
  @spec sparked(String.t(), [Chart.sample()]) :: html()
  def sparked(text, samples) do
    case Chart.sparkline(samples, 60, 18) do
      %{path: ""} -> text
      spark -> tag("span", [class: "cell"], [spark(spark), tag("span", [], text)])
    end
  end

  defp spark(%{width: width, height: height, path: path, area: area}) do
    tag(
      "svg",
      [class: "spark", viewBox: "0 -1 #{width} #{height + 2}", preserveAspectRatio: "none", aria_hidden: "true"],
      [
        tag("path", [class: "area", d: area], []),
        tag("path", [class: "line", d: path], [])
      ]
    )
  end

  @doc "A chart with axes and a heading; nothing where there are no two samples: a point is no course."
  @spec chart(String.t(), [Chart.sample()], keyword()) :: html()
  def chart(title, samples, opts) do
    chart = Chart.chart(samples, Keyword.merge([width: 400, height: 150], opts))
    if Enum.count(samples, &elem(&1, 1)) < 2, do: nil, else: drawn(title, chart)
  end

  defp drawn(title, %{plot: plot} = chart) do
    grid =
      for %{at: y, label: label} <- chart.y do
        [
          tag("line", [class: "grid", x1: plot.x, x2: plot.x + plot.width, y1: y, y2: y], []),
          tag("text", [class: "tick", x: plot.x - 8, y: y + 4, text_anchor: "end"], label)
        ]
      end

    times =
      for {%{at: x, label: label}, index} <- Enum.with_index(chart.x) do
        anchor = if index == 0, do: "start", else: if(x >= plot.x + plot.width - 1, do: "end", else: "middle")
        tag("text", [class: "tick", x: x, y: plot.y + plot.height + 18, text_anchor: anchor], label)
      end

    tag("figure", [], [
      tag("figcaption", [], [tag("b", [], title), " ", chart.summary]),
      tag(
        "svg",
        [viewBox: "0 0 #{chart.width} #{chart.height}", role: "img", aria_label: "#{title}: #{chart.summary}"],
        [
          grid,
          times,
          tag("path", [class: "area", d: chart.area], []),
          tag("path", [class: "line", d: chart.path], [])
        ]
      )
    ])
  end

  @doc "Lines as they were written; scrolls by keyboard too."
  @spec lines(String.t(), [String.t()]) :: html()
  def lines(_title, []), do: nil

  def lines(title, lines) do
    [tag("h4", [], title), tag("pre", [tabindex: 0, aria_label: title, role: "group"], Enum.intersperse(lines, "\n"))]
  end

  @doc "Names and values."
  @spec facts([{String.t(), html()}]) :: html()
  def facts([]), do: nil

  def facts(facts),
    do:
      tag(
        "dl",
        [class: "facts"],
        for({name, value} <- facts, do: tag("div", [], [tag("dt", [], name), tag("dd", [], value)]))
      )

  @doc "A part of the page with a heading that can be linked to."
  @spec section(String.t(), String.t(), html()) :: html()
  def section(id, title, content),
    do: tag("section", [aria_labelledby: id], [tag("h2", [id: id], title), content])
end
