defmodule Sidekick.Test.Book do
  @moduledoc """
  A consumer with a table as its database: what it writes in one `:ets.insert/2` is there as a whole or not at all.

  Records `{:bad, _}` raise, those in the table's `:away` entry are answered `:retry`.
  """

  use Sidekick.Consumer

  @impl true
  def init(arg), do: {:ok, arg}

  @impl true
  def handle_batch(batch, table) do
    payloads = Enum.map(batch.records, & &1.payload)
    if bad = Enum.find(payloads, &match?({:bad, _}, &1)), do: raise("cannot handle #{inspect(bad)}")

    if :ets.member(table, :away) do
      {:retry, :database_away, table}
    else
      number = :ets.update_counter(table, :handled, length(payloads), {:handled, 0})
      rows = for {record, n} <- Enum.with_index(batch.records), do: {{batch.stream, number, n}, record.seq}
      :ets.insert(table, [{{:watermark, batch.origin, batch.stream}, batch.last}, {:missed, batch.missed} | rows])
      {:ok, table}
    end
  end

  @doc "The sequences that were handled, in the order in which they were."
  def handled(table, stream) do
    for {{^stream, _, _} = key, seq} <- :ets.tab2list(table) do
      {key, seq}
    end
    |> Enum.sort()
    |> Enum.map(&elem(&1, 1))
  end

  @doc "A table for a test."
  def new, do: :ets.new(:book, [:public, :set])
end

defmodule Sidekick.Test.ExactBook do
  @moduledoc "The same, with the watermark in its own database."

  use Sidekick.Consumer

  alias Sidekick.Test.Book

  @impl true
  def watermark(origin, stream, table), do: {:ok, :ets.lookup_element(table, {:watermark, origin, stream}, 2, 0)}
  @impl true
  def handle_batch(batch, table), do: Book.handle_batch(batch, table)
end
