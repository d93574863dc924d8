defmodule Sidekick.Panel.Hub.Tables do
  @moduledoc false
  # What the hub publishes, in one ETS table that only it writes:
  #
  #     {{:server, key}, row, server, reasons}   {{:host, node}, row, host, reasons}
  #     {:attention, reasons}  {:crashes, list}  {:store, map}  {:totals, totals}  {:version, number}

  alias Sidekick.Panel.{Attention, Host, Model, Query, Row, Server, StoreView, Totals}

  @attention_max 500

  @enforce_keys [:table, :limits]
  defstruct [:table, :limits, version: 1, reasons: %{}]

  @type t :: %__MODULE__{table: atom(), limits: Attention.limits(), version: pos_integer(), reasons: map()}

  @doc "An empty table of that name; it is gone with the process that made it."
  @spec new(atom(), Attention.limits()) :: t()
  def new(name, limits) do
    # Ordered, so that rows come in the order in which equal ones stand in a list: sorting them is cheap then.
    table = :ets.new(name, [:named_table, :protected, :ordered_set, read_concurrency: true])
    totals = Totals.of(Model.new(), 0)

    :ets.insert(table, [
      {:attention, []},
      {:crashes, []},
      {:store, StoreView.unknown()},
      {:totals, totals},
      {:version, 1}
    ])

    %__MODULE__{table: table, limits: limits}
  end

  @doc "Writes what changed, and answers what pages are to be told. A reason tells how long it has lasted: with `again` all are written anew."
  @spec publish(t(), Model.t(), MapSet.t(), boolean(), integer()) :: {t(), MapSet.t()}
  def publish(tables, model, changed, again, now_ms) do
    due = if again, do: MapSet.union(changed, MapSet.new(Map.keys(tables.reasons))), else: changed
    tables = Enum.reduce(due, %{tables | version: tables.version + 1}, &write(&1, &2, model, now_ms))
    attention = tables.reasons |> Map.values() |> Enum.concat() |> Attention.sort()
    totals = Totals.of(model, length(attention))
    shared = [{:attention, Enum.take(attention, @attention_max)}, {:totals, totals}, {:version, tables.version}]
    before = :ets.lookup(tables.table, :attention)
    :ets.insert(tables.table, shared)
    {tables, if(before == [hd(shared)], do: changed, else: MapSet.put(changed, :attention))}
  end

  defp write({:server, key}, tables, model, now_ms) do
    case model.servers[key] do
      nil ->
        delete(tables, {:server, key})

      server ->
        reasons = Attention.of_server(server, tables.limits, now_ms)
        :ets.insert(tables.table, {{:server, key}, Row.of_server(server, reasons), server, reasons})
        reasons(tables, {:server, key}, reasons)
    end
  end

  defp write({:host, node}, tables, model, now_ms) do
    case model.hosts[node] do
      nil ->
        delete(tables, {:host, node})

      host ->
        reasons = Attention.of_host(host, tables.limits, now_ms)
        row = Row.of_host(host, reasons, MapSet.size(Model.ids(model, node)))
        :ets.insert(tables.table, {{:host, node}, row, host, reasons})
        reasons(tables, {:host, node}, reasons)
    end
  end

  defp write(:store, tables, model, _now_ms) do
    store = Map.merge(StoreView.unknown(), model.store)
    :ets.insert(tables.table, {:store, store})
    reasons(tables, :store, Attention.of_store(store))
  end

  defp write(:crashes, tables, model, _now_ms) do
    :ets.insert(tables.table, {:crashes, model.crashes})
    tables
  end

  defp delete(tables, key) do
    :ets.delete(tables.table, key)
    reasons(tables, key, [])
  end

  defp reasons(tables, key, []), do: %{tables | reasons: Map.delete(tables.reasons, key)}
  defp reasons(tables, key, reasons), do: %{tables | reasons: Map.put(tables.reasons, key, reasons)}

  @doc "One of the values that are there once; nil where there is no table."
  @spec get(atom(), atom()) :: term() | nil
  def get(table, name) do
    :ets.lookup_element(table, name, 2)
  rescue
    ArgumentError -> nil
  end

  @doc "One server or sidekick: `{row, whole, reasons}`."
  @spec one(atom(), {:server, Server.key()} | {:host, node()}) :: {Row.t(), struct(), [Attention.reason()]} | nil
  def one(table, key) do
    case :ets.lookup(table, key) do
      [{_key, row, whole, reasons}] -> {row, whole, reasons}
      [] -> nil
    end
  rescue
    ArgumentError -> nil
  end

  @doc "A page of servers or sidekicks; only the rows of all are copied, and the whole ones of the page. nil where there is no table."
  @spec list(atom(), :server | :host, Query.t()) ::
          %{optional(atom()) => term(), rows: [{Row.t(), Server.t() | Host.t(), [Attention.reason()]}]} | nil
  def list(table, kind, query) do
    result = Query.run(query, :ets.select(table, [{{{kind, :_}, :"$1", :_, :_}, [], [:"$1"]}]))
    # One that was removed just now is left out.
    %{result | rows: for(row <- result.rows, whole = one(table, {kind, row.key}), do: whole)}
  rescue
    ArgumentError -> nil
  end
end
