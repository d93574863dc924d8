# The story of an upgrade. Called by scripts/upgrade-demo with the repository, a directory and the new binary's version.
for file <- ~w(say os peer stage witness), do: Code.require_file("#{file}.exs", __DIR__)

defmodule Story.Upgrade do
  @moduledoc "sidekick is replaced by another build while the game plays, and nobody notices but the version."

  alias Story.{Os, Peer, Say, Stage, Wait, Witness}

  @stream "lobby/match"

  def tell(stage, version) do
    {old, before} = play(stage)
    {new, adopted} = replace(stage, old, before, version)
    crash(stage, adopted)
    count(stage, before, adopted, new)
  end

  defp play(stage) do
    Say.chapter("The game plays under the old build")
    old = Stage.start_sidekick(stage)
    {:ok, info} = Peer.ask(:info)
    before = Peer.await_running()
    ack = await_tick(stage, 90)

    Say.line(
      "sidekick #{info.version} (pid #{old}), Godot #{before.os_pid}, epoch #{before.epoch}, tick #{ack.tick} acknowledged"
    )

    {old, Map.put(before, :version, info.version)}
  end

  defp replace(stage, old, before, version) do
    Say.chapter("The binary is replaced, the process follows")
    # Renamed over the old one, as installers do: what runs keeps its own file.
    File.rename!(Path.join(stage.dir, "next"), stage.binary)
    Say.line("#{stage.binary} is another build now; #{before.version} still runs from the file it was")
    await_tick(stage, Witness.last_ack(stage).tick + 30)
    Os.signal(old, "KILL")
    Os.await_end(old, 5_000)
    at_us = Peer.now_us()
    new = Stage.start_sidekick(stage)

    adopted =
      Wait.until("the adoption of the game", 10_000, fn ->
        status = Peer.lobby()
        status && status.state == :running && status.session && status
      end)

    away_us = Peer.now_us() - at_us
    {:ok, info} = Peer.ask(:info)
    info.version == version or raise "sidekick calls itself #{info.version}, not #{version}"
    same = adopted.os_pid == before.os_pid and adopted.epoch == before.epoch and adopted.adopted
    same or raise "another Godot plays: #{inspect(adopted)}"

    Say.good(
      "sidekick #{info.version} (pid #{new}) has Godot #{adopted.os_pid}, still epoch #{adopted.epoch}, after #{ms(away_us)}"
    )

    ack = await_tick(stage, Witness.last_ack(stage).tick + 60)
    Say.good("tick #{ack.tick} is acknowledged by the new build")
    {new, adopted}
  end

  # The adopted game's parent is still of the old build; its end is the new one's to see, and the next guard is new.
  defp crash(stage, adopted) do
    Say.chapter("The game crashes under the new build")
    guard = parent(adopted.os_pid)
    Say.line("its guard #{guard} runs #{exe(guard)}")
    restores = length(Witness.restores(stage))
    Os.signal(adopted.os_pid, "SEGV")
    ended = Peer.event(:ended, 15_000)
    ended.reason == {:signal, :sigsegv} or raise "the end was seen as #{inspect(ended.reason)}"
    Wait.until("the restore", 15_000, fn -> length(Witness.restores(stage)) > restores end)
    {restored, last} = stage |> Witness.restores() |> List.last()
    await_tick(stage, restored.tick + 30)
    now = Peer.await_running()
    guard = parent(now.os_pid)
    exe(guard) == stage.binary or raise "the new guard runs #{exe(guard)}"

    Say.good(
      "seen as #{inspect(ended.reason)}; plays from tick #{restored.tick} (last acknowledged: #{last.tick}), guard #{guard} runs #{exe(guard)}"
    )

    restored.verified == "true" or raise "the restored world is another one"
  end

  defp count(stage, before, adopted, new) do
    Say.chapter("The count")
    :ok = Peer.ask({:stop_server, "lobby"}, 60_000)
    acks = Witness.acks(stage)
    told = Enum.flat_map(acks, & &1.ids)
    ids = Enum.map(journal(1), & &1.payload["id"])
    first = for ack <- acks, ack.epoch == before.epoch, do: ack.tick

    checks = [
      {"#{length(told)} acknowledged records stand in the journal, once, in order",
       Enum.filter(ids, &(&1 in MapSet.new(told))) == told and ids == Enum.uniq(ids)},
      {"#{length(first)} ticks of one process, none missing", first == Enum.to_list(1..List.last(first))},
      {"play resumed at or after each last acknowledged tick",
       Enum.all?(Witness.restores(stage), fn {restored, last} -> last == nil or restored.tick >= last.tick end)},
      {"one process from the first tick to the crash", adopted.os_pid == before.os_pid},
      {"sidekick #{new} still runs", Os.alive?(new)}
    ]

    for {text, holds} <- checks, do: if(holds, do: Say.good(text), else: Say.bad("NOT SO: " <> text))
    if Enum.all?(checks, &elem(&1, 1)), do: :holds, else: :broken
  end

  defp journal(from) do
    case Peer.ask({:read, @stream, from, 5_000}) do
      {:ok, []} -> []
      {:ok, records} -> records ++ journal(List.last(records).seq + 1)
    end
  end

  defp await_tick(stage, tick) do
    Wait.until("tick #{tick} to be acknowledged", 20_000, fn ->
      ack = Witness.last_ack(stage)
      ack && ack.tick >= tick && ack
    end)
  end

  defp parent(pid) do
    status = File.read!("/proc/#{pid}/status")
    [_, parent] = Regex.run(~r/^PPid:\s+(\d+)$/m, status)
    parent
  end

  defp exe(pid), do: File.read_link!("/proc/#{pid}/exe")

  defp ms(us), do: "#{Float.round(us / 1000, 1)} ms"
end

[repository, dir, version] = System.argv()
Process.flag(:trap_exit, true)
Story.Say.start()
stage = Story.Stage.set(repository, dir)

outcome =
  try do
    Story.Upgrade.tell(stage, version)
  rescue
    error ->
      Story.Say.bad(Exception.message(error))
      IO.puts("\n  #{Exception.format_stacktrace(__STACKTRACE__) |> String.trim()}")
      Story.Stage.show_logs(stage)
      :broken
  end

Story.Stage.strike(stage)
System.halt(if(outcome == :holds, do: 0, else: 1))
