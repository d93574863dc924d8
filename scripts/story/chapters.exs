defmodule Story.Chapters do
  @moduledoc "The story: the game plays, and everything is killed in turn."

  alias Story.{Console, Os, Peer, Say, Stage, Verdict, Wait, Witness}

  @lobby "lobby"

  @doc "Tells it all; `:holds` where every promise held."
  def tell(stage) do
    {stage, frontend, sidekick} = play(stage)
    crash = crash(stage)
    hang = hang(stage)
    operator(stage)
    {adopted, _sidekick} = kill_sidekick(stage, sidekick)
    uploaded = kill_frontend(stage, frontend)
    report(stage)
    Verdict.reach(stage, [crash, hang, adopted, uploaded])
  end

  defp play(stage) do
    Say.chapter("The game plays")
    frontend = Stage.start_frontend(stage)
    Say.line("frontend runs: a BEAM node with the Elixir library and Khepri (pid #{frontend})")
    sidekick = Stage.start_sidekick(stage)
    {:ok, info} = Peer.ask(:info)
    Say.line("sidekick #{info.version} runs as hidden node #{info.name} (pid #{sidekick}), origin #{info.origin}")
    lobby = Peer.await_running()

    Say.line(
      "it started Godot (pid #{lobby.os_pid}, engine #{lobby.session.engine}) as server #{@lobby}, #{inspect(lobby.pid)}"
    )

    ack = await_acks(stage, 180)
    Say.good("tick #{ack.tick} is acknowledged: #{length(Witness.acks(stage))} batches durable, world #{ack.hash}")
    status = GenServer.call({:lobby, Peer.sidekick()}, "status")
    Say.good("GenServer.call({:lobby, node}, \"status\") is answered by the game's script: #{brief(status)}")
    {stage, frontend, sidekick}
  end

  defp crash(stage) do
    Say.chapter("Godot crashes (SIGSEGV)")
    lobby = Peer.lobby()
    monitor = Process.monitor(lobby.pid)
    Peer.flush()
    at_us = Peer.now_us()
    Os.signal(lobby.os_pid, "SEGV")
    fault = follow_restart(stage, "Godot SIGSEGV", at_us)

    receive do
      {:DOWN, ^monitor, :process, _pid, reason} -> Say.good("Process.monitor on its pid reported #{inspect(reason)}")
    after
      1_000 -> raise "no DOWN message for the crashed server"
    end

    bundle(fault.bundle)
    fault
  end

  defp hang(stage) do
    Say.chapter("Godot's main loop hangs")
    Peer.flush()
    at_us = Peer.now_us()
    send({:lobby, Peer.sidekick()}, "hang")
    hang = Peer.event(:hang, 10_000)

    Say.good(
      "seen after #{ms(hang.arrived_us - at_us)}: no heartbeat for #{ms(hang.silent_us)}, process state #{hang.process_state}"
    )

    fault = follow_restart(stage, "Godot hang", at_us)
    frame = List.first(fault.bundle.output.script_backtrace) || "no script frame"

    if frame =~ "_demo_hang_forever",
      do: Say.good("the bundle names the hanging script line: #{frame}"),
      else: raise("the bundle does not name the hanging line, but #{frame}")

    %{fault | seen_us: hang.arrived_us - at_us}
  end

  # From the end of the old process to the first acknowledged tick of the new one.
  defp follow_restart(stage, name, at_us) do
    restores = length(Witness.restores(stage))
    ended = Peer.event(:ended, 15_000)

    Say.good(
      "end seen #{ms(ended.arrived_us - at_us)} after the fault, #{ms(ended.exit_to_detected_us)} after the exit: #{inspect(ended.reason)}"
    )

    started = Peer.event(:started, 15_000)
    Say.good("new process #{started.os_pid}, epoch #{started.epoch}, #{ms(started.since_exit_us)} after the exit")
    playing = Peer.event(:playing, 15_000)
    Wait.until("the game's own note of the restore", 5_000, fn -> length(Witness.restores(stage)) > restores end)
    {restored, last} = stage |> Witness.restores() |> List.last()

    Say.good(
      "plays from tick #{restored.tick} (last acknowledged: #{last.tick}), #{ms(playing.since_exit_us)} after the exit; #{restored.replayed} ticks replayed from the log"
    )

    await_tick(stage, restored.tick + 60)

    %{
      name: name,
      seen_us: ended.arrived_us - at_us,
      detected_us: ended.exit_to_detected_us,
      process_us: started.since_exit_us,
      tick_us: playing.since_exit_us,
      restored: restored,
      bundle: newest_bundle()
    }
  end

  defp operator(stage) do
    Say.chapter("An operator looks in: iex --remsh sidekick@127.0.0.1")
    {shown, status} = Console.session(stage, ["servers", "crashes lobby", "streams"])

    for {line, said} <- shown do
      IO.puts("          #{Peer.sidekick()}> #{line}")
      for row <- String.split(said, "\n"), do: IO.puts("          " <> row)
    end

    [{_, servers}, {_, crashes}, _] = shown
    servers =~ ~r/lobby +running/ || raise "the prompt does not show the running server"
    (crashes =~ "signal sigsegv" and crashes =~ "hang") || raise "the prompt does not show both crashes"
    status == 0 || raise "exit ended iex with status #{status}"
    Say.good("a stock iex on a Rust node; exit left it with status 0 and nothing else changed")
  end

  defp kill_sidekick(stage, sidekick) do
    Say.chapter("sidekick itself is killed (-9)")
    before = Peer.lobby()
    restores = length(Witness.restores(stage))
    last = Witness.last_ack(stage)
    Os.signal(sidekick, "KILL")
    Os.await_end(sidekick, 5_000)
    at_us = Peer.now_us()

    Say.line(
      "sidekick #{sidekick} is gone; Godot #{before.os_pid} #{if Os.alive?(before.os_pid), do: "plays on", else: "IS GONE"}"
    )

    pause(1_500)
    last = Witness.last_ack(stage) || last
    started_us = Peer.now_us()
    sidekick = Stage.start_sidekick(stage)

    adopted =
      Wait.until("the adoption of the game", 10_000, fn ->
        status = Peer.lobby()
        status && status.state == :running && status.session && status
      end)

    resumed =
      Wait.until("acknowledgements to go on", 10_000, fn ->
        ack = Witness.last_ack(stage)
        ack && ack.tick > last.tick && ack
      end)

    same = adopted.os_pid == before.os_pid and adopted.adopted and adopted.epoch == before.epoch
    same || raise "another Godot plays: #{inspect(adopted)}"
    length(Witness.restores(stage)) == restores || raise "the game was restored although it never ended"

    Say.good(
      "adopted Godot #{adopted.os_pid}, still epoch #{adopted.epoch}, #{ms(Peer.now_us() - started_us)} after the new start; nothing was restored, tick #{resumed.tick} acknowledged"
    )

    await_tick(stage, resumed.tick + 60)

    {%{
       name: "sidekick SIGKILL",
       seen_us: nil,
       detected_us: nil,
       process_us: started_us - at_us,
       tick_us: nil,
       restored: :same_process
     }, sidekick}
  end

  defp kill_frontend(stage, frontend) do
    Say.chapter("The BEAM is killed (-9)")
    Os.signal(frontend, "KILL")
    Os.await_end(frontend, 5_000)
    at_us = Peer.now_us()
    before = last_seq()
    Wait.until("records to pile up", 15_000, fn -> last_seq() > before + 120 end)
    Say.good("the game plays on; #{last_seq() - before} records wait in the buffer")
    frontend = Stage.start_frontend(stage)
    Say.line("the frontend runs again (pid #{frontend}) with the Khepri data it had")
    goal = last_seq()
    Wait.until("the backlog to be stored", 20_000, fn -> cursor() >= goal end)
    Say.good("the backlog is stored: sequence #{cursor()}, #{ms(Peer.now_us() - at_us)} after the kill")
    %{name: "BEAM SIGKILL", seen_us: nil, detected_us: nil, process_us: nil, tick_us: nil, restored: :same_process}
  end

  defp report(stage) do
    Say.chapter("The fleet as one page")

    # The frontend has just been started again, and learns of both crashes from sidekick; a rate takes two samples.
    Wait.until("the panel's model to know both crashes and the rate", 20_000, fn ->
      match?({:ok, [_, _ | _]}, Peer.frontend(Sidekick.Panel, :crashes, [])) and
        match?({:ok, %{rate: rate}} when rate > 0, Peer.frontend(Sidekick.Panel, :totals, []))
    end)

    page = Stage.report(stage)
    html = File.read!(page)

    for words <- ["Crash 1 of #{@lobby}", "_demo_hang_forever", "frontend@127.0.0.1"],
        not String.contains?(html, words),
        do: raise("#{page} does not show #{words}")

    Say.good("mix sidekick.report wrote #{page} (#{div(byte_size(html), 1024)} KiB): servers, crashes, streams, store")
  end

  defp bundle(bundle) do
    Say.good("crash bundle #{bundle.number}: #{bundle_text(bundle)}")

    (bundle.output.engine_backtrace != [] or bundle.output.script_backtrace != []) ||
      raise "the crash bundle holds no backtrace: #{inspect(bundle)}"
  end

  defp bundle_text(bundle) do
    output = bundle.output

    "#{inspect(bundle.reason)}, #{length(output.engine_backtrace)} engine frames, " <>
      "#{length(output.script_backtrace)} script frames, #{length(bundle.log)} log lines"
  end

  defp newest_bundle do
    {:ok, crashes} = Peer.ask({:crashes, @lobby})
    %{number: number} = List.last(crashes)
    {:ok, bundle} = Peer.ask({:crash, @lobby, number})
    bundle
  end

  defp await_acks(stage, count) do
    Wait.until("#{count} acknowledged batches", 30_000, fn -> length(Witness.acks(stage)) >= count end)
    Witness.last_ack(stage)
  end

  defp await_tick(stage, tick) do
    Wait.until("tick #{tick} to be acknowledged", 15_000, fn ->
      ack = Witness.last_ack(stage)
      ack && ack.tick >= tick
    end)
  end

  defp last_seq, do: stream().last
  defp cursor, do: stream().cursors["khepri"] || 0

  defp stream do
    {:ok, stream} = Peer.ask({:stream, "lobby/match"})
    stream
  end

  # Lets the game play on for a while: the only wait of the story that is for a time, because time is what it shows.
  defp pause(ms) do
    receive do
    after
      ms -> :ok
    end
  end

  defp brief(status) when is_map(status), do: inspect(Map.take(status, ["tick", "hash", "players", "total"]))

  defp ms(nil), do: "?"
  defp ms(us), do: "#{Float.round(us / 1000, 1)} ms"
end
