defmodule SidekickWeb.Slice do
  @moduledoc """
  A page of a list that is whole in memory.

      iex> SidekickWeb.Slice.of(Enum.to_list(1..5), 9, 2)
      %{rows: [5], total: 5, page: 3, pages: 3, from: 5, to: 5}
  """

  @pages_max 10_000

  @type t :: %{
          rows: [term()],
          total: non_neg_integer(),
          page: pos_integer(),
          pages: pos_integer(),
          from: integer(),
          to: integer()
        }

  @doc "The page that an address asks for."
  @spec page(map()) :: pos_integer()
  def page(%{"page" => text}) when is_binary(text) and byte_size(text) < 9 do
    with {page, ""} when page in 1..@pages_max <- Integer.parse(text), do: page, else: (_ -> 1)
  end

  def page(_params), do: 1

  @doc "That page; a page beyond the last is the last."
  @spec of([term()], pos_integer(), pos_integer()) :: t()
  def of(list, page, per) do
    total = length(list)
    pages = max(1, ceil(total / per))
    page = min(page, pages)
    rows = list |> Enum.drop((page - 1) * per) |> Enum.take(per)
    from = if total == 0, do: 0, else: (page - 1) * per + 1
    %{rows: rows, total: total, page: page, pages: pages, from: from, to: max(0, from + length(rows) - 1)}
  end
end
