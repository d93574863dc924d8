defmodule Sidekick.Panel.ShownTest do
  # What is shown of what others wrote: bounded, and without anything that obeys them.
  use ExUnit.Case, async: true

  alias Sidekick.Panel.{Browser, Chart, Crash, Format, LogTail, Ring}

  test "any term has a bounded tree" do
    :rand.seed(:exsss, 3)

    for _ <- 1..100 do
      lines = term(6) |> Browser.tree(lines: 200)
      assert length(lines) <= 201
      assert Enum.all?(lines, &(String.valid?(&1.text) and String.length(&1.text) <= 300 and &1.depth < 4))
    end

    assert [%{text: "1 item", more: 1}] = Browser.tree(%{"a" => [%{"b" => 1}]}, depth: 1)
    deep = Enum.reduce(1..100_000, 0, fn _, inner -> [inner] end)
    assert length(Browser.tree(deep)) == 4
    assert [%{text: "2 items"}, _, %{label: "…"}] = Browser.tree(%{"l" => [1 | 2], "z" => 1}, items: 1)

    assert [%{path: ["a"]}, %{path: ["a", "needle"]}] =
             Browser.tree(%{"a" => %{"needle" => 1, "x" => 2}, "b" => 3}, search: "NEEDLE")
  end

  defp term(0),
    do: Enum.random([0, 1.5, "text", <<0, 255>>, :atom, nil, true, String.duplicate("ä", 5_000), 10 ** 400, self()])

  defp term(depth) do
    inner = fn -> term(:rand.uniform(depth) - 1) end
    items = for _ <- 1..:rand.uniform(5), do: inner.()

    case :rand.uniform(5) do
      1 -> items
      2 -> List.to_tuple(items)
      3 -> Map.new(items, &{&1, inner.()})
      4 -> [inner.() | inner.()]
      5 -> Enum.to_list(1..300)
    end
  end

  test "hostile text is cut and made harmless, and quickly" do
    huge = String.duplicate("a\u0301", 5_000_000)
    {micros, text} = :timer.tc(fn -> Format.text(huge, 100) end)
    assert String.length(text) == 100 and micros < 500_000
    assert Format.text("\u202Egnp.exe\r\n", 50) == "�gnp.exe�\n"
  end

  test "a crash bundle is read as far as it goes, and its Markdown holds nothing of its author's" do
    evil = "```\n# head\n<script>alert(1)</script> | x"

    bundle = %{
      server: "<b>lobby</b>",
      number: 3,
      at_ms: 1_800_000_000_000,
      reason: {:signal, :sigsegv},
      figures: %{ran_ms: 65_000, rss_bytes: 1_000_000, cpu_percent: 20.0},
      versions: %{engine: evil},
      output: %{script_line: "res://a`b.gd:3", script_backtrace: [evil], engine_backtrace: ["[1] main"]},
      log: [%{at_ms: 1, source: "stdout", line: evil}, :junk],
      beats: [%{tick: 1}],
      facts: %{streams: %{"lobby/match" => %{"behind" => 4}}},
      fingerprint: "abc",
      new_section: %{nested: [1, 2]}
    }

    crash = Crash.read(bundle, :sidekick@a)
    assert crash.sentence == "It was ended by signal SIGSEGV, 1m 5s after its start."
    assert {"Memory", "976.6 KiB"} in crash.facts
    assert [{"lobby/match", _}] = crash.streams
    assert Enum.map(crash.others, & &1.label) |> Enum.take(2) == [":fingerprint", ":new_section"]
    markdown = Crash.to_markdown(crash)
    assert markdown =~ "## Crash 3 of \\<b\\>lobby"
    assert markdown =~ "`` res://a`b.gd:3 ``"
    # Outside of fences no markup of theirs; a fence is longer than what is in it.
    outside = Regex.replace(~r/(`{3,})text\n.*?\n\1/s, markdown, "")
    refute outside =~ ~r/(?<!\\)<|^# |```/m
    assert markdown =~ ~r/^````text$/m

    for junk <- [%{}, %{output: 1, figures: [], log: :x, beats: nil, reason: {1, 2}, facts: %{streams: []}}],
        do: assert(junk |> Crash.read() |> Crash.to_markdown() |> String.valid?())
  end

  test "a tail is bounded whatever the flood, paused or not, and tells what is missing" do
    lines = fn range -> for n <- range, do: %{at_ms: n, source: :stdout, line: "l#{n}", cursor: n} end
    tail = LogTail.new(500) |> LogTail.push(lines.(1..5_000)) |> LogTail.push(lines.(4_900..5_100))
    assert Enum.map(LogTail.lines(tail), & &1.cursor) == Enum.to_list(4_601..5_100)
    assert length(tail.shown) <= 1_000
    paused = tail |> LogTail.pause() |> LogTail.push(lines.(5_101..9_000))
    assert List.last(LogTail.lines(paused)).cursor == 5_100 and length(paused.late) <= 1_000
    assert LogTail.notice(paused) =~ "Paused"
    assert List.last(LogTail.lines(LogTail.resume(paused))).cursor == 9_000
    assert LogTail.notice(LogTail.lagged(tail, 12)) =~ "12 lines"
    assert LogTail.new() |> LogTail.notice() =~ "No lines yet"
    long = LogTail.push(LogTail.new(), [%{at_ms: 1, source: :stderr, line: String.duplicate("x", 100_000), cursor: 1}])
    assert [%{line: line}] = LogTail.lines(long)
    assert String.length(line) == 2_000
  end

  test "a ring keeps the newest, bounded, whatever is pushed" do
    ring = Enum.reduce(1..1_000, Ring.new([:a, :b], 50), &Ring.push(&2, &1, [&1, if(rem(&1, 2) == 0, do: &1 * 1.5)]))
    assert Ring.series(ring, :a) == for(n <- 951..1_000, do: {n, n / 1})
    assert {1_000, 1_500.0} = List.last(Ring.series(ring, :b))
    assert {999, nil} = Enum.at(Ring.series(ring, :b), -2)
    assert byte_size(ring.samples) == 50 * 16 and Ring.series(ring, :c) == []
    # Not before the newest; and no number is too large.
    ring = Ring.push(ring, 5, [10 ** 300, -3])
    assert Ring.last_ms(ring) == 1_000
    assert {1_000, nil} = List.last(Ring.series(ring, :b))
    assert {1_000, most} = List.last(Ring.series(ring, :a))
    assert most > 1.0e38
  end

  test "axes have round numbers that hold the data, at any scale" do
    :rand.seed(:exsss, 4)

    for _ <- 1..2_000 do
      top = :math.pow(10, :rand.uniform() * 18 - 6)
      base = Enum.random([2, 10])
      ticks = Chart.nice_ticks(top, 4, base)
      assert hd(ticks) == 0 and List.last(ticks) >= top * 0.999999
      # A size below a byte has marks of one byte.
      assert length(ticks) in 2..6
    end

    samples = for n <- 0..100, do: {n * 1_000, if(n in 40..50, do: nil, else: 20 + rem(n, 7))}
    chart = Chart.chart(samples, unit: "ms", at_least: 33)
    assert Enum.map(chart.y, & &1.label) == ["0 ms", "10 ms", "20 ms", "30 ms", "40 ms"]
    assert Enum.map(chart.x, & &1.label) == ["−1m 40s", "−50s", "now"]
    # One gap, so two lines; all within the plot.
    assert chart.path |> String.graphemes() |> Enum.count(&(&1 == "M")) == 2

    for [_, x, y] <- Regex.scan(~r/[ML]([\d.]+),([\d.]+)/, chart.path) do
      {x, _} = Float.parse(x)
      {y, _} = Float.parse(y)
      assert x >= chart.plot.x and x <= chart.plot.x + chart.plot.width
      assert y >= chart.plot.y and y <= chart.plot.y + chart.plot.height
    end

    assert Chart.chart([]).empty and Chart.chart([{1, nil}]).summary == "no samples yet"
  end
end
