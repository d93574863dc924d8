defmodule Sidekick.BackupTest do
  use ExUnit.Case, async: true

  import Sidekick.Test.Uploads

  alias Sidekick.Store
  alias Sidekick.Store.Backup
  alias Sidekick.Test.{Folder, Instance}

  setup do
    instance = Instance.start!()
    for first <- 1..1901//100, do: {:ok, _} = Instance.call(instance, upload("s", first, first + 99))
    values = %{"f" => &String.upcase/1, "nil" => nil, "undefined" => :undefined, "deep" => %{[1] => {2.5, "ü"}}}
    {:ok, _} = Instance.call(instance, state("z", 0, 9, values))
    %{instance: instance, path: Path.join(Folder.new!(), "backup"), values: values}
  end

  defp fresh, do: Instance.new()

  defp restore_opts(instance), do: Keyword.take(instance.opts, [:data_dir, :store])

  test "what is restored is what was there, under a new uuid, and goes on from there", context do
    %{instance: instance, path: file, values: values} = context
    {:ok, uuid} = Store.uuid(instance.store)
    # While uploads go on: what was answered before is in it, and it is one moment of the store.
    pump = Task.async(fn -> for n <- 1..300, do: Instance.call(instance, upload("other", n, n)) end)
    assert {:ok, %{nodes: nodes, bytes: bytes}} = Backup.backup(file, instance.store)
    Task.await(pump, 60_000)
    assert nodes > 8 and File.stat!(file).size == bytes
    assert {:ok, %{uuid: ^uuid, node: node}} = Backup.verify(file)
    assert node == node()

    other = fresh()
    assert {:ok, %{uuid: new, parent: ^uuid}} = Backup.restore(file, restore_opts(other))
    assert new != uuid
    Instance.start_again!(other)
    assert {:ok, ^new} = Store.uuid(other.store)
    assert Store.records(origin(), "s", 1, 5_000, other.store) == Store.records(origin(), "s", 1, 5_000, instance.store)
    assert Store.stream(origin(), "s", other.store) == Store.stream(origin(), "s", instance.store)
    assert {:ok, ^values} = Store.state(origin(), "z", other.store)
    assert Store.nodes(other.store) == Store.nodes(instance.store)
    # The stream that was being written is whole up to where it was.
    with {:ok, head} <- Store.stream(origin(), "other", other.store) do
      {:ok, records} = Store.records(origin(), "other", 1, 1_000, other.store)
      assert Enum.map(records, & &1.seq) == Enum.to_list(1..head.watermark)
    end

    assert {:ok, %{watermark: 2001}} = Instance.call(other, upload("s", 2001, 2001))
    assert {:ok, %{rev: 10}} = Instance.call(other, state("z", 9, 10, %{}, ["f"]))

    moved = fresh()
    assert {:ok, %{uuid: ^uuid}} = Backup.restore(file, [keep_uuid: true] ++ restore_opts(moved))
  end

  test "a damaged file is refused wherever the damage is, and nothing is restored", %{instance: instance, path: file} do
    assert {:ok, %{bytes: size}} = Backup.backup(file, instance.store)
    good = File.read!(file)
    seed = :rand.uniform(1_000_000_000)
    IO.puts("seed of the damaged backups: #{seed}")
    _ = :rand.seed(:exsss, seed)

    for n <- 1..200 do
      at = if n <= 40, do: n - 1, else: :rand.uniform(size) - 1
      <<before::binary-size(^at), byte, rest::binary>> = good
      damage = Enum.random([:flip, :cut, :grow])

      case damage do
        :flip -> File.write!(file, [before, Bitwise.bxor(byte, Bitwise.bsl(1, :rand.uniform(8) - 1)), rest])
        :cut -> File.write!(file, before)
        :grow -> File.write!(file, [before, :rand.uniform(256) - 1, byte, rest])
      end

      assert {:error, {:backup_damaged, %{file: ^file, at_bytes: told, reason: reason, remedy: _}}} =
               Backup.verify(file)

      assert told <= at
      if damage == :cut, do: assert(reason == if(at < 18, do: :not_a_backup, else: :cut))
    end

    File.write!(file, [good, 0])
    other = fresh()
    assert {:error, {:backup_damaged, %{reason: :trailing_bytes}}} = Backup.restore(file, restore_opts(other))
    assert File.ls!(other.dir) == []
    File.write!(file, good)
    assert {:ok, _} = Backup.verify(file)
    none = file <> ".none"
    assert {:error, {:backup_file, %{file: ^none, reason: :enoent, remedy: _}}} = Backup.verify(none)
    below = file <> "/not/a/folder"
    assert {:error, {:backup_file, %{file: ^below, reason: :enotdir}}} = Backup.backup(below, instance.store)
    folder = Path.dirname(file)
    assert {:error, {:backup_file, %{file: ^folder, reason: :eisdir}}} = Backup.backup(folder, instance.store)
    assert Path.wildcard(folder <> "*.new") == []
  end

  test "two that are written to one file at once leave a whole one, and nothing beside it", context do
    %{instance: instance, path: file} = context
    write = fn _ -> Backup.backup(file, instance.store) end
    written = 1..8 |> Task.async_stream(write, max_concurrency: 8, timeout: 60_000) |> Enum.map(&elem(&1, 1))
    assert Enum.all?(written, &match?({:ok, _}, &1))
    assert {:ok, _} = Backup.verify(file)
    assert Path.wildcard(Path.dirname(file) <> "/*.new") == []
  end

  test "only an empty folder is restored into, and one that was interrupted is not served", context do
    %{instance: instance, path: file} = context
    assert {:ok, _} = Backup.backup(file, instance.store)
    assert {:error, {:running, _}} = Backup.restore(file, restore_opts(instance))
    Instance.stop!(instance)
    assert {:error, {:not_empty, _}} = Backup.restore(file, restore_opts(instance))

    other = fresh()
    File.write!(Path.join(other.dir, "sidekick-store"), "#{other.store} #{node()}\nstanding restoring\n")
    {{:error, reason}, _log} = ExUnit.CaptureLog.with_log(fn -> start_supervised({Sidekick, other.opts}) end)
    assert inspect(reason) =~ "restore_incomplete"
  end
end
