defmodule Story.Say do
  @moduledoc "Live, readable progress: one line per thing that happened, with the seconds since the story began."

  def start, do: :persistent_term.put(__MODULE__, now_ms())

  def now_ms, do: System.monotonic_time(:millisecond)

  def chapter(text), do: IO.puts("\n" <> bold("── #{text}"))

  def line(text), do: IO.puts("#{stamp()}  #{text}")

  def good(text), do: line(colour(32, "✓ ") <> text)

  def bad(text), do: line(colour(31, "✗ ") <> text)

  @doc "Prints rows of equal width; the first row is the head."
  def table([head | _] = rows) do
    widths =
      for column <- 0..(length(head) - 1) do
        rows |> Enum.map(&(&1 |> Enum.at(column) |> to_string() |> String.length())) |> Enum.max()
      end

    for {row, index} <- Enum.with_index(rows) do
      cells = row |> Enum.zip(widths) |> Enum.map_join("  ", fn {cell, width} -> pad(cell, width) end)
      IO.puts("  " <> if(index == 0, do: bold(cells), else: cells))
    end

    :ok
  end

  defp pad(cell, width) when is_number(cell), do: cell |> to_string() |> String.pad_leading(width)
  defp pad(cell, width), do: cell |> to_string() |> String.pad_trailing(width)

  defp stamp do
    ms = now_ms() - :persistent_term.get(__MODULE__)
    :io_lib.format(~c"~6.1f s", [ms / 1000]) |> to_string()
  end

  defp bold(text), do: colour(1, text)

  defp colour(code, text) do
    if System.get_env("NO_COLOR") || !IO.ANSI.enabled?(), do: text, else: "\e[#{code}m#{text}\e[0m"
  end
end
