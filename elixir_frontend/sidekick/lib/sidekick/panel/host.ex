defmodule Sidekick.Panel.Host do
  @moduledoc """
  One sidekick as the panel sees it: its connection, what it told of itself, its streams and sinks.

    * `:state` - `:loading` (connected, not asked yet), `:up`, `:silent` (connected, does not answer), `:offline`
    * `:since_ms` - since when
    * `:info`, `:sinks`, `:streams` - as it told last; of streams the #{200} that lag most
    * `:seen_ms` - when it last answered this node
    * `:remembered_ms` - set where all this is what the store remembers, and of when
    * `:samples` - `Sidekick.Panel.Ring` of `:lag` (records that the slowest sink lacks), `:lag_bytes`, `:buffer` (bytes) and `:rate`
      (records appended each second)
  """

  alias Sidekick.Panel.Ring

  @streams_max 200
  @samples_max 120
  @rate_ms 400
  @columns [:lag, :lag_bytes, :buffer, :rate]

  @enforce_keys [:node, :samples]
  defstruct [
    :node,
    :since_ms,
    :seen_ms,
    :remembered_ms,
    :samples,
    :appended,
    state: :offline,
    info: %{},
    sinks: [],
    streams: [],
    more_streams: 0
  ]

  @type t :: %__MODULE__{
          node: node(),
          state: :loading | :up | :silent | :offline,
          since_ms: integer() | nil,
          seen_ms: integer() | nil,
          remembered_ms: integer() | nil,
          info: map(),
          sinks: [map()],
          streams: [map()],
          more_streams: non_neg_integer(),
          appended: {integer(), non_neg_integer()} | nil,
          samples: Ring.t()
        }

  @doc "A sidekick of which nothing is known yet."
  @spec new(node(), :loading | :offline, integer()) :: t()
  def new(node, state, since_ms),
    do: %__MODULE__{node: node, state: state, since_ms: since_ms, samples: Ring.new(@columns, @samples_max)}

  @doc "The figures that are sampled."
  @spec columns() :: [atom()]
  def columns, do: @columns

  @doc "Its connection came, went, or does not answer."
  @spec turn(t(), :loading | :up | :silent | :offline, integer()) :: t()
  def turn(%{state: state} = host, state, _now_ms), do: host
  # Until it was asked again it is as good as it was.
  def turn(%{state: :up} = host, :loading, _now_ms), do: host
  def turn(host, state, now_ms), do: %{host | state: state, since_ms: now_ms}

  @doc "Takes in its answers: `info`, and what else it answered."
  @spec told(t(), %{info: map(), sinks: [map()] | nil, streams: [map()] | nil}, integer()) :: t()
  def told(host, answers, now_ms) do
    host = %{turn(host, :up, now_ms) | info: answers.info, seen_ms: now_ms, remembered_ms: nil}
    host = if is_list(answers.sinks), do: %{host | sinks: Enum.filter(answers.sinks, &is_map/1)}, else: host
    {host, rate} = if is_list(answers.streams), do: streams(host, answers.streams, now_ms), else: {host, nil}
    values = [lag(host), worst(host, :lag_bytes), buffer(host)[:bytes], rate]
    if Ring.due?(host.samples, now_ms), do: %{host | samples: Ring.push(host.samples, now_ms, values)}, else: host
  end

  @doc "Takes in how full its buffer is, from an event of the topic `:buffer`."
  @spec level(t(), map()) :: t()
  def level(%{info: info} = host, level), do: %{host | info: Map.put(info, :buffer, Map.merge(buffer(host), level))}

  @doc "What it told of its buffer."
  @spec buffer(t()) :: map()
  def buffer(%{info: %{buffer: %{} = buffer}}), do: buffer
  def buffer(_host), do: %{}

  @doc "Records that the slowest sink lacks; nil where there is no sink or nothing is known."
  @spec lag(t()) :: non_neg_integer() | nil
  def lag(host), do: worst(host, :lag_records)

  @doc "Records that the slowest sink of one of a server's streams (`ID/…`) lacks; nil where there is none."
  @spec lag_of(t(), binary()) :: non_neg_integer() | nil
  def lag_of(%{streams: streams}, id) do
    case for(%{name: <<^id::binary-size(byte_size(id)), ?/, _::binary>>} = stream <- streams, do: behind(stream)) do
      [] -> nil
      lags -> Enum.sum(lags)
    end
  end

  @doc "Records of a stream that the slowest of its sinks lacks."
  @spec behind(map()) :: non_neg_integer()
  def behind(%{last: last, cursors: %{} = cursors}) when is_integer(last) and map_size(cursors) > 0 do
    case for {_sink, seq} <- cursors, is_integer(seq), do: seq do
      [] -> 0
      seqs -> max(0, last - Enum.min(seqs))
    end
  end

  def behind(_stream), do: 0

  @doc "The scopes whose state a sink refuses, so that they wait."
  @spec refused(map()) :: [binary()]
  def refused(%{refused_scopes: scopes}) when is_list(scopes),
    do: for(%{scope: scope} when is_binary(scope) <- scopes, do: scope)

  def refused(_sink), do: []

  @doc """
  What is wrong with a sink: it has halted, the configuration no longer has it, it fails, or it refuses the state of some scopes and
  goes on.

      iex> refused = %{state: :idle, error: "the sink refuses the state of lobby", refused_scopes: [%{scope: "lobby"}]}
      iex> Enum.map([refused, %{refused | state: :backing_off}, %{state: :idle, error: nil}], &Sidekick.Panel.Host.trouble/1)
      [:refuses_state, :fails, nil]
  """
  @spec trouble(map()) :: :halted | :removed | :fails | :refuses_state | nil
  def trouble(%{state: state}) when state in [:halted, :removed], do: state

  def trouble(sink) do
    cond do
      # Its error tells of those scopes alone.
      sink[:state] in [:uploading, :idle] and refused(sink) != [] -> :refuses_state
      is_binary(sink[:error]) -> :fails
      true -> nil
    end
  end

  @doc "Records appended each second, as sampled last."
  @spec rate(t()) :: float() | nil
  def rate(host), do: host.samples |> Ring.series(:rate) |> List.last({0, nil}) |> elem(1)

  defp streams(host, streams, now_ms) do
    known = for %{name: name} = stream <- streams, is_binary(name), do: stream
    {shown, more} = known |> Enum.sort_by(&{-behind(&1), &1.name}) |> Enum.split(@streams_max)
    appended = Enum.sum(for %{last: last} when is_integer(last) <- known, do: last)

    # Over a shorter time one record more or less would make a rate of hundreds.
    {rate, since} =
      case host.appended do
        {then_ms, _had} when now_ms - then_ms < @rate_ms -> {rate(host), host.appended}
        {then_ms, had} when appended >= had -> {(appended - had) * 1000 / (now_ms - then_ms), {now_ms, appended}}
        _ -> {nil, {now_ms, appended}}
      end

    streams = Enum.sort_by(shown, & &1.name)
    {%{host | streams: streams, more_streams: length(more), appended: since}, rate}
  end

  defp worst(%{sinks: sinks}, key) do
    case for %{^key => lag} when is_integer(lag) <- sinks, do: lag do
      [] -> nil
      lags -> Enum.max(lags)
    end
  end
end
