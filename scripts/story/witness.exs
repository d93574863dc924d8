defmodule Story.Witness do
  @moduledoc """
  What the game itself wrote down: every batch it was told is durable, and what it found when it was restored.
  The file is the game's own, flushed line by line, so that it holds whatever sidekick says or does.
  """

  @type ack :: %{epoch: integer(), batch: integer(), tick: integer(), hash: String.t(), ids: [String.t()]}

  @doc "All lines in order, as `{:acked, map}` and `{:restored, map}`."
  def lines(stage) do
    case File.read(path(stage)) do
      {:ok, text} -> text |> complete_lines() |> Enum.map(&parse/1)
      {:error, :enoent} -> []
    end
  end

  def acks(stage), do: for({:acked, ack} <- lines(stage), do: ack)

  def last_ack(stage), do: stage |> acks() |> List.last()

  @doc "Each restore with the last acknowledgement before it (nil before the first)."
  def restores(stage) do
    {pairs, _last} =
      Enum.flat_map_reduce(lines(stage), nil, fn
        {:acked, ack}, _last -> {[], ack}
        {:restored, restored}, last -> {[{restored, last}], last}
      end)

    pairs
  end

  def path(stage), do: Path.join(stage.dir, "witness.log")

  # A line without its end may still be growing, or was cut by the kill: it was not told.
  defp complete_lines(text), do: text |> String.split("\n") |> Enum.drop(-1)

  defp parse(line) do
    [kind | fields] = String.split(line, " ")
    {String.to_existing_atom(kind), Map.new(fields, &field/1)}
  end

  defp field(text) do
    [name, value] = String.split(text, "=", parts: 2)
    {String.to_atom(name), value(name, value)}
  end

  defp value(number, value) when number in ~w(epoch batch tick first_tick replayed), do: String.to_integer(value)
  defp value("ids", value), do: String.split(value, ",", trim: true)
  defp value(_name, value), do: value
end
