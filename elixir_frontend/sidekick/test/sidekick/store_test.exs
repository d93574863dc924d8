defmodule Sidekick.StoreTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Sidekick.Test.Uploads

  alias Sidekick.Store
  alias Sidekick.Test.Instance

  test "a store keeps its uuid, records, state and watermark over a restart" do
    instance = Instance.start!()
    {:ok, uuid} = Store.uuid(instance.store)
    assert {:ok, _} = Instance.call(instance, upload("s", 1, 500))
    assert {:ok, _} = Instance.call(instance, state("z", 0, 1, %{"a" => 1}))
    Instance.stop!(instance)
    Instance.start_again!(instance)
    assert {:ok, ^uuid} = Store.uuid(instance.store)
    assert {:ok, %{store: ^uuid, watermark: 500}} = Instance.call(instance, {:watermark, origin(), "s"})
    assert {:ok, records} = Store.records(origin(), "s", 1, 1000, instance.store)
    assert records == Enum.map(1..500, &record/1)
    assert {:ok, %{"a" => 1}} = Store.state(origin(), "z", instance.store)
    assert {:ok, %{watermark: 501}} = Instance.call(instance, upload("s", 501, 501))
  end

  test "a stop that was asked for warns of nothing" do
    instance = Instance.start!()
    {:ok, _} = Instance.call(instance, upload("s", 1, 5))
    # Stores of other tests are stopping too.
    refute capture_log(fn -> Instance.stop!(instance) end) =~ to_string(instance.store)
  end

  test "versions of Ra in which members diverge are known" do
    for bad <- ~w(2.9.1 2.14.0 2.16.1), do: refute(Store.Lifecycle.ra_sound?(bad))
    for good <- ~w(2.16.2 2.16.12 2.17.0 3.1.10 3.2.0-rc.1 unknown), do: assert(Store.Lifecycle.ra_sound?(good))
    assert Store.Lifecycle.ra_sound?(to_string(Application.spec(:ra, :vsn)))
  end

  test "the window of a stream keeps to its limits; watermark and hash stay whole" do
    retention = [records: 600, bytes: :infinity, streams: %{"thin" => [records: :infinity, bytes: 100_000]}]
    instance = Instance.start!(retention: retention)

    for first <- 1..2901//100 do
      assert {:ok, _} = Instance.call(instance, upload("s", first, first + 99))
      assert {:ok, _} = Instance.call(instance, upload("thin", first, first + 99, bytes: 1000))
    end

    assert {:ok, head} = Store.stream(origin(), "s", instance.store)
    assert head.watermark == 3000 and head.records in 256..600 and head.first == 3001 - head.records
    assert head.hash == Enum.reduce(1..3000, Store.hash_zero(), &Store.hash(&2, record(&1)))
    assert {:ok, records} = Store.records(origin(), "s", 1, 10_000, instance.store)
    assert Enum.map(records, & &1.seq) == Enum.to_list(head.first..3000)

    # The newest batch stays whatever its size, and a batch goes as a whole.
    assert {:ok, thin} = Store.stream(origin(), "thin", instance.store)
    assert thin.bytes <= 256 * 1024 and thin.watermark == 3000
    assert {:ok, records} = Store.records(origin(), "thin", 1, 10_000, instance.store)
    assert Enum.map(records, & &1.seq) == Enum.to_list(thin.first..3000)
    assert {:ok, %{watermark: 3000}} = Instance.call(instance, upload("s", 1, 50))
  end

  test "a folder is not opened under another name, and the reason says whose it is" do
    instance = Instance.new()
    File.write!(Path.join(instance.dir, "sidekick-store"), "sidekick_store frontend@elsewhere\n")
    reason = refused(instance)
    assert reason =~ "data_dir_of_another_node"
    assert reason =~ "frontend@elsewhere"
  end

  test "a folder that cannot be written is named" do
    assert refused(Instance.new(data_dir: "/proc/nothing/here")) =~ "/proc/nothing/here"
  end

  test "a cluster does not begin without all its members" do
    reason = refused(Instance.new(members: [node(), :"zz@127.0.0.1"], start_timeout_ms: 500))
    assert reason =~ "no_cluster" and reason =~ ~s("zz@127.0.0.1": :unreachable)
  end

  test "a folder whose store is another, or gone, is not served" do
    instance = Instance.start!()
    assert {:ok, _} = Instance.call(instance, upload("s", 1, 5))
    Instance.stop!(instance)
    note = Path.join(instance.dir, "sidekick-store")
    text = File.read!(note)
    assert text =~ ~r/\A#{instance.store} #{node()}\nuuid [0-9a-f-]{36}\nstanding member\n\z/
    File.write!(note, String.replace(text, ~r/uuid ......../, "uuid 00000000"))
    assert refused(instance) =~ "identity_lost"

    # What the trap leaves: a member that has forgotten everything.
    for file <- File.ls!(instance.dir), file != "sidekick-store", do: File.rm_rf!(Path.join(instance.dir, file))
    File.write!(note, text)
    assert refused(instance) =~ ~r/identity_lost.*found: nil/

    for broken <- ["standing nonsense", "uuid\nstanding member x"],
        text <- ["", <<0, 255>>, "#{instance.store} #{node()}\n#{broken}\n"] do
      File.write!(note, text)
      assert refused(instance) =~ ~r/note_damaged.*remedy/
    end

    # One of before there were standings is read as ever.
    fresh = Instance.new()
    File.write!(Path.join(fresh.dir, "sidekick-store"), "#{fresh.store} #{node()}\n")
    Instance.start_again!(fresh)
    assert {:ok, _} = Instance.call(fresh, upload("s", 1, 5))
  end

  test "more than the queue holds is answered busy; the rest is done" do
    instance = Instance.start!(max_concurrency: 1, max_queue: 2)

    answers =
      1..64
      |> Task.async_stream(&Instance.call(instance, upload("s#{&1}", 1, 200)), max_concurrency: 64, ordered: false)
      |> Enum.map(fn {:ok, answer} -> answer end)

    {done, refused} = Enum.split_with(answers, &match?({:ok, %{watermark: 200}}, &1))
    assert done != [] and Enum.all?(refused, &match?({:error, {:busy, %{waiting: 2}}}, &1))
    {:ok, streams} = Store.streams(origin(), instance.store)
    assert length(streams) == length(done)
  end

  test "the last member does not leave, and what then to do is said" do
    instance = Instance.start!()
    assert {:error, {:no_other_member, %{members: [_], remedy: remedy}}} = Store.Cluster.leave(instance.store)
    assert remedy =~ "last member"
    assert {:ok, %{watermark: 1}} = Instance.call(instance, upload("s", 1, 1))
  end

  test "wrong options are named" do
    for {opts, named} <- [
          {[], ":data_dir"},
          {[data_dir: "x", nope: 1], ":nope"},
          {[data_dir: "x", nodes: ["a@b"]], ":nodes"},
          {[data_dir: "x", max_queue: 0], ":max_queue"},
          {[data_dir: "x", members: [:other@nowhere]], ":members"},
          {[data_dir: "x", projections: [:all]], ":projections"},
          {[data_dir: "x", retention: [records: 0]], "records"},
          {[data_dir: :x], ":data_dir"},
          {[data_dir: "x", nodes: :a@b], ":nodes"},
          {[data_dir: "x", store: "s"], ":store"},
          {[data_dir: "x", name: nil], ":name"},
          {[data_dir: "x", projections: :streams], ":projections"},
          {[data_dir: "x", validate: {Nope, :nope}], ":validate"},
          {[data_dir: "x", validate: {String, :length}], "two arguments"},
          {[data_dir: "x", retention: 5], ":retention"},
          {[data_dir: "x", retention: [record: 5]], ":record"},
          {[data_dir: "x", retention: [streams: %{"a" => 5}]], ":retention"},
          {[data_dir: "x", retention: [streams: %{a: [records: 5]}]], ":streams"},
          {[data_dir: "x", retention: [streams: %{"a" => [bytes: 0]}]], ":bytes"}
        ] do
      assert_raise ArgumentError, ~r/#{named}/, fn -> Sidekick.Options.new!(opts) end
    end
  end

  defp refused(instance) do
    {reason, _log} = with_log(fn -> start_supervised({Sidekick, instance.opts}) end)
    assert {:error, reason} = reason
    inspect(reason)
  end
end
