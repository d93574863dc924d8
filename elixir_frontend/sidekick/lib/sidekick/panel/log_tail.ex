defmodule Sidekick.Panel.LogTail do
  @moduledoc """
  The end of a server's log as it grows: bounded, with a pause and a search, whatever the flood.

      iex> tail = Sidekick.Panel.LogTail.new(3)
      iex> tail = Enum.reduce(1..4, tail, &Sidekick.Panel.LogTail.push(&2, [%{at_ms: &1, source: :stdout, line: "line \#{&1}", cursor: &1}]))
      iex> {Enum.map(Sidekick.Panel.LogTail.lines(tail), & &1.line), tail.dropped}
      {["line 2", "line 3", "line 4"], 1}

  Paused, what is shown stands still; what comes is kept apart, bounded too, and shown once it goes on:

      iex> alias Sidekick.Panel.LogTail
      iex> line = fn n -> %{at_ms: n, source: :stderr, line: "E\#{n}", cursor: n} end
      iex> tail = LogTail.new(10) |> LogTail.push([line.(1)]) |> LogTail.pause() |> LogTail.push([line.(2), line.(3)])
      iex> {length(LogTail.lines(tail)), tail.waiting}
      {1, 2}
      iex> tail |> LogTail.resume() |> LogTail.search("e3") |> LogTail.lines() |> Enum.map(& &1.cursor)
      [3]

  Lines are told apart by their cursor: one that was read and comes as an event too is there once. Where the game floods, events are
  missing (`lagged/2`), and the tail says how many.
  """

  alias Sidekick.Panel.Format

  @lines_max 1_000
  @line_max 2_000

  defstruct max: @lines_max,
            shown: [],
            count: 0,
            late: [],
            waiting: 0,
            paused: false,
            search: "",
            dropped: 0,
            missed: 0,
            cursor: nil

  @type line :: %{at_ms: integer(), source: atom(), line: String.t(), cursor: integer()}
  @type t :: %__MODULE__{
          max: pos_integer(),
          shown: [line()],
          count: non_neg_integer(),
          late: [line()],
          waiting: non_neg_integer(),
          paused: boolean(),
          search: String.t(),
          dropped: non_neg_integer(),
          missed: non_neg_integer(),
          cursor: integer() | nil
        }

  @doc "An empty tail of at most `max` lines."
  @spec new(pos_integer()) :: t()
  def new(max \\ @lines_max) when max > 0, do: %__MODULE__{max: max}

  @doc "Takes in lines, oldest first, as `Sidekick.logs/3` answers them and events of `{:logs, id}` tell them."
  @spec push(t(), [map()]) :: t()
  def push(tail, lines), do: lines |> Enum.reduce(tail, &add/2) |> trim()

  @doc "Some lines are missing."
  @spec lagged(t(), non_neg_integer()) :: t()
  def lagged(tail, missed), do: %{tail | missed: tail.missed + missed}

  @doc "What is shown stands still."
  @spec pause(t()) :: t()
  def pause(tail), do: %{tail | paused: true}

  @doc "What came meanwhile is shown, and what comes."
  @spec resume(t()) :: t()
  def resume(tail) do
    tail = %{
      tail
      | paused: false,
        shown: tail.late ++ tail.shown,
        count: tail.count + tail.waiting,
        late: [],
        waiting: 0
    }

    trim(tail)
  end

  @doc "Shows only lines that hold this text, whatever its case. An empty one shows all."
  @spec search(t(), String.t()) :: t()
  def search(tail, text), do: %{tail | search: text |> Format.text(200) |> String.trim() |> String.downcase()}

  @doc "The lines that are shown, oldest first."
  @spec lines(t()) :: [line()]
  def lines(%{search: ""} = tail), do: tail.shown |> Enum.take(tail.max) |> Enum.reverse()

  def lines(%{search: search} = tail) do
    tail.shown
    |> Enum.take(tail.max)
    |> Enum.filter(&String.contains?(String.downcase(&1.line), search))
    |> Enum.reverse()
  end

  @doc "A sentence about what is shown, where that is not everything."
  @spec notice(t()) :: String.t() | nil
  def notice(%{missed: missed}) when missed > 0,
    do: "#{Format.count(missed)} lines came too fast to be shown; all of them are in the server's log files."

  def notice(%{paused: true, waiting: waiting}), do: "Paused. #{Format.count(waiting)} lines wait."
  def notice(%{count: 0}), do: "No lines yet: the server has written nothing since its log was begun."
  def notice(_tail), do: nil

  defp add(%{cursor: cursor} = line, %{cursor: last} = tail)
       when is_integer(cursor) and (last == nil or cursor > last) do
    line = %{
      at_ms: line[:at_ms],
      source: line[:source],
      line: Format.text(line[:line] || "", @line_max),
      cursor: cursor
    }

    if tail.paused,
      do: %{tail | late: [line | tail.late], waiting: tail.waiting + 1, cursor: cursor},
      else: %{tail | shown: [line | tail.shown], count: tail.count + 1, cursor: cursor}
  end

  defp add(_line, tail), do: tail

  # Trimmed when it is twice too long, so that a line costs no walk over all of them.
  defp trim(%{count: count, max: max} = tail) when count > 2 * max or (count > max and max < 100),
    do: trim(%{tail | shown: Enum.take(tail.shown, max), count: max, dropped: tail.dropped + count - max})

  defp trim(%{waiting: waiting, max: max} = tail) when waiting > 2 * max,
    do: %{tail | late: Enum.take(tail.late, max), waiting: max, dropped: tail.dropped + waiting - max}

  defp trim(tail), do: tail
end
