defmodule Sidekick.Panel.QueryTest do
  use ExUnit.Case, async: true

  alias Sidekick.Panel.{Query, Row}

  defp random_query do
    sort = Enum.random(Query.sorts())

    %Query{
      text: Enum.random(["", "lobby", "a b", "ä&=%?#", "x+y", "<script>"]),
      state: Enum.random([nil | Query.states()]),
      node: Enum.random([nil, "sidekick@a", "s p a c e"]),
      troubled: Enum.random([true, false]),
      sort: sort,
      order: Enum.random([:asc, :desc]),
      page: :rand.uniform(500),
      per: Enum.random(Query.per())
    }
  end

  defp row(n) do
    maybe = fn value -> if :rand.uniform(4) > 1, do: value end

    %Row{
      key: {:"n@#{rem(n, 7)}", "s#{n}"},
      name: "s#{rem(n, 40)}",
      node: "n@#{n}",
      state: maybe.(Enum.random([:running, :stopped])),
      players: maybe.(:rand.uniform(5)),
      memory: maybe.(:rand.uniform(3) * 1.5),
      rank: Enum.random([1, 2, 1_000]),
      text: "s#{rem(n, 40)} n@#{n} running"
    }
  end

  test "a query survives its URL, whatever it is" do
    :rand.seed(:exsss, 7)

    for _ <- 1..2_000 do
      query = random_query()
      url = query |> Query.to_params() |> URI.encode_query()
      assert url |> URI.decode_query() |> Query.from_params() == query
    end
  end

  test "the order is total: however the rows come, each page is the same, and all rows are on one page each" do
    :rand.seed(:exsss, 8)
    rows = Enum.map(1..300, &row/1)

    for _ <- 1..15 do
      query = %{random_query() | text: "", state: nil, node: nil, troubled: false, page: 1}
      %{pages: pages, total: 300} = Query.run(query, rows)
      seen = for page <- 1..pages, row <- Query.run(%{query | page: page}, Enum.shuffle(rows)).rows, do: row
      assert length(seen) == 300 and Enum.uniq(seen) == seen
      assert seen == for(page <- 1..pages, row <- Query.run(%{query | page: page}, rows).rows, do: row)
    end
  end

  test "what is not known stands last, both ways" do
    :rand.seed(:exsss, 9)
    rows = Enum.map(1..200, &row/1)

    for order <- [:asc, :desc] do
      values = Enum.map(Query.run(%Query{sort: :memory, order: order, per: 200}, rows).rows, & &1.memory)
      {known, unknown} = Enum.split_while(values, & &1)
      assert Enum.all?(unknown, &is_nil/1) and known == Enum.sort(known, order) and unknown != []
    end
  end

  test "filters, words in any order, and a page beyond the last" do
    rows = [
      %Row{key: 1, name: "lobby", node: "a", state: :running, text: "lobby a running"},
      %Row{key: 2, name: "arena", node: "a", state: :backing_off, rank: 3, text: "arena a backing off"},
      %Row{key: 3, name: "lobby", node: "b", state: :running, text: "lobby b running"}
    ]

    keys = fn query -> Enum.map(Query.run(query, rows).rows, & &1.key) end
    assert keys.(%Query{text: "RUNNING lobby"}) == [1, 3]
    assert keys.(%Query{text: "backing_off"}) == [2]
    assert keys.(%Query{troubled: true}) == [2]
    assert keys.(%Query{node: "b", state: :running}) == [3]
    assert keys.(%Query{}) == [2, 1, 3]
    assert %{page: 1, pages: 1, from: 1, to: 3, of: 3} = Query.run(%Query{page: 99}, rows)
    assert %{rows: [], from: 0, to: 0, total: 0} = Query.run(%Query{text: "none"}, rows)
    assert Query.sort_by(%Query{page: 3}, :memory) == %Query{sort: :memory, order: :desc}
    assert Query.sort_by(%Query{sort: :memory, order: :desc}, :memory).order == :asc
  end
end
