defmodule Sidekick.Panel.Attention do
  @moduledoc """
  What needs an operator first, each with a sentence that says why and one that says what to do.

  The order is that of the harm: play that is down before play at risk, that before data at risk, that before what is merely unusual.
  Within one kind what has lasted longest comes first.

  Limits (`limits/1`): `:lag_records` (default 10000), `:memory_bytes` (2 GiB), `:frame_ms` (50.0), `:crash_ms` (how long a crash that was
  survived is told, 10 minutes).
  """

  alias Sidekick.Panel.{Format, Host, Server}

  @limits %{lag_records: 10_000, memory_bytes: 2 * 1024 * 1024 * 1024, frame_ms: 50.0, crash_ms: 600_000}

  @scopes_told 5

  @codes [
    :no_quorum,
    :quarantined,
    :unresponsive,
    :offline,
    :silent,
    :start_failed,
    :backing_off,
    :buffer_full,
    :sink_halted,
    :sink_error,
    :sink_removed,
    :state_refused,
    :lag,
    :memory,
    :frame_time,
    :crashed,
    :problem
  ]
  @ranks @codes |> Enum.with_index(1) |> Map.new()

  @type subject :: {:server, Server.key()} | {:host, node()} | :store
  @type reason :: %{
          rank: pos_integer(),
          code: atom(),
          subject: subject(),
          since_ms: integer() | nil,
          sentence: String.t(),
          remedy: String.t()
        }
  @type limits :: %{lag_records: number(), memory_bytes: number(), frame_ms: number(), crash_ms: number()}

  @doc "The limits, with some of them changed. Raises `ArgumentError` that names a wrong one."
  @spec limits(keyword() | map()) :: limits()
  def limits(given \\ []) do
    for {key, value} <- given, reduce: @limits do
      limits when is_map_key(limits, key) and is_number(value) and value > 0 ->
        %{limits | key => value}

      _ ->
        raise ArgumentError,
              "limit #{inspect(key)} of the panel must be one of #{inspect(Map.keys(@limits))} and a positive number"
    end
  end

  @doc "The kinds of reasons, what matters most first."
  @spec codes() :: [atom()]
  def codes, do: @codes

  @doc "Reasons, in order; the order does not depend on how they came."
  @spec sort([reason()]) :: [reason()]
  def sort(reasons), do: Enum.sort_by(reasons, &{&1.rank, &1.since_ms || 0, &1.subject})

  @doc "Why a server needs attention; what matters most first. Of what the store remembers nothing is said: its sidekick is."
  @spec of_server(Server.t(), limits(), integer()) :: [reason()]
  def of_server(%Server{remembered_ms: at_ms}, _limits, _now_ms) when at_ms != nil, do: []

  def of_server(%Server{} = server, limits, now_ms) do
    [state(server, now_ms), lag(server, limits), memory(server, limits), frame_time(server, limits)]
    |> Enum.concat([crashed(server, limits, now_ms), problem(server)])
    |> Enum.reject(&is_nil/1)
  end

  @doc "Why a sidekick needs attention."
  @spec of_host(Host.t(), limits(), integer()) :: [reason()]
  def of_host(%Host{state: :offline} = host, _limits, now_ms) do
    [
      reason(
        host,
        :offline,
        host.since_ms,
        "No connection to #{host.node} for #{for_ms(host.since_ms, now_ms)}. Its games play on without it.",
        "Look whether sidekick runs on that machine, and whether this node reaches it: same cookie, port mapper, network."
      )
    ]
  end

  def of_host(%Host{state: :silent} = host, _limits, now_ms) do
    [
      reason(
        host,
        :silent,
        host.since_ms,
        "#{host.node} is connected but has not answered for #{for_ms(host.since_ms, now_ms)}.",
        "Look at sidekick's own log there; where it does not recover, restart it: it adopts its running games."
      )
    ]
  end

  def of_host(%Host{remembered_ms: at_ms}, _limits, _now_ms) when at_ms != nil, do: []
  def of_host(%Host{state: :loading}, _limits, _now_ms), do: []

  def of_host(%Host{} = host, limits, _now_ms), do: buffer(host) ++ Enum.flat_map(host.sinks, &sink(host, &1, limits))

  @doc "Why the store needs attention."
  @spec of_store(map()) :: [reason()]
  def of_store(%{quorum: :lost} = store) do
    sentence =
      "The store has no majority of its #{length(store[:members] || [])} members: nothing is stored until it has."

    remedy = "Bring back the members that are down. Sidekicks keep what they have and go on by themselves."
    [%{rank: @ranks[:no_quorum], code: :no_quorum, subject: :store, since_ms: nil, sentence: sentence, remedy: remedy}]
  end

  def of_store(_store), do: []

  defp state(%{state: :quarantined} = server, now_ms) do
    reason(
      server,
      :quarantined,
      server.since_ms,
      "Quarantined for #{for_ms(server.since_ms, now_ms)} after #{Format.number_of(Server.restarts(server), "restart")}#{last_exit(server)}.",
      "Read its last crash, mend the cause, then release it."
    )
  end

  defp state(%{state: :unresponsive} = server, now_ms) do
    reason(
      server,
      :unresponsive,
      server.since_ms,
      "Its main loop has been silent for #{for_ms(server.since_ms, now_ms)}.",
      "Wait for the hang timeout, which restarts it with its state, or kill it now."
    )
  end

  defp state(%{state: :backing_off} = server, now_ms) do
    failed = match?([%{kind: :start_failed} | _], server.timeline)
    next = server.status[:next_start_ms]
    soon = if is_integer(next), do: " It starts again #{Format.ago(next, now_ms)}.", else: ""

    reason(
      server,
      if(failed, do: :start_failed, else: :backing_off),
      server.since_ms,
      if(failed, do: "It could not be started.", else: "It is down between two restarts#{last_exit(server)}.") <> soon,
      if(failed,
        do: "Look at the command and its working directory in the configuration.",
        else: "Read its last crash; start it now if that is mended."
      )
    )
  end

  defp state(_server, _now_ms), do: nil

  defp lag(%{lag: lag} = server, %{lag_records: bound}) when is_integer(lag) and lag > bound do
    reason(
      server,
      :lag,
      nil,
      "The slowest sink lacks #{Format.count(lag)} records of its streams.",
      "Look at the sinks of its sidekick; the records are safe in its buffer meanwhile."
    )
  end

  defp lag(_server, _limits), do: nil

  # Its sidekick knows the `memory_warn` of its configuration; the panel's own limit is for servers that have none.
  defp memory(server, limits) do
    bytes = Server.memory(server)
    own = match?(%{status: %{health: %{memory_high: true}}}, server)

    if own or (is_number(bytes) and bytes > limits.memory_bytes) do
      bound = if own, do: "its memory_warn", else: "the #{Format.bytes(limits.memory_bytes)} at which to warn"

      reason(
        server,
        :memory,
        nil,
        "It uses #{Format.bytes(bytes)}: #{bound} is reached.",
        "Look whether it grows without end on the memory chart; drain and restart it before the kernel kills it."
      )
    end
  end

  defp frame_time(%{state: :running} = server, limits) do
    frame_ms = Server.figure(server, :frame_ms)

    if is_number(frame_ms) and frame_ms > limits.frame_ms do
      reason(
        server,
        :frame_time,
        nil,
        "A frame takes #{Format.unit(frame_ms, "ms")}, more than #{Format.unit(limits.frame_ms, "ms")}.",
        "Compare with its players and CPU: move players away, or look at what the script does."
      )
    end
  end

  defp frame_time(_server, _limits), do: nil

  defp crashed(%{state: :running, crash: %{at_ms: at_ms} = crash} = server, limits, now_ms)
       when now_ms - at_ms < limits.crash_ms do
    reason(
      server,
      :crashed,
      at_ms,
      "It crashed #{Format.ago(at_ms, now_ms)} (#{Format.reason(crash.reason)}) and plays again.",
      "Read crash #{Format.text(crash.number)}; nothing else need be done."
    )
  end

  defp crashed(_server, _limits, _now_ms), do: nil

  defp problem(%{status: %{problem: text}} = server) when is_binary(text),
    do: reason(server, :problem, server.since_ms, Format.text(text, 300), "Read its log.")

  defp problem(_server), do: nil

  defp buffer(host) do
    case Host.buffer(host) do
      %{full: true} = buffer ->
        [
          reason(
            host,
            :buffer_full,
            nil,
            "The buffer of #{host.node} is full (#{Format.bytes(buffer[:bytes])} of #{Format.bytes(buffer[:max_bytes])}): " <>
              "games are told to wait, or records are dropped, as configured.",
            "Bring its sinks back, or give it more room (max_bytes)."
          )
        ]

      _ ->
        []
    end
  end

  defp sink(host, %{name: name} = sink, limits) do
    error = Format.text(sink[:error], 300)

    case Host.trouble(sink) do
      :halted ->
        [
          reason(
            host,
            :sink_halted,
            nil,
            "Sink #{name} of #{host.node} has halted: #{error}",
            "Do as the message says; nothing is lost meanwhile."
          )
        ]

      :fails ->
        [
          reason(
            host,
            :sink_error,
            nil,
            "Sink #{name} of #{host.node} fails: #{error}",
            "It is tried again by itself; look at its target if it lasts."
          )
        ]

      :removed ->
        [
          reason(
            host,
            :sink_removed,
            nil,
            "The configuration of #{host.node} has no sink #{name} any more; kept for it: #{Format.number_of(sink[:lag_records], "record")}.",
            "Put it back, or give up what it lacks: sidekick ctl sink forget #{name}"
          )
        ]

      :refuses_state ->
        [state_refused(host, sink, error) | behind(host, sink, limits)]

      nil ->
        behind(host, sink, limits)
    end
  end

  defp sink(_host, _sink, _limits), do: []

  defp behind(host, %{lag_records: records} = sink, %{lag_records: bound})
       when is_integer(records) and records > bound do
    more = "#{Format.bytes(sink[:lag_bytes])}, the oldest since #{Format.duration(sink[:lag_age_ms])}"

    [
      reason(
        host,
        :lag,
        nil,
        "Sink #{sink.name} of #{host.node} is #{Format.count(records)} records behind (#{more}).",
        "Look at its rate and at the load of its target."
      )
    ]
  end

  defp behind(_host, _sink, _limits), do: []

  defp state_refused(host, sink, error) do
    {told, more} = sink |> Host.refused() |> Enum.split(@scopes_told)
    scopes = Enum.map_join(told, ", ", &Format.text(&1, 100))
    scopes = if more == [], do: scopes, else: "#{scopes} and #{Format.count(length(more))} more"

    reason(
      host,
      :state_refused,
      nil,
      "Sink #{sink.name} of #{host.node} goes on, but the state of #{scopes} waits: #{error}",
      "Write a value that it takes, or mend what refuses it. It is tried again at least every 10 s; " <>
        "sidekick ctl sink retry #{sink.name} tries at once."
    )
  end

  defp reason(of, code, since_ms, sentence, remedy),
    do: %{rank: @ranks[code], code: code, subject: subject(of), since_ms: since_ms, sentence: sentence, remedy: remedy}

  defp subject(%Server{key: key}), do: {:server, key}
  defp subject(%Host{node: node}), do: {:host, node}

  defp last_exit(server) do
    with {reason, _at_ms} <- Server.last_exit(server), do: ", last by #{reason}", else: (nil -> "")
  end

  defp for_ms(since_ms, now_ms) when is_integer(since_ms), do: Format.duration(max(0, now_ms - since_ms))
  defp for_ms(_, _), do: "an unknown time"
end
