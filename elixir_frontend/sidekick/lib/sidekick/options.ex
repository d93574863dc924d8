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

    check(is_binary(data_dir), :data_dir, "a path", data_dir)

    for key <- [:max_concurrency, :max_queue, :timeout_ms, :start_timeout_ms],
        do: check(positive?(opts[key]), key, "a positive integer", opts[key])

    for key <- [:store, :name, :ingest, :connector],
        do: check(is_atom(opts[key]) and opts[key] != nil, key, "an atom", opts[key])

    for key <- [:nodes, :members], names = opts[key] || [] do
      check(is_list(names) and Enum.all?(names, &is_atom/1), key, "a list of node names as atoms", names)
    end

    check(
      validator?(opts[:validate]),
      :validate,
      "{module, function} of a function of two arguments, or nil",
      opts[:validate]
    )

    check(is_list(opts[:projections]), :projections, "a list of #{inspect(Projections.known())}", opts[:projections])

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
    check(Keyword.keyword?(given), :retention, "such as [records: 1000, bytes: :infinity]", given)
    {streams, given} = Keyword.pop(given, :streams, %{})

    check(
      is_map(streams) and Enum.all?(streams, fn {name, _} -> is_binary(name) end),
      :streams,
      "a map by stream names",
      streams
    )

    base = window!(@retention, given)
    of = fn window -> {window[:records], window[:bytes]} end
    %{default: of.(base), streams: Map.new(streams, fn {name, window} -> {name, of.(window!(base, window))} end)}
  end

  defp window!(base, given) do
    check(Keyword.keyword?(given), :retention, "such as [records: 1000, bytes: :infinity]", given)

    case Keyword.keys(given) -- Keyword.keys(@retention) do
      [] -> :ok
      [key | _] -> raise ArgumentError, "retention has no #{inspect(key)}, only :records, :bytes and, for all, :streams"
    end

    for {key, limit} <- given,
        do: check(positive?(limit) or limit == :infinity, key, "a positive integer or :infinity (retention)", limit)

    Keyword.merge(base, given)
  end

  defp check(true, _key, _expected, _given), do: :ok

  defp check(false, key, expected, given),
    do: raise(ArgumentError, "#{inspect(key)} must be #{expected}, got #{inspect(given)}")

  # One that is not there would refuse every record.
  defp validator?(nil), do: true

  defp validator?({module, function}) when is_atom(module) and is_atom(function),
    do: match?({:module, _}, Code.ensure_loaded(module)) and function_exported?(module, function, 2)

  defp validator?(_other), do: false

  defp positive?(number), do: is_integer(number) and number > 0
end
