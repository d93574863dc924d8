defmodule Story.Figures do
  @moduledoc "Figures of play, each beside its peer in the same run, rounds interleaved."

  alias Story.{Os, Peer, Say, Stage, Wait, Witness}

  def take(stage, rounds) do
    frontend = Stage.start_frontend(stage)
    sidekick = Stage.start_sidekick(stage)
    Say.line("frontend #{frontend}, sidekick #{sidekick}; #{rounds} interleaved rounds")
    Peer.await_running()
    pairs = for round <- 1..rounds, do: round(stage, round)
    usage = for _ <- 1..3, do: usage(sidekick)
    floods = for _ <- 1..5, do: flood()

    IO.puts("\n| figure | median | range |\n|---|---|---|")
    bare = Enum.map(pairs, & &1.bare_us)
    restored = Enum.map(pairs, & &1.restored_us)
    print("Godot's bare cold start, to its first tick", bare, &ms/1)
    print("exit → detected by sidekick", Enum.map(pairs, & &1.detected_us), &ms/1)
    print("SIGKILL → known to a subscriber on the BEAM", Enum.map(pairs, & &1.known_us), &ms/1)
    print("exit → new process", Enum.map(pairs, & &1.process_us), &ms/1)
    print("SIGKILL → first restored tick", restored, &ms/1)
    print("the same less the bare cold start, by round", Enum.map(pairs, &(&1.restored_us - &1.bare_us)), &ms/1)
    print("acknowledged records/s of one Godot (dictionaries of two numbers)", floods, &"#{round(&1)}")
    print("sidekick while the demo plays: RSS", Enum.map(usage, & &1.rss), &"#{Float.round(&1 / 1_048_576, 1)} MiB")
    print("sidekick while the demo plays: CPU of one core", Enum.map(usage, & &1.cpu), &"#{Float.round(&1, 2)} %")
    :ok
  end

  # A bare start and a crash, one after the other, both timed by the line that the game writes right before its first tick.
  defp round(stage, round) do
    bare_us = bare(stage, round)
    lobby = Peer.await_running()
    Peer.flush()
    at_us = Peer.now_us()
    Os.signal(lobby.os_pid, "KILL")
    ended = Peer.event(:ended, 10_000)
    # The dead write nothing: the next byte is the new process's note of its restore.
    size = size(Witness.path(stage))
    restored_us = spin(fn -> size(Witness.path(stage)) > size end) - at_us
    started = Peer.event(:started, 10_000)
    Peer.event(:playing, 10_000)

    %{
      bare_us: bare_us,
      detected_us: ended.exit_to_detected_us,
      known_us: ended.arrived_us - at_us,
      process_us: started.since_exit_us,
      restored_us: restored_us
    }
  end

  defp size(path) do
    case File.stat(path) do
      {:ok, %{size: size}} -> size
      {:error, _} -> 0
    end
  end

  defp bare(stage, round) do
    note = Path.join(stage.dir, "bare-#{round}.log")
    home = Path.join(stage.dir, "bare-home")
    File.mkdir_p!(home)
    at_us = Peer.now_us()

    port =
      Port.open({:spawn_executable, System.fetch_env!("SIDEKICK_GODOT")}, [
        :binary,
        :stderr_to_stdout,
        args: ["--headless", "--path", Path.join(stage.dir, "game")],
        env: [{~c"DEMO_WITNESS", to_charlist(note)}, {~c"HOME", to_charlist(home)}]
      ])

    {:os_pid, pid} = Port.info(port, :os_pid)
    us = spin(fn -> size(note) > 0 end) - at_us
    Os.signal(pid, "KILL")
    Os.await_end(pid, 5_000)
    us
  end

  # The time at which it became true, to a fifth of a millisecond or so.
  defp spin(true?) do
    if true?.() do
      Peer.now_us()
    else
      :erlang.yield()
      spin(true?)
    end
  end

  defp usage(pid) do
    before = Os.usage(pid)
    at_us = Peer.now_us()
    pause(10_000)
    now = Os.usage(pid)
    %{rss: now.rss_bytes, cpu: (now.cpu_ms - before.cpu_ms) * 100_000 / (Peer.now_us() - at_us)}
  end

  # Records become durable while the game makes as many as it can.
  defp flood do
    :ok = GenServer.call({:lobby, Peer.sidekick()}, ["flood", 1_500])
    Wait.until("the flood", 10_000, fn -> last() > 0 end)
    {from, at_us} = {last(), Peer.now_us()}
    pause(3_000)
    rate = (last() - from) * 1_000_000 / (Peer.now_us() - at_us)
    :ok = GenServer.call({:lobby, Peer.sidekick()}, ["flood", 0], 30_000)
    rate
  end

  defp last do
    case Peer.ask({:stream, "flood"}) do
      {:ok, stream} -> stream.last
      {:error, _} -> 0
    end
  end

  defp print(name, values, show) do
    sorted = Enum.sort(values)
    median = Enum.at(sorted, div(length(sorted), 2))
    IO.puts("| #{name} | #{show.(median)} | #{show.(hd(sorted))} – #{show.(List.last(sorted))} |")
  end

  defp ms(us), do: "#{Float.round(us / 1000, 1)} ms"

  defp pause(ms) do
    receive do
    after
      ms -> :ok
    end
  end
end
