defmodule Sidekick.Panel.Crash do
  @moduledoc """
  A crash bundle, readable: what happened in one sentence, the script line, facts, backtraces, the last beats and log lines; and the same as
  Markdown for a ticket.

  Bundles of other versions are read as far as they go; what is not known here stands under `:others`, so that nothing is hidden.
  """

  alias Sidekick.Panel.{Browser, Format}

  @lines_max 200
  @frames_max 100
  @known [
           :server,
           :number,
           :at_ms,
           :start_number,
           :os_pid,
           :epoch,
           :reason,
           :decision,
           :detail,
           :while_away,
           :exit,
           :output
         ] ++
           [:log, :beats, :figures, :versions, :facts]

  @type t :: %{
          node: node() | nil,
          server: String.t(),
          number: integer() | nil,
          at_ms: integer() | nil,
          reason: String.t(),
          sentence: String.t(),
          script_line: String.t() | nil,
          facts: [{String.t(), String.t()}],
          script_backtrace: [String.t()],
          engine_backtrace: [String.t()],
          beats: [map()],
          log: [%{at_ms: integer() | nil, source: String.t(), line: String.t()}],
          streams: [{String.t(), String.t()}],
          others: [Browser.line()]
        }

  @doc "Reads a bundle, as `Sidekick.crash/4` gives it."
  @spec read(map(), node() | nil) :: t()
  def read(bundle, node \\ nil) when is_map(bundle) do
    output = section(bundle, :output)
    reason = Format.reason(bundle[:reason])

    %{
      node: node,
      server: Format.text(bundle[:server]),
      number: whole(bundle[:number]),
      at_ms: whole(bundle[:at_ms]),
      reason: reason,
      sentence: bundle |> Map.put_new(:detail, nil) |> sentence(reason),
      script_line: text(output[:script_line]),
      facts: facts(bundle, section(bundle, :figures), section(bundle, :versions)),
      script_backtrace: texts(output[:script_backtrace]),
      engine_backtrace: texts(output[:engine_backtrace]),
      beats: bundle[:beats] |> maps() |> Enum.take(-@lines_max),
      log: bundle[:log] |> maps() |> Enum.take(-@lines_max) |> Enum.map(&log_line/1),
      streams: streams(section(bundle, :facts)),
      others: bundle |> Map.drop(@known) |> Browser.tree(depth: 3, items: 30, lines: 100)
    }
  end

  @doc "The bundle as Markdown. Nothing of it is markup of its own: names and lines of games are escaped or fenced."
  @spec to_markdown(t()) :: String.t()
  def to_markdown(crash) do
    where = if crash.node, do: " on #{escape(Atom.to_string(crash.node))}", else: ""

    [
      "## Crash #{escape(Format.text(crash.number))} of #{escape(crash.server)}#{where}",
      escape(crash.sentence),
      if(crash.script_line, do: "Script line: #{code(crash.script_line)}"),
      table(crash.facts),
      fenced("Script backtrace", crash.script_backtrace),
      fenced("Engine backtrace", crash.engine_backtrace),
      fenced("Last log lines", Enum.map(crash.log, &"#{Format.time(&1.at_ms)} #{&1.source} #{&1.line}"))
    ]
    |> Enum.reject(&is_nil/1)
    |> Enum.join("\n\n")
    |> Kernel.<>("\n")
  end

  @doc """
  Text within Markdown: every character that could be markup is escaped, and a line end is a space.

      iex> Sidekick.Panel.Crash.escape("<b>*x*</b> [a](http://b) | `c`")
      "\\\\<b\\\\>\\\\*x\\\\*\\\\</b\\\\> \\\\[a\\\\]\\\\(http://b\\\\) \\\\| \\\\`c\\\\`"
  """
  @spec escape(String.t()) :: String.t()
  def escape(text),
    do: text |> String.replace(~r/\s*\R\s*/, " ") |> String.replace(~r/[\\`*_{}\[\]()<>#+|~!&@-]/, "\\\\\\0")

  defp sentence(%{detail: detail} = bundle, reason) do
    ran = section(bundle, :figures)[:ran_ms]
    ran = if is_number(ran), do: ", #{Format.duration(ran)} after its start", else: ""

    what =
      case bundle[:reason] do
        # The detail says that it hung, and where.
        :hang when is_binary(detail) -> "It was killed#{ran}"
        :hang -> "Its main loop hung, so it was killed#{ran}"
        {:signal, _} -> "It was ended by #{reason}#{ran}"
        {:exit_status, _} -> "It ended by itself with #{reason}#{ran}"
        _ -> "It ended (#{reason})#{ran}"
      end

    away = if bundle[:while_away] == true, do: ", while sidekick was away", else: ""
    what <> away <> if(is_binary(detail), do: ": #{Format.text(detail, 300)}", else: ".")
  end

  defp facts(bundle, figures, versions) do
    [
      {"At", bundle[:at_ms], &Format.time/1},
      {"Ran for", figures[:ran_ms], &Format.duration/1},
      {"Seen after", micros(figures[:exit_to_detected_us]), &Format.duration/1},
      {"Process", bundle[:os_pid], &Format.text/1},
      {"Start", bundle[:start_number], &Format.count/1},
      {"Epoch", bundle[:epoch], &Format.count/1},
      {"Restarts before", figures[:restarts], &Format.count/1},
      {"Memory", figures[:rss_bytes], &Format.bytes/1},
      {"Memory, highest", figures[:rss_bytes_max], &Format.bytes/1},
      {"CPU", figures[:cpu_percent], &Format.percent/1},
      {"Decision", bundle[:decision], &Format.words/1},
      {"Engine", versions[:engine], &Format.text/1},
      {"Program", versions[:program], &Format.text/1},
      {"sidekick", versions[:sidekick], &Format.text/1}
    ]
    |> Enum.reject(fn {_, value, _} -> is_nil(value) end)
    |> Enum.map(fn {name, value, format} -> {name, format.(value)} end)
  end

  # What was not uploaded yet when it ended.
  defp streams(%{streams: %{} = streams}) do
    for {name, told} <- streams |> Enum.sort() |> Enum.take(50),
        do: {Format.text(name, 200), told |> inspect(limit: 20, printable_limit: 200) |> Format.text(300)}
  end

  defp streams(_facts), do: []

  defp log_line(line),
    do: %{
      at_ms: whole(line[:at_ms]),
      source: Format.text(line[:source], 20),
      line: Format.text(line[:line] || "", 1_000)
    }

  defp section(bundle, name), do: with(%{} = section <- bundle[name], do: section, else: (_ -> %{}))
  defp maps(list) when is_list(list), do: Enum.filter(list, &is_map/1)
  defp maps(_), do: []
  defp texts(list) when is_list(list), do: list |> Enum.take(@frames_max) |> Enum.map(&Format.text(&1, 500))
  defp texts(_), do: []
  defp text(text) when is_binary(text), do: Format.text(text, 500)
  defp text(_), do: nil
  defp whole(number) when is_integer(number), do: number
  defp whole(_), do: nil
  defp micros(us) when is_number(us), do: us / 1000
  defp micros(_), do: nil

  defp table([]), do: nil

  defp table(rows),
    do:
      "| | |\n|---|---|\n" <>
        Enum.map_join(rows, "\n", fn {name, value} -> "| #{escape(name)} | #{escape(value)} |" end)

  defp code(text) do
    fence = String.duplicate("`", longest(text) + 1)
    "#{fence} #{String.replace(text, ~r/\R/, " ")} #{fence}"
  end

  defp fenced(_title, []), do: nil

  defp fenced(title, lines) do
    text = Enum.map_join(lines, "\n", &String.replace(&1, ~r/\R/, " "))
    fence = String.duplicate("`", max(3, longest(text) + 1))
    "### #{title}\n\n#{fence}text\n#{text}\n#{fence}"
  end

  # A fence must be longer than any run of backticks within.
  defp longest(text) do
    ~r/`+/ |> Regex.scan(text) |> Enum.map(fn [run] -> String.length(run) end) |> Enum.max(fn -> 0 end)
  end
end
