defmodule Sidekick.Helpers.Table do
  @moduledoc """
  Text tables for people.

      iex> Sidekick.Helpers.Table.format(["ID", "STATE"], [["lobby", :running], ["arena", nil]])
      ["ID     STATE", "lobby  running", "arena  -"]

  What games wrote is not trusted with the terminal: control characters become spaces.

      iex> Sidekick.Helpers.Table.format(["LINE"], [["red \\e[31malert"]])
      ["LINE", "red  [31malert"]
  """

  @width_max 100

  @doc "The lines of a table; cells are cut at #{@width_max} characters."
  @spec format([String.t()], [[term()]]) :: [String.t()]
  def format(headings, rows) do
    rows = [headings | Enum.map(rows, fn row -> Enum.map(row, &cell/1) end)]
    widths = Enum.zip_with(rows, fn column -> column |> Enum.map(&String.length/1) |> Enum.max() end)
    Enum.map(rows, &line(&1, widths))
  end

  @doc """
  A number of bytes as people read it.

      iex> Enum.map([0, 1023, 1536, 5_368_709_120], &Sidekick.Helpers.Table.bytes/1)
      ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
  """
  @spec bytes(non_neg_integer() | nil) :: String.t() | nil
  def bytes(nil), do: nil
  def bytes(count) when count < 1024, do: "#{count} B"
  def bytes(count), do: scaled(count / 1024, ["KiB", "MiB", "GiB", "TiB"])

  @doc """
  A wall-clock time as people read it.

      iex> Sidekick.Helpers.Table.time(1_700_000_000_123)
      "2023-11-14T22:13:20.123Z"
  """
  @spec time(integer() | nil) :: String.t() | nil
  def time(nil), do: nil
  def time(at_ms), do: at_ms |> DateTime.from_unix!(:millisecond) |> DateTime.to_iso8601()

  @doc """
  A duration as people read it.

      iex> Enum.map([800, 65_000, 7_260_000, 180_000_000], &Sidekick.Helpers.Table.duration/1)
      ["0s", "1m 5s", "2h 1m", "2d 2h"]
  """
  @spec duration(non_neg_integer() | nil) :: String.t() | nil
  def duration(nil), do: nil

  def duration(ms) do
    seconds = div(ms, 1000)
    units = [{"d", div(seconds, 86_400)}, {"h", rem(div(seconds, 3600), 24)}, {"m", rem(div(seconds, 60), 60)}]

    case Enum.drop_while(units ++ [{"s", rem(seconds, 60)}], fn {_, count} -> count == 0 end) do
      [] -> "0s"
      parts -> parts |> Enum.take(2) |> Enum.map_join(" ", fn {unit, count} -> "#{count}#{unit}" end)
    end
  end

  defp scaled(value, [unit]), do: "#{Float.round(value, 1)} #{unit}"
  defp scaled(value, [unit | _]) when value < 1024, do: "#{Float.round(value, 1)} #{unit}"
  defp scaled(value, [_ | units]), do: scaled(value / 1024, units)

  defp cell(nil), do: "-"
  defp cell(text) when is_binary(text), do: text |> printable() |> cut()
  defp cell(atom) when is_atom(atom), do: Atom.to_string(atom)
  defp cell(number) when is_number(number), do: to_string(number)
  defp cell(term), do: term |> inspect(limit: 20) |> cut()

  defp printable(text) do
    if String.valid?(text), do: String.replace(text, ~r/[[:cntrl:]]/u, " "), else: inspect(text, limit: 40)
  end

  defp cut(text), do: if(String.length(text) > @width_max, do: String.slice(text, 0, @width_max - 1) <> "…", else: text)

  defp line(cells, widths) do
    cells |> Enum.zip_with(widths, &String.pad_trailing/2) |> Enum.join("  ") |> String.trim_trailing()
  end
end
