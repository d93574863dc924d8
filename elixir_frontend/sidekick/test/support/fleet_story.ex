defmodule Sidekick.Test.FleetStory do
  @moduledoc "Sidekicks as they tell of themselves, made from a seed: the same seed, the same story."

  @start_ms 1_800_000_000_000

  def start_ms, do: @start_ms

  @doc "Names of so many sidekicks."
  def nodes(count), do: for(n <- 1..count, do: :"sidekick@game#{String.pad_leading("#{n}", 3, "0")}.internal")

  @doc "What a sidekick with these servers answers."
  def answers(ids, opts \\ []) do
    last = Keyword.get(opts, :last, 1_000)
    cursor = Keyword.get(opts, :cursor, last)

    %{
      info: {:ok, info(opts)},
      servers: {:ok, Enum.map(ids, &status(&1, opts))},
      sinks: {:ok, [sink(opts ++ [lag: last - cursor])]},
      streams: {:ok, for(id <- ids, do: stream("#{id}/match", last, cursor))},
      asked_ms: Keyword.get(opts, :asked_ms, @start_ms + 1_000_000_000)
    }
  end

  def info(opts \\ []) do
    buffer = %{bytes: 5_000_000, max_bytes: 4_294_967_296, full: Keyword.get(opts, :full, false)}

    %{
      name: "x",
      version: "0.1.0",
      origin: "o-1",
      incarnation: 1,
      uptime_ms: 60_000,
      servers: [],
      peers: [],
      buffer: buffer
    }
  end

  def status(id, opts \\ []) do
    health = %{
      frame_ms: 16.6,
      players: 6,
      cpu_percent: 12.5,
      memory_bytes: 22_000_000,
      beat_at_ms: @start_ms,
      tick: 100
    }

    Map.merge(
      %{
        id: id,
        pid: self(),
        os_pid: 4242,
        state: :running,
        since_ms: @start_ms,
        epoch: 2,
        start_number: 2,
        adopted: false
      }
      |> Map.merge(%{restarts: 1, last_exit: nil, problem: nil, session: nil, health: health, rss_bytes: 124_000_000}),
      Map.new(Keyword.get(opts, :status, []))
    )
  end

  def sink(opts \\ []) do
    %{name: "khepri", kind: :beam, state: Keyword.get(opts, :sink_state, :idle), node: nil, store: "u"}
    |> Map.merge(%{
      lag_records: opts[:lag] || 0,
      lag_bytes: (opts[:lag] || 0) * 100,
      lag_age_ms: (opts[:lag] || 0) * 5,
      acknowledged: 1,
      dead_letters: Keyword.get(opts, :dead, 0),
      refused_scopes: for(scope <- Keyword.get(opts, :refused, []), do: %{scope: scope, error: "no", attempts: 3}),
      error: opts[:sink_error]
    })
  end

  def stream(name, last, cursor),
    do: %{
      name: name,
      first: 1,
      last: last,
      bytes: last * 100,
      cursors: %{"khepri" => cursor},
      dropped: 0,
      limit: nil,
      full: false
    }

  @doc "An event of the topic `:servers`."
  def event(type, id, fields \\ []) do
    Map.merge(%{topic: :servers, type: type, seq: 1, at_ms: @start_ms, id: id, pid: nil, at_ns: 1}, Map.new(fields))
  end

  @doc "One life of a server as events: crash or hang, restart, play."
  def life(id, number, at_ms) do
    reason = Enum.random([{:signal, :sigsegv}, {:exit_status, 3}, :hang])

    [
      event(:ended, id, at_ms: at_ms, reason: reason, detail: nil, os_pid: 1),
      event(:crash, id, at_ms: at_ms + 1, number: number, reason: reason, script_line: "res://main.gd:#{number}"),
      event(:state, id, at_ms: at_ms + 2, from: :running, state: :backing_off),
      event(:started, id,
        at_ms: at_ms + 3,
        start_number: number + 1,
        os_pid: number,
        epoch: number,
        adopted: false,
        since_exit_us: 900
      ),
      event(:state, id, at_ms: at_ms + 4, from: :backing_off, state: :starting),
      event(:playing, id, at_ms: at_ms + 5, tick: 7, since_exit_us: 90_000, since_start_us: 80_000),
      event(:state, id, at_ms: at_ms + 6, from: :starting, state: :running)
    ]
  end
end
