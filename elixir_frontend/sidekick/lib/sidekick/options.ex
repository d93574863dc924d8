defmodule Sidekick.Options do
  @moduledoc """
  The options of one instance, checked once, at the border.

    * `:data_dir` (required) - folder of Khepri; belongs to this node's name for good
    * `:nodes` - sidekick nodes to stay connected to, default `[]`
    * `:store` - Khepri store id, default `:sidekick_store` (also the registered name of its Raft member)
    * `:name` - name of the supervisor, default `Sidekick.Supervisor`
    * `:ingest` - name under which uploads arrive, default `Sidekick.Ingest`: what sidekick nodes call
    * `:connector` - name of the connector, default `Sidekick.Connector`
    * `:retention` - window kept of each stream, `[records: 100_000, bytes: 64 MiB]`; either may be `:infinity`.
      Older batches go; the watermark and the running hash stay. `:streams` in it overrides by stream name:
      `[records: 1000, streams: %{"chat" => [records: 10]}]`
    * `:max_concurrency` - requests that are checked, or whose Khepri transaction is under way, at once, default 32
    * `:max_queue` - uploads that wait beyond these before `:busy` is answered, default 1024
    * `:timeout_ms` - bound on one transaction, default 8000: less than sidekick waits for the answer
    * `:members` - nodes of the Khepri cluster, the same on each (`Sidekick.Store.Cluster`); default just this node
    * `:start_timeout_ms` - how long a start waits for a leader, or for the other members; default 60000
    * `:validate` - `{module, function}` that says of each record, as `function.(stream, payload)`, whether it is to be stored: `:ok`,
      or `{:error, reason}` where it never will be. sidekick then sets it aside among its dead letters and goes on. It is asked in
      the process of the upload, within `:timeout_ms` for all its records; what it raises is a refusal. Default `nil`: everything is stored
    * `:projections` - what is kept in fast tables too (`Sidekick.Store.Projections`), default `[:streams]`
  """

  alias Sidekick.Store.Projections

  @retention [records: 100_000, bytes: 64 * 1024 * 1024]

  @defaults [
    nodes: [],
    store: :sidekick_store,
    name: Sidekick.Supervisor,
    ingest: Sidekick.Ingest,
    connector: Sidekick.Connector,
    retention: @retention,
    max_concurrency: 32,
    max_queue: 1024,
    timeout_ms: 8_000,
    start_timeout_ms: 60_000,
    projections: [:streams],
    validate: nil,
    members: nil
  ]

  @enforce_keys [:data_dir | Keyword.keys(@defaults)]
  defstruct @enforce_keys

  @type limit :: pos_integer() | :infinity
  @type retention :: %{default: {limit(), limit()}, streams: %{optional(binary()) => {limit(), limit()}}}
  @type t :: %__MODULE__{
          data_dir: String.t(),
          nodes: [node()],
          store: atom(),
          name: atom(),
          ingest: atom(),
          connector: atom(),
          retention: retention(),
          max_concurrency: pos_integer(),
          max_queue: pos_integer(),
          timeout_ms: pos_integer(),
          start_timeout_ms: pos_integer(),
          projections: [:streams | :state],
          validate: {module(), atom()} | nil,
          members: [node()]
        }

  @doc "Checks the options; raises `ArgumentError` that names the wrong one."
  @spec new!(keyword()) :: t()
  def new!(opts) do
    case Keyword.keys(opts) -- [:data_dir | Keyword.keys(@defaults)] do
      [] -> :ok
      [key | _] -> raise ArgumentError, "unknown option #{inspect(key)} for Sidekick"
    end

    opts = Keyword.merge(@defaults, opts)
    data_dir = Keyword.get(opts, :data_dir) || raise ArgumentError, "Sidekick needs :data_dir, the folder of its store"

    for key <- [:max_concurrency, :max_queue, :timeout_ms, :start_timeout_ms], not positive?(opts[key]) do
      raise ArgumentError, "#{inspect(key)} must be a positive integer, got #{inspect(opts[key])}"
    end

    for key <- [:nodes, :members], not Enum.all?(opts[key] || [], &is_atom/1) do
      raise ArgumentError, "#{inspect(key)} must be a list of node names as atoms, got #{inspect(opts[key])}"
    end

    unless match?({module, function} when is_atom(module) and is_atom(function), opts[:validate]) or
             opts[:validate] == nil do
      raise ArgumentError, ":validate must be {module, function} or nil, got #{inspect(opts[:validate])}"
    end

    case opts[:projections] -- Projections.known() do
      [] -> :ok
      [other | _] -> raise ArgumentError, ":projections has no #{inspect(other)}, only #{inspect(Projections.known())}"
    end

    opts =
      opts
      |> Keyword.put(:data_dir, Path.expand(data_dir))
      |> Keyword.put(:retention, retention!(opts[:retention]))
      |> Keyword.update!(:members, &(&1 || [node()]))

    options = struct!(__MODULE__, opts)
    if node() in options.members, do: options, else: raise(ArgumentError, ":members must hold this node, #{node()}")
  end

  @doc "The window of a stream: `{records, bytes}`."
  @spec retention(t(), binary()) :: {limit(), limit()}
  def retention(%__MODULE__{retention: %{default: default, streams: streams}}, stream),
    do: Map.get(streams, stream, default)

  defp retention!(given) do
    {streams, given} = Keyword.pop(given, :streams, %{})
    base = Keyword.merge(@retention, given)
    of = fn window -> {limit!(window, :records), limit!(window, :bytes)} end
    %{default: of.(base), streams: Map.new(streams, fn {name, window} -> {name, of.(Keyword.merge(base, window))} end)}
  end

  defp limit!(window, key) do
    limit = window[key]

    if positive?(limit) or limit == :infinity,
      do: limit,
      else: raise(ArgumentError, "retention #{key} must be a positive integer or :infinity, got #{inspect(limit)}")
  end

  defp positive?(number), do: is_integer(number) and number > 0
end
