defmodule Sidekick.LockTest do
  # A store's folder has one owner, and is free once that is gone, however it went.
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Sidekick.Test.Uploads

  alias Sidekick.Options
  alias Sidekick.Store.{Backup, Lock}
  alias Sidekick.Test.{Folder, Instance}

  @moduletag timeout: 60_000

  # Another BEAM that takes the folder, says what came of it, and is killed.
  defp elsewhere(dir) do
    code = """
    IO.inspect(elem(Sidekick.Store.Lock.take(Sidekick.Options.new!(data_dir: #{inspect(dir)})), 0))
    System.cmd("sh", ["-c", "kill -9 " <> System.pid()])
    """

    {said, _} = System.cmd("elixir", ["-pa", Path.dirname(:code.which(Lock)), "-e", code], stderr_to_stdout: true)
    said
  end

  # Takes it in a process of its own, which holds it until the test ends.
  defp hold(dir) do
    test = self()

    start_supervised!(
      {Task,
       fn ->
         send(test, {:held, self(), Lock.take(Options.new!(data_dir: dir))})
         receive do: (:never -> :ok)
       end},
      id: make_ref(),
      restart: :temporary
    )
  end

  defp locks(dir), do: dir |> File.ls!() |> Enum.filter(&String.starts_with?(&1, "sidekick-lock"))

  test "while a store is open no other BEAM has it; one that is killed leaves it free" do
    instance = Instance.start!()
    {:ok, _} = Instance.call(instance, upload("s", 1, 5))
    assert elsewhere(instance.dir) =~ ":error"

    again =
      Keyword.merge(instance.opts, name: :another_instance, ingest: :another_ingest, connector: :another_connector)

    {{:error, reason}, _log} = with_log(fn -> start_supervised({Sidekick, again}) end)
    assert inspect(reason) =~ "data_dir_in_use" and inspect(reason) =~ instance.dir
    {:ok, %{watermark: 6}} = Instance.call(instance, upload("s", 6, 6))

    Instance.stop!(instance)
    assert locks(instance.dir) == []
    assert elsewhere(instance.dir) =~ ":ok"
    assert [_] = locks(instance.dir)
    Instance.start_again!(instance)
    assert {:ok, %{watermark: 7}} = Instance.call(instance, upload("s", 7, 7))
  end

  test "a restore leaves the folder free" do
    instance = Instance.start!()
    file = Path.join(Folder.new!(), "backup")
    {:ok, _} = Backup.backup(file, instance.store)
    dir = Path.join(Folder.new!(), "restored")
    {:ok, %{uuid: _}} = Backup.restore(file, data_dir: dir, store: :restored_elsewhere)
    assert locks(dir) == []
  end

  test "of many that find a lock left over at most one has it, and who comes later finds it held" do
    dir = Folder.new!()
    assert elsewhere(dir) =~ ":ok"
    holders = for _ <- 1..16, do: hold(dir)

    outcomes =
      for pid <- holders do
        assert_receive {:held, ^pid, outcome}, 10_000
        outcome
      end

    held = Enum.count(outcomes, &match?({:ok, _}, &1))
    assert held <= 1 and length(locks(dir)) == held
    assert Enum.all?(outcomes, &(match?({:ok, _}, &1) or match?({:error, {:data_dir_in_use, %{data_dir: ^dir}}}, &1)))
    assert {elem(Lock.take(Options.new!(data_dir: dir)), 0), held} in [{:error, 1}, {:ok, 0}]
  end

  test "a path longer than an address may be is held too" do
    dir = Path.join([Folder.new!(), String.duplicate("a", 200), String.duplicate("b", 100)])
    pid = hold(dir)
    assert_receive {:held, ^pid, {:ok, lock}}, 10_000
    assert {:error, {:data_dir_in_use, _}} = Lock.take(Options.new!(data_dir: dir))
    assert elsewhere(dir) =~ ":error"
    assert :ok = Lock.release(lock)
    assert {:ok, lock} = Lock.take(Options.new!(data_dir: dir))
    assert :ok = Lock.release(lock)
    assert File.ls!(dir) == []
  end
end
