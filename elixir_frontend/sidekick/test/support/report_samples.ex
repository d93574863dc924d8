defmodule Sidekick.Test.ReportSamples do
  @moduledoc "Reports for tests and for scripts/test's browser: an ordinary day, hostile names, nothing at all, a large fleet."

  import Sidekick.Test.FleetStory

  alias Sidekick.Panel.{Attention, Crash, Model, Report, Snapshot, StoreView}

  @doc "The names of the samples."
  def names, do: [:day, :hostile, :empty, :large]

  @doc "Writes all of them into a folder; answers the files."
  def write!(dir) do
    File.mkdir_p!(dir)

    for name <- names() do
      path = Path.join(dir, "#{name}.html")
      :ok = Report.write(path, snapshot(name))
      path
    end
  end

  @doc "A sample."
  def snapshot(:empty), do: %{Snapshot.of_model(Model.new(), Attention.limits()) | audit: []}

  def snapshot(:day) do
    now = System.os_time(:millisecond)
    [busy, calm, away] = [:"sidekick@game1.internal", :"sidekick@game2.internal", :"sidekick@game3.internal"]

    model =
      feed(Model.new(), now, [
        {:known, [%{node: away, connected: false, since_ms: now - 192_000}]},
        {:remembered,
         [%{node: away, at_ms: now - 200_000, info: %{version: "0.1.0"}, servers: [remembered("harbour", now)]}]},
        {:up, busy},
        {:up, calm},
        {:store, store(now)}
      ])

    model =
      for n <- 1..90, reduce: model do
        model ->
          at_ms = now - (90 - n) * 2_000
          model = Model.reduce(model, {:answers, busy, wave(["arena", "lobby", "market"], n, at_ms, 40 * n)}, at_ms)
          Model.reduce(model, {:answers, calm, wave(["garden", "tower"], n + 9, at_ms, 0)}, at_ms)
      end

    model = story(model, busy, now)
    snapshot = Snapshot.of_model(model, Attention.limits())
    %{snapshot | at_ms: now, bundles: [Crash.read(bundle("lobby", 7, now), busy)], audit: audit(busy, now)}
  end

  def snapshot(:hostile) do
    now = System.os_time(:millisecond)
    evil = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"
    node = :"sidekick@<b onmouseover=alert(1)>#{String.duplicate("a-very-long-host-name.", 8)}internal"
    ids = ["<script>alert(1)</script>", String.duplicate("long", 16), "\u202Egnp.exe", "a\0b\e[31m"]

    answers =
      answers(ids,
        last: 50_000,
        cursor: 2,
        sink_error: evil,
        status: %{problem: evil, session: %{engine: evil}, standby: %{state: evil}}
      )

    answers = put_in(answers.info, {:ok, %{version: evil, buffer: %{bytes: 1, max_bytes: 2, full: true}}})
    event = event(:crash, hd(ids), number: 1, reason: evil, script_line: evil, at_ms: now)
    failed = event(:start_failed, hd(ids), detail: evil <> <<255>>, at_ms: now)
    inputs = [{:up, node}, {:answers, node, %{answers | asked_ms: now}}, {:event, node, event}, {:event, node, failed}]
    snapshot = Model.new() |> feed(now, inputs) |> Snapshot.of_model(Attention.limits())

    crash =
      Crash.read(
        Map.merge(bundle(evil, 1, now), %{
          detail: evil,
          other: %{evil => evil},
          versions: %{engine: evil},
          output: %{script_line: evil, script_backtrace: ["</pre>" <> evil]}
        }),
        node
      )

    entry = %{
      at_ms: now,
      who: evil,
      role: :viewer,
      action: :kill,
      target: evil,
      outcome: :denied,
      detail: evil,
      from: node()
    }

    %{snapshot | bundles: [crash], audit: [entry]}
  end

  def snapshot(:large) do
    :rand.seed(:exsss, 11)
    now = System.os_time(:millisecond)

    inputs =
      for node <- nodes(200),
          input <- [{:up, node}, {:answers, node, answers(for(n <- 1..10, do: "zone_#{n}"))}],
          do: input

    Model.new() |> feed(now, inputs) |> Snapshot.of_model(Attention.limits())
  end

  defp feed(model, now, inputs), do: Enum.reduce(inputs, model, &Model.reduce(&2, &1, now))

  # Figures that go up and down, each server by its own.
  defp wave(ids, n, at_ms, behind) do
    answers = answers(ids, last: 2_000 + 120 * n, cursor: 2_000 + 120 * n - behind, asked_ms: at_ms)

    statuses =
      for {id, index} <- Enum.with_index(ids) do
        swing = :math.sin(n / 9 + index * 2)
        frame_ms = 16.6 + max(0.0, 9 * swing) + if(id == "lobby" and n in 58..61, do: 34, else: 0)

        health = %{
          frame_ms: frame_ms,
          players: round(14 + 9 * swing),
          cpu_percent: 22 + 15 * swing,
          memory_bytes: 22_000_000
        }

        status = status(id, status: [health: health, since_ms: at_ms - 3_600_000 - index * 777_000, restarts: index])

        %{
          status
          | rss_bytes: round(124_000_000 + n * 400_000 * index + 4_000_000 * swing),
            session: %{engine: "4.6.3.stable"}
        }
      end

    %{
      answers
      | servers: {:ok, statuses},
        info: {:ok, Map.put(info(), :buffer, %{bytes: 48_000_000 + n * 31_000, max_bytes: 4_294_967_296, full: false})}
    }
  end

  defp story(model, node, now) do
    events = [
      event(:ended, "lobby", at_ms: now - 61_300, reason: {:signal, :sigsegv}, detail: nil),
      event(:crash, "lobby",
        at_ms: now - 61_280,
        number: 7,
        reason: {:signal, :sigsegv},
        script_line: "res://world.gd:214"
      ),
      event(:started, "lobby",
        at_ms: now - 61_276,
        os_pid: 90_221,
        epoch: 8,
        start_number: 8,
        adopted: false,
        since_exit_us: 3_900
      ),
      event(:playing, "lobby", at_ms: now - 61_190, tick: 18_204, since_exit_us: 88_400),
      event(:hang, "market", at_ms: now - 31_000, silent_us: 2_014_000, process_state: "R"),
      event(:ended, "market", at_ms: now - 30_400, reason: :hang, detail: nil),
      event(:crash, "market", at_ms: now - 30_390, number: 4, reason: :hang, script_line: "res://market/auction.gd:88"),
      event(:quarantined, "market", at_ms: now - 30_000, restarts: 4, seconds: 5)
    ]

    model = feed(model, now, for(event <- events, do: {:event, node, event}))
    feed(model, now, [{:acted, node, "lobby", "restart by ann"}])
  end

  defp remembered(id, now), do: Map.drop(status(id, status: [since_ms: now - 9_000_000]), [:pid])

  defp store(now) do
    members =
      for {node, up} <- [{:frontend@beam1, true}, {:frontend@beam2, true}, {:frontend@beam3, false}],
          do: %{node: node, connected: up, leader: node == :frontend@beam1}

    stream = %{
      stream: "lobby/match",
      origin: "5f0c8a52-6f0e-4b7e-9a77-3a6d5f1c2b11",
      watermark: 12_800,
      records: 12_800,
      bytes: 1_310_000,
      dropped: 0,
      updated_ms: now - 400
    }

    Map.merge(StoreView.unknown(), %{
      quorum: :available,
      uuid: "0d9c0c1e-8a43-4d8b-9a0c-64a2d2b7c1aa",
      members: members,
      applied: 48_211,
      streams: [stream]
    })
  end

  defp audit(node, now) do
    for {ago, who, action, outcome, detail} <- [
          {4_000, "ann", :restart, :ok, ""},
          {65_000, "bo", :kill, :denied, "needs operator"}
        ],
        do: %{
          at_ms: now - ago,
          who: who,
          role: :operator,
          action: action,
          target: "lobby on #{node}",
          outcome: outcome,
          detail: detail,
          from: node()
        }
  end

  defp bundle(id, number, now) do
    at_ms = now - 61_280

    %{
      server: id,
      number: number,
      at_ms: at_ms,
      start_number: 7,
      os_pid: 89_734,
      epoch: 7,
      reason: {:signal, :sigsegv},
      figures: %{
        rss_bytes: 131_000_000,
        rss_bytes_max: 140_000_000,
        cpu_percent: 31.0,
        ran_ms: 5_400_000,
        exit_to_detected_us: 1_420,
        restarts: 2
      },
      versions: %{sidekick: "0.1.0", engine: "4.6.3.stable", program: "godot"},
      output: %{
        script_line: "res://world.gd:214",
        script_backtrace: ["[0] _apply_damage (res://world.gd:214)", "[1] _physics_process (res://world.gd:98)"],
        engine_backtrace:
          for(
            n <- 1..12,
            do: "[#{n}] godot::SceneTree::frame_#{n}() (/usr/bin/godot+0x#{Integer.to_string(n * 7919, 16)})"
          )
      },
      beats:
        for(
          n <- 0..40,
          do: %{
            at_ms: at_ms - (40 - n) * 250,
            tick: n * 15,
            frame_ms: 16.6 + if(n > 34, do: (n - 34) * 6, else: 0),
            memory_bytes: 22_000_000 + n * n * 2_000,
            players: 12
          }
        ),
      log:
        for(
          n <- 1..30,
          do: %{
            at_ms: at_ms - (30 - n) * 100,
            source: if(n > 26, do: "stderr", else: "stdout"),
            line: "tick #{n * 40}: 12 players, 3 projectiles in flight"
          }
        ),
      facts: %{streams: %{"lobby/match" => %{"behind" => 12}}}
    }
  end
end
