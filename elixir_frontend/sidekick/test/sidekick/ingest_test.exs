defmodule Sidekick.IngestTest do
  use ExUnit.Case, async: true

  import Sidekick.Test.Uploads

  alias Sidekick.Store
  alias Sidekick.Test.Instance

  setup do: %{instance: Instance.start!()}

  defp seqs(instance, stream) do
    {:ok, records} = Store.records(origin(), stream, 1, 1_000_000, instance.store)
    Enum.map(records, & &1.seq)
  end

  defp watermark(instance, stream) do
    {:ok, %{watermark: watermark}} = Instance.call(instance, {:watermark, origin(), stream})
    watermark
  end

  def no_threes("raises", _payload), do: raise("no such stream")
  def no_threes("s", payload), do: if(payload == record(3).payload, do: {:error, "no threes"}, else: :ok)
  def no_threes(_stream, _payload), do: :ok

  describe "records" do
    test "are stored with their watermark and read back as they were", %{instance: instance} do
      {:ok, uuid} = Store.uuid(instance.store)
      assert uuid =~ ~r/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
      assert {:ok, %{store: ^uuid, watermark: 0}} = Instance.call(instance, {:watermark, origin(), "events"})
      assert {:ok, %{store: ^uuid, watermark: 3}} = Instance.call(instance, upload("events", 1, 3))
      assert {:ok, %{store: ^uuid, watermark: 5}} = Instance.call(instance, upload("events", 4, 5))
      assert {:ok, %{store: ^uuid, watermark: 5}} = Instance.call(instance, {:watermark, origin(), "events"})
      assert {:ok, records} = Store.records(origin(), "events", 1, 100, instance.store)
      assert records == Enum.map(1..5, &record/1)
      assert {:ok, [%{seq: 3}, %{seq: 4}]} = Store.records(origin(), "events", 3, 2, instance.store)
      assert {:ok, [%{stream: "events", watermark: 5, records: 5, first: 1}]} = Store.streams(origin(), instance.store)
      assert {:ok, [_]} = Store.origins(instance.store)
      node = node()
      assert {:ok, %{^node => %{origin: _}}} = Store.nodes(instance.store)
    end

    test "that were stored are answered, not stored again", %{instance: instance} do
      assert {:ok, %{watermark: 5}} = Instance.call(instance, upload("s", 1, 5))
      assert {:ok, %{watermark: 5}} = Instance.call(instance, upload("s", 1, 5))
      assert {:ok, %{watermark: 5}} = Instance.call(instance, upload("s", 2, 3))
      assert {:ok, %{watermark: 8}} = Instance.call(instance, upload("s", 3, 8))
      assert seqs(instance, "s") == Enum.to_list(1..8)
    end

    test "behind a gap are refused, and nothing of them is stored", %{instance: instance} do
      assert {:ok, %{watermark: 2}} = Instance.call(instance, upload("s", 1, 2))
      assert {:error, {:gap, %{watermark: 2}}} = Instance.call(instance, upload("s", 4, 6))
      {:upload, map} = upload("s", 3, 9)
      hole = {:upload, %{map | records: Enum.reject(map.records, &(&1.seq == 7))}}
      assert {:error, {:gap, %{watermark: 2}}} = Instance.call(instance, hole)
      assert seqs(instance, "s") == [1, 2]
      assert watermark(instance, "s") == 2
    end

    test "that the validation refuses are named, and nothing of the upload is stored; told as dropped the rest goes on" do
      instance = Instance.start!(validate: {__MODULE__, :no_threes})
      assert {:error, {:refused, %{seq: 3, reason: "no threes"}}} = Instance.call(instance, upload("s", 1, 5))
      assert watermark(instance, "s") == 0
      assert {:ok, %{watermark: 2}} = Instance.call(instance, upload("s", 1, 2))
      assert {:ok, %{watermark: 5}} = Instance.call(instance, upload("s", 4, 5, dropped: [{3, 3}]))
      assert seqs(instance, "s") == [1, 2, 4, 5]
      assert {:ok, %{dropped: 1}} = Store.stream(origin(), "s", instance.store)
      # What it raises is a refusal, and the process that takes the uploads goes on.
      assert {:error, {:refused, %{seq: 1, reason: reason}}} = Instance.call(instance, upload("raises", 1, 2))
      assert reason =~ "no such stream"
      assert {:ok, %{watermark: 1}} = Instance.call(instance, upload("other", 1, 1))
    end

    test "behind a range that the origin dropped are stored, and the loss is counted", %{instance: instance} do
      assert {:ok, %{watermark: 2}} = Instance.call(instance, upload("s", 1, 2))
      assert {:error, {:gap, _}} = Instance.call(instance, upload("s", 6, 7, dropped: [{3, 4}]))
      assert {:ok, %{watermark: 7}} = Instance.call(instance, upload("s", 6, 7, dropped: [{1, 3}, {4, 5}]))
      only = upload("s", 8, 20, dropped: [{8, 20}], merge: [records: []])
      assert {:ok, %{watermark: 20}} = Instance.call(instance, only)
      assert seqs(instance, "s") == [1, 2, 6, 7]
      assert {:ok, %{dropped: 16, records: 4}} = Store.stream(origin(), "s", instance.store)
    end

    test "make few nodes, none over its limits", %{instance: instance} do
      for seq <- 1..300, do: assert({:ok, _} = Instance.call(instance, upload("slow", seq, seq)))
      assert {:ok, _} = Instance.call(instance, upload("fast", 1, 1000))

      for n <- 0..9,
          do: assert({:ok, _} = Instance.call(instance, upload("big", n * 10 + 1, n * 10 + 10, bytes: 40_000)))

      assert {:ok, _} = Instance.call(instance, upload("huge", 1, 3, bytes: 400_000))

      assert batches(instance, "slow") == [256, 44]
      assert batches(instance, "fast") == [256, 256, 256, 232]
      assert batches(instance, "big") == List.duplicate(6, 16) ++ [4]
      assert batches(instance, "huge") == [1, 1, 1]

      for {stream, last} <- [{"slow", 300}, {"fast", 1000}, {"big", 100}] do
        assert seqs(instance, stream) == Enum.to_list(1..last)
      end
    end

    test "leave a running hash that whoever has the records can make too", %{instance: instance} do
      for {first, last} <- [{1, 7}, {5, 9}, {10, 300}], do: Instance.call(instance, upload("s", first, last))
      expected = Enum.reduce(1..300, Store.hash_zero(), &Store.hash(&2, record(&1)))
      assert {:ok, %{hash: ^expected}} = Store.stream(origin(), "s", instance.store)
    end

    test "arrive exactly once whatever is sent again, seen from a model", %{instance: instance} do
      seed = :rand.uniform(1_000_000_000)
      IO.puts("seed of the upload model: #{seed}")
      _ = :rand.seed(:exsss, seed)

      Enum.reduce(1..400, 0, fn _, stored ->
        first = max(1, stored + :rand.uniform(12) - 8)
        last = first + :rand.uniform(40) - 1

        case Instance.call(instance, upload("m", first, last)) do
          {:ok, %{watermark: watermark}} ->
            assert first <= stored + 1
            assert watermark == max(stored, last)
            watermark

          {:error, {:gap, %{watermark: watermark}}} ->
            assert first > stored + 1
            assert watermark == stored
            stored
        end
      end)

      assert seqs(instance, "m") == Enum.to_list(1..watermark(instance, "m"))
    end
  end

  describe "state" do
    test "is applied in order, whole, and read back", %{instance: instance} do
      assert {:ok, %{rev: 3}} = Instance.call(instance, state("lobby", 0, 3, %{"a" => 1, "b" => %{x: [1.5]}}))
      assert {:ok, %{rev: 4}} = Instance.call(instance, state("lobby", 3, 4, %{"c" => nil}, ["a", "never"]))
      assert {:ok, %{"b" => %{x: [1.5]}, "c" => nil}} == Store.state(origin(), "lobby", instance.store)
      assert {:ok, nil} == Store.state_value(origin(), "lobby", "c", instance.store)
      assert {:error, :not_found} == Store.state_value(origin(), "lobby", "a", instance.store)
      assert {:ok, %{"lobby" => %{epoch: 1, rev: 4}}} = Store.scopes(origin(), instance.store)
    end

    test "sent again, out of order, or by a former owner changes nothing", %{instance: instance} do
      assert {:ok, %{rev: 3}} = Instance.call(instance, state("z", 0, 3, %{"a" => 1}, [], 2))
      assert {:ok, %{rev: 3}} = Instance.call(instance, state("z", 0, 3, %{"a" => 2}, [], 2))
      assert {:error, {:gap, %{rev: 3, epoch: 2}}} = Instance.call(instance, state("z", 1, 4, %{"a" => 3}, [], 2))
      assert {:error, {:stale_epoch, %{epoch: 2}}} = Instance.call(instance, state("z", 3, 4, %{"a" => 4}, [], 1))
      assert {:ok, %{"a" => 1}} == Store.state(origin(), "z", instance.store)
    end

    test "may be a function without becoming a stored procedure", %{instance: instance} do
      assert {:ok, _} = Instance.call(instance, state("f", 0, 1, %{"f" => &is_atom/1}))
      assert {:ok, function} = Store.state_value(origin(), "f", "f", instance.store)
      assert function == (&is_atom/1)
    end
  end

  test "shapes that no sidekick sends are refused and change nothing", %{instance: instance} do
    {:upload, good} = upload("s", 1, 2)
    {:upload_state, good_state} = state("s", 0, 1, %{"a" => 1})
    [one, two] = good.records

    bad_uploads = [
      %{origin: ""},
      %{origin: :atom},
      %{origin: String.duplicate("x", 256)},
      %{stream: 7},
      %{stream: <<1::7>>},
      %{after: -1},
      %{after: 1},
      %{after: 1.0},
      %{first: 2},
      %{last: 3},
      %{last: 0xFFFF_FFFF_FFFF_FFFF + 1},
      %{records: nil},
      %{records: [one | two]},
      %{records: [two, one]},
      %{records: [one, one]},
      %{records: [%{one | seq: 0}, two]},
      %{records: [%{one | at_ms: "now"}, two]},
      %{records: [Map.delete(one, :payload), two]},
      %{records: %{}},
      %{dropped: [{2, 1}]},
      %{dropped: [{0, 1}]},
      %{dropped: [{5, 6}, {1, 2}]},
      %{dropped: [{1, 2} | {3, 4}]},
      %{dropped: :none}
    ]

    bad_states = [
      %{epoch: nil},
      %{rev: 0},
      %{put: [{"a", 1}]},
      %{put: %{a: 1}},
      %{put: %{"" => 1}},
      %{delete: ["a" | "b"]},
      %{delete: [:a]},
      %{delete: "a"}
    ]

    odd = [
      nil,
      :upload,
      {:upload, []},
      {:upload, %{}},
      {:watermark, nil, "s"},
      {:watermark, "o", ""},
      {:upload_state, %{}}
    ]

    requests =
      Enum.map(bad_uploads, &{:upload, Map.merge(good, &1)}) ++
        Enum.map(bad_states, &{:upload_state, Map.merge(good_state, &1)}) ++ odd

    for request <- requests do
      assert {^request, {:error, {:bad_request, %{field: _}}}} = {request, Instance.call(instance, request)}
    end

    many = for seq <- 1..4097, do: record(seq, bytes: 1)
    large = {:upload, %{good | last: 4097, records: many}}
    assert {:error, {:too_large, %{field: :records}}} = Instance.call(instance, large)
    send(instance.ingest, :anything)
    GenServer.cast(instance.ingest, :anything)
    assert seqs(instance, "s") == []
    assert {:ok, %{watermark: 2}} = Instance.call(instance, {:upload, good})
  end

  test "names that mean something to Khepri are names like others", %{instance: instance} do
    names = ["/", ".", "^", "*", "**", "a/b", <<0>>, <<255, 254>>, "root"]

    for name <- names do
      assert {:ok, %{watermark: 2}} = Instance.call(instance, upload(name, 1, 2))
      assert {:ok, _} = Instance.call(instance, state(name, 0, 1, %{name => name}))
      assert {:ok, %{^name => ^name}} = Store.state(origin(), name, instance.store)
      assert seqs(instance, name) == [1, 2]
    end

    assert {:ok, streams} = Store.streams(origin(), instance.store)
    assert Enum.map(streams, & &1.stream) == Enum.sort(names)
  end

  defp batches(instance, stream) do
    {:ok, %{records: records}} = Store.stream(origin(), stream, instance.store)
    path = Store.Paths.stream(origin(), stream) ++ [:batches, {:if_name_matches, :any, :undefined}]
    {:ok, found} = :khepri.get_many(instance.store, path)

    counts =
      for {path, batch} <- Enum.sort(found) do
        {last, _, _} = List.last(batch)
        assert <<last::64>> == List.last(path)
        assert length(batch) == 1 or batch |> Enum.map(&byte_size(elem(&1, 2))) |> Enum.sum() <= 256 * 1024
        length(batch)
      end

    assert Enum.sum(counts) == records
    counts
  end
end
