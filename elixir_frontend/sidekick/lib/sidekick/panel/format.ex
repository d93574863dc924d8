defmodule Sidekick.Panel.Format do
  @moduledoc """
  Numbers, times and text as a page shows them. Whatever is not known, or of another kind than expected, is `"–"`: what a sidekick of
  another version tells must not break a page.
  """

  alias Sidekick.Helpers.Table

  @none "–"

  @doc """
  A size.

      iex> Enum.map([0, 1536, 5_368_709_120, nil], &Sidekick.Panel.Format.bytes/1)
      ["0 B", "1.5 KiB", "5.0 GiB", "–"]
  """
  @spec bytes(term()) :: String.t()
  def bytes(count) when is_integer(count) and count >= 0, do: Table.bytes(count)
  def bytes(count) when is_float(count) and count >= 0, do: Table.bytes(round(count))
  def bytes(_), do: @none

  @doc """
  A count, its digits in groups by a thin space that does not break.

      iex> Enum.map([0, 999, 1_234_567, -4200, nil], &Sidekick.Panel.Format.count/1)
      ["0", "999", "1\\u202F234\\u202F567", "-4\\u202F200", "–"]
  """
  @spec count(term()) :: String.t()
  def count(number) when is_integer(number) and number < 0, do: "-" <> count(-number)

  def count(number) when is_integer(number) do
    number |> Integer.to_string() |> String.replace(~r/(?<=\d)(?=(\d{3})+$)/, "\u202F")
  end

  def count(number) when is_float(number), do: number |> round() |> count()
  def count(_), do: @none

  @doc """
  A count of things, by their name.

      iex> Enum.map([0, 1, 2, nil], &Sidekick.Panel.Format.number_of(&1, "restart"))
      ["0 restarts", "1 restart", "2 restarts", "– restarts"]
  """
  @spec number_of(term(), String.t()) :: String.t()
  def number_of(1, thing), do: "1 #{thing}"
  def number_of(number, thing), do: "#{count(number)} #{thing}s"

  @doc """
  A number with the unit, one decimal where it is below ten.

      iex> Enum.map([16.666, 3, 3.25, nil], &Sidekick.Panel.Format.unit(&1, "ms"))
      ["17 ms", "3 ms", "3.3 ms", "–"]
  """
  @spec unit(term(), String.t()) :: String.t()
  def unit(number, unit) when is_integer(number), do: "#{count(number)} #{unit}"
  def unit(number, unit) when is_float(number) and abs(number) < 10, do: "#{decimal(number)} #{unit}"
  def unit(number, unit) when is_float(number), do: "#{count(number)} #{unit}"
  def unit(_, _), do: @none

  @doc """
  A share, given as percent.

      iex> Enum.map([0, 12.34, 99.96, 250.0, nil], &Sidekick.Panel.Format.percent/1)
      ["0 %", "12 %", "100 %", "250 %", "–"]
  """
  @spec percent(term()) :: String.t()
  def percent(number), do: unit(number, "%")

  @doc """
  A part of a whole as percent.

      iex> {Sidekick.Panel.Format.share(1, 8), Sidekick.Panel.Format.share(1, 0)}
      {"13 %", "–"}
  """
  @spec share(term(), term()) :: String.t()
  def share(part, whole) when is_number(part) and is_number(whole) and whole > 0, do: percent(100.0 * part / whole)
  def share(_, _), do: @none

  @doc """
  Something per second.

      iex> Enum.map([0, 0.25, 62.5, 12_500.0, nil], &Sidekick.Panel.Format.rate/1)
      ["0/s", "0.3/s", "63/s", "12\\u202F500/s", "–"]
  """
  @spec rate(term()) :: String.t()
  def rate(number) when is_float(number) and abs(number) < 10 and number != 0.0, do: "#{decimal(number)}/s"
  def rate(number) when is_number(number), do: "#{count(number)}/s"
  def rate(_), do: @none

  @doc """
  A duration of milliseconds.

      iex> Enum.map([0, 45, 1500, 65_000, 7_260_000, nil], &Sidekick.Panel.Format.duration/1)
      ["0 ms", "45 ms", "1.5 s", "1m 5s", "2h 1m", "–"]
  """
  @spec duration(term()) :: String.t()
  def duration(ms) when is_number(ms) and ms < 0, do: @none
  def duration(ms) when is_number(ms) and ms < 1000, do: "#{round(ms)} ms"
  def duration(ms) when is_number(ms) and ms < 10_000, do: "#{decimal(ms / 1000)} s"
  def duration(ms) when is_number(ms), do: Table.duration(round(ms))
  def duration(_), do: @none

  @doc """
  How long ago a wall-clock time was; the clocks of two machines differ, so a time just ahead is now.

      iex> now = 1_700_000_000_000
      iex> Enum.map([now, now - 90_000, now + 800, now + 600_000, nil], &Sidekick.Panel.Format.ago(&1, now))
      ["now", "1m 30s ago", "now", "in 10m", "–"]
  """
  @spec ago(term(), integer()) :: String.t()
  def ago(at_ms, now_ms) when is_integer(at_ms) do
    case now_ms - at_ms do
      age when age in -1999..1999 -> "now"
      age when age > 0 -> "#{short(age)} ago"
      age -> "in #{short(-age)}"
    end
  end

  def ago(_, _), do: @none

  # Seconds of an hour-old event are noise; Table.duration/1 already gives two units at most.
  defp short(ms), do: ms |> Table.duration() |> String.replace(~r/ 0[smh]$/, "")

  @doc """
  A wall-clock time, absolute and in UTC.

      iex> Enum.map([1_700_000_000_123, nil, 1.0e300], &Sidekick.Panel.Format.time/1)
      ["2023-11-14 22:13:20.123 UTC", "–", "–"]
  """
  @spec time(term()) :: String.t()
  def time(at_ms) when is_integer(at_ms) do
    case DateTime.from_unix(at_ms, :millisecond) do
      {:ok, time} -> time |> DateTime.to_string() |> String.replace_suffix("Z", " UTC")
      {:error, _} -> @none
    end
  end

  def time(_), do: @none

  @doc """
  The time of the day alone, where the day is told beside it.

      iex> Sidekick.Panel.Format.clock(1_700_000_000_123)
      "22:13:20.123"
  """
  @spec clock(term()) :: String.t()
  def clock(at_ms) do
    case String.split(time(at_ms), " ") do
      [_date, clock, "UTC"] -> clock
      _ -> @none
    end
  end

  @doc "The same for a machine: the `datetime` of a `time` element; nil where there is none."
  @spec iso(term()) :: String.t() | nil
  def iso(at_ms) when is_integer(at_ms) do
    with {:ok, time} <- DateTime.from_unix(at_ms, :millisecond), do: DateTime.to_iso8601(time), else: (_ -> nil)
  end

  def iso(_), do: nil

  @doc """
  How a server ended, in words.

      iex> Enum.map([{:signal, :sigsegv}, {:exit_status, 3}, :hang, "signal sigkill", nil, {:odd, 1}], &Sidekick.Panel.Format.reason/1)
      ["signal SIGSEGV", "exit status 3", "hang", "signal SIGKILL", "–", "{:odd, 1}"]
  """
  @spec reason(term()) :: String.t()
  def reason({:signal, name}) when is_atom(name) or is_binary(name),
    do: "signal #{name |> to_string() |> String.upcase()}"

  def reason({:exit_status, status}) when is_integer(status), do: "exit status #{status}"
  def reason("signal " <> name), do: "signal #{String.upcase(name)}"
  def reason("exit_status " <> status), do: "exit status #{status}"
  def reason(nil), do: @none
  def reason(word) when is_atom(word), do: words(word)
  def reason(text) when is_binary(text), do: text(text)
  def reason(other), do: inspect(other, limit: 20, printable_limit: 200)

  @doc """
  A word of the protocol for people.

      iex> Sidekick.Panel.Format.words(:backing_off)
      "backing off"
  """
  @spec words(term()) :: String.t()
  def words(nil), do: @none
  def words(word) when is_atom(word), do: word |> Atom.to_string() |> String.replace("_", " ")
  def words(other), do: text(other)

  @doc """
  Text that somebody else wrote, cut and without what a page or terminal would obey.

      iex> Sidekick.Panel.Format.text("a\\u202Eb\\e[31m" <> <<255>>)
      "a�b�[31m�"

      iex> Sidekick.Panel.Format.text("aaaaaa", 4)
      "aaa…"
  """
  @spec text(term(), pos_integer()) :: String.t()
  def text(text, max \\ 500)
  def text(nil, _max), do: @none

  def text(text, max) when is_binary(text) do
    # Cut before it is looked at: it may be megabytes. A character has at most 4 bytes, and more where marks are piled on it.
    text |> binary_part(0, min(byte_size(text), max * 8)) |> printable() |> cut(max)
  end

  def text(atom, max) when is_atom(atom), do: atom |> Atom.to_string() |> text(max)
  def text(number, _max) when is_number(number), do: to_string(number)
  def text(other, max), do: other |> inspect(limit: 50, printable_limit: max) |> text(max)

  # Characters that turn the direction of what follows would let a name say something else than it holds.
  defp printable(text) do
    text
    |> String.replace_invalid()
    |> String.replace(
      ~r/[\x{0}-\x{8}\x{B}-\x{1F}\x{7F}-\x{9F}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2066}-\x{2069}]/u,
      "�"
    )
  end

  defp cut(text, max) do
    if String.length(text) > max, do: String.slice(text, 0, max - 1) <> "…", else: text
  end

  defp decimal(number) do
    rounded = Float.round(number / 1, 1)
    if rounded == trunc(rounded), do: Integer.to_string(trunc(rounded)), else: Float.to_string(rounded)
  end
end
