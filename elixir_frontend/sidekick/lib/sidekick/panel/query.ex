defmodule Sidekick.Panel.Query do
  @moduledoc """
  What a list shows: searched, filtered, sorted, one page of it; all of it in the URL, so that a view can be sent to somebody.

      iex> query = Sidekick.Panel.Query.from_params(%{"q" => "Lobby", "state" => "quarantined", "sort" => "memory", "page" => "2"})
      iex> {query.text, query.state, query.sort, query.order, query.page}
      {"Lobby", :quarantined, :memory, :desc, 2}
      iex> Sidekick.Panel.Query.to_params(query)
      %{"q" => "Lobby", "state" => "quarantined", "sort" => "memory", "page" => "2"}

  What stands in a URL may be anything: what is not understood is the default, and no atom is made of it.

      iex> Sidekick.Panel.Query.from_params(%{"sort" => "drop table", "page" => "-7", "per" => "1e9", "q" => ["x"]})
      %Sidekick.Panel.Query{}
  """

  alias Sidekick.Panel.Row

  @states [:quarantined, :unresponsive, :backing_off, :starting, :stopping, :draining, :stopped, :standby, :running] ++
            [:offline, :silent, :loading, :up]
  @sorts [:attention, :name, :node, :state, :players, :frame_ms, :memory, :lag, :restarts, :since, :servers]
  # What is asked first of a figure is where it is high.
  @descending [:players, :frame_ms, :memory, :lag, :restarts, :since, :servers]
  @per [25, 50, 100, 200]
  @text_max 100
  @pages_max 10_000

  defstruct text: "", state: nil, node: nil, troubled: false, sort: :attention, order: :asc, page: 1, per: 50

  @type t :: %__MODULE__{
          text: String.t(),
          state: atom() | nil,
          node: String.t() | nil,
          troubled: boolean(),
          sort: atom(),
          order: :asc | :desc,
          page: pos_integer(),
          per: pos_integer()
        }
  @type result :: %{
          rows: [Row.t()],
          total: non_neg_integer(),
          of: non_neg_integer(),
          page: pos_integer(),
          pages: pos_integer(),
          from: non_neg_integer(),
          to: non_neg_integer()
        }

  @doc "The states there may be a filter for."
  @spec states() :: [atom()]
  def states, do: @states

  @doc "What may be sorted by."
  @spec sorts() :: [atom()]
  def sorts, do: @sorts

  @doc "How many rows a page may have."
  @spec per() :: [pos_integer()]
  def per, do: @per

  @doc "The query of a URL's parameters."
  @spec from_params(map()) :: t()
  def from_params(params) when is_map(params) do
    sort = one_of(params["sort"], @sorts) || :attention

    %__MODULE__{
      text: text(params["q"]) || "",
      state: one_of(params["state"], @states),
      node: text(params["node"]),
      troubled: params["troubled"] == "1",
      sort: sort,
      order: one_of(params["order"], [:asc, :desc]) || order(sort),
      page: number(params["page"], 1..@pages_max) || 1,
      per: number(params["per"], @per) || 50
    }
  end

  @doc "The parameters of a query, without those that are the default."
  @spec to_params(t()) :: %{String.t() => String.t()}
  def to_params(%__MODULE__{} = query) do
    [
      {"q", query.text, ""},
      {"state", query.state, nil},
      {"node", query.node, nil},
      {"troubled", if(query.troubled, do: "1"), nil},
      {"sort", query.sort, :attention},
      {"order", query.order, order(query.sort)},
      {"page", query.page, 1},
      {"per", query.per, 50}
    ]
    |> Enum.reject(fn {_, value, default} -> value == default end)
    |> Map.new(fn {name, value, _} -> {name, to_string(value)} end)
  end

  @doc "The query after a click on a column's heading: sorted by it, or the other way round. Begins at the first page."
  @spec sort_by(t(), atom()) :: t()
  def sort_by(%__MODULE__{sort: sort, order: order} = query, sort),
    do: %{query | order: if(order == :asc, do: :desc, else: :asc), page: 1}

  def sort_by(%__MODULE__{} = query, sort) when sort in @sorts, do: %{query | sort: sort, order: order(sort), page: 1}

  @doc """
  The rows of the page. The order is total: rows that are equal in what is sorted by stand by node and name, so that no row jumps.
  What is not known stands last, whichever way it is sorted. A page beyond the last is the last.
  """
  @spec run(t(), [Row.t()]) :: result()
  def run(%__MODULE__{} = query, rows) do
    found = rows |> Enum.filter(&match?(&1, query, words(query.text))) |> sort(query)
    total = length(found)
    pages = max(1, ceil(total / query.per))
    page = min(query.page, pages)
    shown = found |> Enum.drop((page - 1) * query.per) |> Enum.take(query.per)
    from = if total == 0, do: 0, else: (page - 1) * query.per + 1

    %{
      rows: shown,
      total: total,
      of: length(rows),
      page: page,
      pages: pages,
      from: from,
      to: max(0, from + length(shown) - 1)
    }
  end

  defp words(text), do: text |> String.downcase() |> String.replace("_", " ") |> String.split()

  defp match?(row, query, words) do
    (query.state == nil or row.state == query.state) and
      (query.node == nil or row.node == query.node) and
      (not query.troubled or not Row.calm?(row)) and
      Enum.all?(words, &String.contains?(row.text, &1))
  end

  defp sort(rows, %{sort: sort, order: order}) do
    {known, unknown} = rows |> Enum.sort_by(&{&1.node, &1.name}) |> Enum.split_with(&(value(&1, sort) != nil))
    # Stable, so what is equal keeps the order by node and name.
    Enum.sort_by(known, &value(&1, sort), order) ++ unknown
  end

  defp value(row, :attention), do: row.rank
  defp value(row, :state), do: row.state && Atom.to_string(row.state)
  defp value(row, :since), do: row.since_ms
  defp value(row, field), do: Map.fetch!(row, field)

  defp order(sort), do: if(sort in @descending, do: :desc, else: :asc)

  defp text(text) when is_binary(text) do
    trimmed = if String.valid?(text), do: text |> String.trim() |> String.slice(0, @text_max) |> String.trim(), else: ""
    if trimmed != "", do: trimmed
  end

  defp text(_), do: nil

  defp one_of(text, known), do: Enum.find(known, &(Atom.to_string(&1) == text))

  defp number(text, allowed) when is_binary(text) and byte_size(text) <= 9 do
    with {number, ""} <- Integer.parse(text), true <- number in allowed, do: number, else: (_ -> nil)
  end

  defp number(_, _), do: nil
end
