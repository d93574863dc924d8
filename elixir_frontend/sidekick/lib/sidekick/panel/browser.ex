defmodule Sidekick.Panel.Browser do
  @moduledoc """
  State as a tree that may be shown: any term, of any size, as bounded lines.

      iex> Sidekick.Panel.Browser.tree(%{"hp" => 7, "pos" => {1.5, -2.0}})
      [
        %{path: ["hp"], depth: 0, label: "hp", kind: :number, text: "7", more: 0},
        %{path: ["pos"], depth: 0, label: "pos", kind: :tuple, text: "2 items", more: 0},
        %{path: ["pos", 0], depth: 1, label: "0", kind: :number, text: "1.5", more: 0},
        %{path: ["pos", 1], depth: 1, label: "1", kind: :number, text: "-2.0", more: 0}
      ]

  Options: `depth:` (default 4), `items:` of one container (default 100), `lines:` in all (default 1000), `search:` (only what holds the
  text, with what it stands in). `more` counts the items of a container that are left out. No term is evaluated, and no atom made.
  """

  alias Sidekick.Panel.Format

  @depth 4
  @items 100
  @lines 1_000
  @text 200

  @type line :: %{
          path: [term()],
          depth: non_neg_integer(),
          label: String.t(),
          kind: :map | :list | :tuple | :text | :bytes | :number | :atom | :other,
          text: String.t(),
          more: non_neg_integer()
        }

  @doc "The lines of the tree, each container before what it holds."
  @spec tree(term(), keyword()) :: [line()]
  def tree(term, opts \\ []) do
    limits = %{depth: Keyword.get(opts, :depth, @depth), items: Keyword.get(opts, :items, @items)}
    {children, more} = children(term, limits.items)
    lines = Enum.flat_map(children, fn {label, value} -> walk(value, [label], 0, limits) end)
    lines = lines |> searched(Keyword.get(opts, :search, "")) |> Enum.take(Keyword.get(opts, :lines, @lines))
    if more > 0, do: lines ++ [left_out(more)], else: lines
  end

  @doc "What a term is, in one line."
  @spec brief(term()) :: {atom(), String.t()}
  def brief(value) when is_struct(value),
    do: {:other, Format.text(inspect(value, limit: 5, printable_limit: 100), @text)}

  def brief(value) when is_map(value), do: {:map, items(map_size(value), "key")}
  def brief(value) when is_tuple(value), do: {:tuple, items(tuple_size(value), "item")}
  def brief([]), do: {:list, "empty"}
  def brief(value) when is_list(value), do: {:list, items(length_of(value, 0), "item")}
  def brief(value) when is_boolean(value) or is_nil(value), do: {:atom, inspect(value)}
  def brief(value) when is_atom(value), do: {:atom, Format.text(inspect(value), @text)}
  # A number of a million digits would take seconds to write.
  def brief(value) when is_integer(value) and abs(value) > 1_000_000_000_000_000_000_000,
    do: {:number, "a number of more than 21 digits"}

  def brief(value) when is_number(value), do: {:number, to_string(value)}

  def brief(value) when is_binary(value) do
    head = binary_part(value, 0, min(byte_size(value), @text * 4))
    # A cut may fall within a character.
    if String.valid?(value) or (byte_size(value) > @text * 4 and String.valid?(String.slice(head, 0, div(@text, 2)))),
      do: {:text, Format.text(head, @text)},
      else:
        {:bytes,
         "#{Format.bytes(byte_size(value))}: #{value |> binary_part(0, min(byte_size(value), 16)) |> Base.encode16(case: :lower)}"}
  end

  def brief(value), do: {:other, Format.text(inspect(value, limit: 5), @text)}

  defp walk(value, path, depth, limits) do
    {kind, text} = brief(value)
    {children, more} = if kind in [:map, :list, :tuple], do: children(value, limits.items), else: {[], 0}
    too_deep = depth + 1 >= limits.depth and children != []
    line = %{path: Enum.reverse(path), depth: depth, label: label(hd(path)), kind: kind, text: text, more: more}

    if too_deep,
      do: [%{line | more: length(children) + more}],
      else: [line | Enum.flat_map(children, fn {key, child} -> walk(child, [key | path], depth + 1, limits) end)]
  end

  defp children(value, max) when is_map(value) and not is_struct(value) do
    {shown, rest} = value |> Enum.sort_by(fn {key, _} -> label(key) end) |> Enum.split(max)
    {shown, length(rest)}
  end

  defp children(value, max) when is_tuple(value), do: value |> Tuple.to_list() |> children(max)

  defp children(value, max) when is_list(value) do
    {shown, more} = take(value, max, [])
    {shown |> Enum.with_index() |> Enum.map(fn {child, index} -> {index, child} end), more}
  end

  defp children(_value, _max), do: {[], 0}

  # Lists of peers may be improper.
  defp take([head | tail], max, taken) when max > 0, do: take(tail, max - 1, [head | taken])
  defp take(rest, _max, taken), do: {Enum.reverse(taken), length_of(rest, 0)}

  defp length_of([_ | rest], count), do: length_of(rest, count + 1)
  defp length_of([], count), do: count
  defp length_of(_improper, count), do: count + 1

  defp items(1, noun), do: "1 #{noun}"
  defp items(count, noun), do: "#{Format.count(count)} #{noun}s"

  defp label(key) when is_binary(key), do: elem(brief(key), 1)
  defp label(key), do: Format.text(inspect(key, limit: 5, printable_limit: 50), 80)

  defp left_out(more),
    do: %{path: [], depth: 0, label: "…", kind: :other, text: "#{Format.count(more)} more are not shown", more: more}

  defp searched(lines, ""), do: lines

  defp searched(lines, search) do
    search = String.downcase(search)
    found = for line <- lines, String.contains?(String.downcase(line.label <> " " <> line.text), search), do: line.path
    wanted = for path <- found, length <- 1..length(path)//1, into: MapSet.new(), do: Enum.take(path, length)
    Enum.filter(lines, &(&1.path in wanted))
  end
end
