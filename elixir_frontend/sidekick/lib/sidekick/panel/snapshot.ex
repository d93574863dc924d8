defmodule Sidekick.Panel.Snapshot do
  @moduledoc """
  The whole panel at one moment, for a report: from the hub of a node, or, where none runs, by asking sidekicks for a little while.
  """

  alias Sidekick.Panel.{Asking, Attention, Audit, Crash, Host, Hub, Model, Query, Row, Server, StoreView, Totals}
  alias Sidekick.Panel.Hub.Tables

  @bundles 20
  @audit 100
  @everything 1_000_000

  @enforce_keys [:at_ms, :by, :totals, :attention, :hosts, :servers, :crashes, :bundles, :store, :audit]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          at_ms: integer(),
          by: node(),
          totals: Totals.t(),
          attention: [Attention.reason()],
          hosts: [{Host.t(), [Attention.reason()]}],
          servers: [{Server.t(), [Attention.reason()]}],
          crashes: [map()],
          bundles: [Crash.t()],
          store: map(),
          audit: [Audit.entry()] | nil
        }

  @doc "What a hub on this node knows; nil where it does not run. Options: `bundles:` (whole crash bundles, default 20), `store:`."
  @spec of_hub(atom(), keyword()) :: t() | nil
  def of_hub(hub \\ Hub, opts \\ []) do
    query = %Query{per: @everything}

    with %{rows: servers} <- Tables.list(hub, :server, query), %{rows: hosts} <- Tables.list(hub, :host, query) do
      crashes = Tables.get(hub, :crashes)

      %__MODULE__{
        at_ms: System.os_time(:millisecond),
        by: node(),
        totals: Tables.get(hub, :totals),
        attention: Tables.get(hub, :attention),
        hosts: for({_row, host, reasons} <- hosts, do: {host, reasons}),
        servers: for({_row, server, reasons} <- servers, do: {server, reasons}),
        crashes: crashes,
        bundles: bundles(crashes, opts),
        store: Tables.get(hub, :store),
        audit: audit(Keyword.get(opts, :store, :sidekick_store))
      }
    end
  end

  @doc """
  Asks these nodes, several times so that there are rates and lines. Options: `for_ms:` (default 3000), `every_ms:` (500), `limits:` (of
  `Sidekick.Panel.Attention`), `bundles:`, and `store:` (of this node; nil, the default, where there is none here).
  """
  @spec of_nodes([node()], keyword()) :: t()
  def of_nodes(nodes, opts \\ []) do
    limits = Attention.limits(Keyword.get(opts, :limits, []))
    connected = nodes |> Task.async_stream(&{&1, Node.connect(&1)}, timeout: :infinity, max_concurrency: 64)
    known = for {:ok, {node, connected}} <- connected, do: %{node: node, connected: connected == true, since_ms: nil}
    store = if name = opts[:store], do: StoreView.read(name), else: StoreView.unknown()
    model = Model.new() |> reduce({:known, known}) |> reduce({:store, store})
    up = for %{node: node, connected: true} <- known, do: node
    times = div(Keyword.get(opts, :for_ms, 3_000), Keyword.get(opts, :every_ms, 500))
    model = sample(model, up, max(1, times), Keyword.get(opts, :every_ms, 500))
    of_model(model, limits, opts)
  end

  @doc "Of a model, as it is."
  @spec of_model(Model.t(), Attention.limits(), keyword()) :: t()
  def of_model(model, limits, opts \\ []) do
    now_ms = System.os_time(:millisecond)
    servers = for {_, server} <- model.servers, do: {server, Attention.of_server(server, limits, now_ms)}
    hosts = for {_, host} <- model.hosts, do: {host, Attention.of_host(host, limits, now_ms)}
    reasons = Attention.of_store(model.store) ++ Enum.flat_map(servers ++ hosts, &elem(&1, 1))

    %__MODULE__{
      at_ms: now_ms,
      by: node(),
      totals: Totals.of(model, length(reasons)),
      attention: Attention.sort(reasons),
      hosts: in_order(hosts, fn {host, reasons} -> Row.of_host(host, reasons, 0) end),
      servers: in_order(servers, fn {server, reasons} -> Row.of_server(server, reasons) end),
      crashes: model.crashes,
      bundles: bundles(model.crashes, opts),
      store: Map.merge(StoreView.unknown(), model.store),
      audit: if(store = opts[:store], do: audit(store))
    }
  end

  defp in_order(items, to_row) do
    Enum.sort_by(items, fn item ->
      row = to_row.(item)
      {row.rank, row.node, row.name}
    end)
  end

  defp sample(model, _nodes, 0, _every_ms), do: model

  defp sample(model, nodes, times, every_ms) do
    answers = Asking.all(nodes)
    first = model.servers == %{}
    model = Enum.reduce(answers, model, fn {node, given}, model -> reduce(model, {:answers, node, given}) end)
    model = if first, do: crashes(model, nodes), else: model

    # Time is what is sampled, so time has to pass.
    if times > 1 do
      receive do
      after
        every_ms -> :ok
      end
    end

    sample(model, nodes, times - 1, every_ms)
  end

  defp crashes(model, nodes) do
    lists = Asking.crashes(for node <- nodes, do: {node, MapSet.to_list(Model.ids(model, node))})
    Enum.reduce(lists, model, fn {node, lists}, model -> reduce(model, {:crashes, node, lists}) end)
  end

  defp reduce(model, input), do: Model.reduce(model, input, System.os_time(:millisecond))

  defp bundles(crashes, opts) do
    crashes
    |> Enum.take(Keyword.get(opts, :bundles, @bundles))
    |> Task.async_stream(fn crash -> {crash, Sidekick.crash(crash.node, crash.id, crash.number)} end,
      max_concurrency: 8,
      timeout: :infinity
    )
    |> Enum.flat_map(fn
      {:ok, {crash, {:ok, %{} = bundle}}} -> [Crash.read(bundle, crash.node)]
      {:ok, {_crash, _error}} -> []
    end)
  end

  defp audit(store) do
    with {:ok, entries} <- Audit.list([limit: @audit], store), do: entries, else: (_ -> nil)
  catch
    :exit, _ -> nil
    :error, _ -> nil
  end
end
