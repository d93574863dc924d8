defmodule Sidekick.ConsumerTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Sidekick.Test.Eventually
  import Sidekick.Test.Uploads

  alias Sidekick.{Consumer, Store}
  alias Sidekick.Test.{Book, ExactBook, Instance}

  @moduletag timeout: 60_000

  defp consumer!(instance, module, table, opts \\ []) do
    defaults = [module: module, arg: table, name: "book", store: instance.store, backoff_ms: {5, 50}, poll_ms: 60_000]
    id = {Consumer, System.unique_integer()}
    start_supervised!(Supervisor.child_spec({Consumer, Keyword.merge(defaults, opts)}, id: id, restart: :temporary))
  end

  defp put_payloads(instance, stream, first, payloads) do
    records = for {payload, n} <- Enum.with_index(payloads), do: %{seq: first + n, at_ms: 1, payload: payload}
    last = first + length(payloads) - 1
    {:ok, _} = Instance.call(instance, upload(stream, first, last, merge: [records: records]))
  end

  test "records come in order, before and after the start, and drain waits for them" do
    instance = Instance.start!()
    table = Book.new()
    for first <- [1, 101, 201], do: Instance.call(instance, upload("s", first, first + 99))
    {:ok, _} = Instance.call(instance, upload("unwanted", 1, 5))
    consumer = consumer!(instance, Book, table, streams: ["s", "later"], batch: 30)
    assert :ok = Consumer.drain(consumer)
    assert Book.handled(table, "s") == Enum.to_list(1..300)

    # Told, not polled: the next poll is a minute away.
    {:ok, _} = Instance.call(instance, upload("s", 301, 400))
    {:ok, _} = Instance.call(instance, upload("later", 1, 3))
    eventually(fn -> length(Book.handled(table, "s")) == 400 and Book.handled(table, "later") == [1, 2, 3] end)
    assert Book.handled(table, "s") == Enum.to_list(1..400)
    assert Book.handled(table, "unwanted") == []
    idle = [%{stream: "later", cursor: 3, state: :idle}, %{stream: "s", cursor: 400, state: :idle}]
    eventually(fn -> Enum.map(Consumer.status(consumer), &Map.take(&1, [:stream, :cursor, :state])) == idle end)

    # Another process of that name goes on where this one was.
    GenServer.stop(consumer)
    {:ok, _} = Instance.call(instance, upload("s", 401, 410))
    assert :ok = Consumer.drain(consumer!(instance, Book, table, streams: ["s"]))
    assert Book.handled(table, "s") == Enum.to_list(1..410)
  end

  test "killed again and again: exactly once with its own watermark, at least once without" do
    instance = Instance.start!()
    {exact, least} = {Book.new(), Book.new()}
    upload = Task.async(fn -> for n <- 0..199, do: Instance.call(instance, upload("s", n * 5 + 1, n * 5 + 5)) end)

    for _ <- 1..25 do
      one = consumer!(instance, ExactBook, exact, name: "exact", batch: 7)
      two = consumer!(instance, Book, least, name: "least", batch: 7)
      goal = :rand.uniform(40) + length(Book.handled(exact, "s"))
      eventually(fn -> length(Book.handled(exact, "s")) >= min(goal, 1000) end)
      for pid <- [one, two], do: Process.exit(pid, :kill)
      for pid <- [one, two], do: eventually(fn -> not Process.alive?(pid) end)
    end

    Task.await(upload, 30_000)
    assert :ok = Consumer.drain(consumer!(instance, ExactBook, exact, name: "exact", batch: 7))
    assert :ok = Consumer.drain(consumer!(instance, Book, least, name: "least", batch: 7))
    assert Book.handled(exact, "s") == Enum.to_list(1..1000)
    seen = Book.handled(least, "s")
    assert Enum.uniq(seen) == Enum.to_list(1..1000)
  end

  test "of several of one name one handles records, and the next when it is killed" do
    instance = Instance.start!()
    table = Book.new()
    {:ok, _} = Instance.call(instance, upload("s", 1, 50))
    first = consumer!(instance, Book, table)
    assert :ok = Consumer.drain(first)
    [second, third] = for _ <- 1..2, do: consumer!(instance, Book, table)
    other = consumer!(instance, Book, table, name: "other", streams: ["t"])
    {:ok, _} = Instance.call(instance, upload("s", 51, 100))
    assert :ok = Consumer.drain(first)
    assert {:error, :standby} = Consumer.drain(second)
    assert {:error, :standby} = Consumer.drain(third)
    assert :ok = Consumer.drain(other)
    assert Book.handled(table, "s") == Enum.to_list(1..100)

    Process.exit(first, :kill)
    {:ok, _} = Instance.call(instance, upload("s", 101, 150))
    eventually(fn -> Book.handled(table, "s") == Enum.to_list(1..150) end)
    assert [:ok, {:error, :standby}] = Enum.sort(for(consumer <- [second, third], do: Consumer.drain(consumer)))

    # Another took over from one that was only cut off: it sees that before its next batch, and waits.
    [active] = Enum.filter([second, third], &(Consumer.drain(&1) == :ok))
    path = [:sidekick, :consumers, "book"]
    {:ok, %{holder: {_, vm} = token}} = :khepri.get(instance.store, path)
    taker = {pid, _} = {start_supervised!({Task, fn -> receive(do: (:end -> :ok)) end}), vm}
    assert {:ok, ^taker} = Store.transaction(instance.store, :claim, {"book", token, taker}, 5_000)
    {:ok, _} = Instance.call(instance, upload("s", 151, 200))
    eventually(fn -> Consumer.drain(active) == {:error, :standby} end)
    assert Book.handled(table, "s") == Enum.to_list(1..150)
    send(pid, :end)
    eventually(fn -> Book.handled(table, "s") == Enum.to_list(1..200) end)

    # Of a former life of this BEAM, without a name, is a pid that is somebody else's now.
    for pid <- [second, third], Process.alive?(pid), do: :ok = GenServer.stop(pid)
    :ok = :khepri.put(instance.store, path, %{holder: {self(), "another BEAM"}})
    assert :ok = Consumer.drain(consumer!(instance, Book, table))
  end

  test "what is away is waited for; what is bad is set aside alone, and can be driven again" do
    instance = Instance.start!()
    table = Book.new()
    :ets.insert(table, {:away, true})
    put_payloads(instance, "s", 1, Enum.map(1..9, &if(&1 in [3, 7], do: {:bad, &1}, else: &1)))
    put_payloads(instance, "fine", 1, [1, 2, 3])

    log =
      capture_log(fn ->
        consumer = consumer!(instance, Book, table, max_attempts: 2)

        eventually(fn ->
          Enum.any?(Consumer.status(consumer), &(&1.state == :waiting and &1.error == :database_away))
        end)

        :ets.delete(table, :away)
        assert :ok = Consumer.drain(consumer)
        assert Book.handled(table, "s") == [1, 2, 4, 5, 6, 8, 9]
        assert Book.handled(table, "fine") == [1, 2, 3]

        assert {:ok, [%{stream: "s", record: %{seq: 3, payload: {:bad, 3}}, reason: reason}, seven]} =
                 Consumer.dead_letters(consumer)

        assert reason =~ "cannot handle {:bad, 3}"
        assert seven.record.seq == 7

        assert {:error, _} = Consumer.redrive(consumer, origin(), "s", 3)
        assert {:error, :not_found} = Consumer.redrive(consumer, origin(), "s", 4)
        assert :ok = Consumer.drop_dead_letter(consumer, origin(), "s", 3)
        assert {:ok, [^seven]} = Consumer.dead_letters(consumer)

        # Mended meanwhile: another module of the same name handles it.
        GenServer.stop(consumer)
        mended = consumer!(instance, Sidekick.ConsumerTest.Mended, table)
        assert :ok = Consumer.redrive(mended, origin(), "s", 7)
        assert {:ok, []} = Consumer.dead_letters(mended)
        assert :ets.member(table, {:mended, 7})
      end)

    assert log =~ "set aside record 3 of s"
  end

  defmodule Mended do
    use Sidekick.Consumer

    @impl true
    def handle_batch(batch, table) do
      for %{payload: {:bad, n}} <- batch.records, do: :ets.insert(table, {{:mended, n}, true})
      {:ok, table}
    end
  end

  test "when all is bad nothing is lost: a few are set aside, then it waits" do
    instance = Instance.start!()
    table = Book.new()
    put_payloads(instance, "s", 1, Enum.map(1..20, &{:bad, &1}))

    capture_log(fn ->
      consumer = consumer!(instance, Book, table, max_attempts: 1, max_poison: 3)
      eventually(fn -> match?([%{state: :stalled, cursor: 3}], Consumer.status(consumer)) end)
      assert {:ok, [_, _, _]} = Consumer.dead_letters(consumer)
      assert {:error, :timeout} = Consumer.drain(consumer, 100)
      for _ <- 1..99, do: assert({:error, :timeout} = Consumer.drain(consumer, 1))
      assert {:error, :too_many_drains} = Consumer.drain(consumer)
    end)
  end

  test "what fell out of the window is told, and the rest is handled" do
    instance = Instance.start!(retention: [records: 256])
    table = Book.new()
    for first <- 1..901//100, do: {:ok, _} = Instance.call(instance, upload("s", first, first + 99))
    {:ok, %{first: first}} = Store.stream(origin(), "s", instance.store)
    assert first > 1

    log =
      capture_log(fn -> assert :ok = Consumer.drain(consumer!(instance, Book, table, batch: 2_000)) end)

    assert Book.handled(table, "s") == Enum.to_list(first..1000)
    assert [{:missed, missed}] = :ets.lookup(table, :missed)
    assert missed == first - 1
    assert log =~ "missed #{missed} records of s"
  end

  test "where the last records of a stream were dropped, everything is handled all the same" do
    instance = Instance.start!()
    table = Book.new()
    {:ok, _} = Instance.call(instance, upload("s", 1, 5))
    {:ok, %{watermark: 9}} = Instance.call(instance, upload("s", 6, 9, merge: [records: [], dropped: [{6, 9}]]))
    {:ok, %{watermark: 3}} = Instance.call(instance, upload("none", 1, 3, merge: [records: [], dropped: [{1, 3}]]))
    consumer = consumer!(instance, Book, table)
    assert :ok = Consumer.drain(consumer, 20_000)

    assert [%{stream: "none", cursor: 0, state: :idle}, %{stream: "s", cursor: 5, state: :idle}] =
             Consumer.status(consumer)

    {:ok, _} = Instance.call(instance, upload("s", 10, 11))
    log = capture_log(fn -> assert :ok = Consumer.drain(consumer, 20_000) end)
    assert Book.handled(table, "s") == [1, 2, 3, 4, 5, 10, 11]
    assert log =~ "missed 4 records of s"
  end

  defmodule Odd do
    # Handles, and answers what `table` holds.
    use Sidekick.Consumer

    @impl true
    def handle_batch(batch, table) do
      :ets.insert(table, {:last, batch.last})
      :ets.lookup_element(table, :answer, 2)
    end
  end

  test "an answer of no meaning is the code's mistake: nothing is set aside, it is told once, and goes on once it is mended" do
    instance = Instance.start!()
    table = Book.new()
    :ets.insert(table, {:answer, :ok})
    {:ok, _} = Instance.call(instance, upload("s", 1, 20))
    tried = fn consumer -> match?([%{state: :waiting, error: {:bad_return, :ok}}], Consumer.status(consumer)) end

    log =
      capture_log(fn ->
        consumer = consumer!(instance, Odd, table, max_attempts: 1, max_poison: 1)
        eventually(fn -> tried.(consumer) end)
        assert {:error, :timeout} = Consumer.drain(consumer, 300)
        assert {:ok, []} = Consumer.dead_letters(consumer)
        assert [%{cursor: 0, attempts: 0}] = Consumer.status(consumer)
        :ets.insert(table, {:answer, {:ok, table}})
        assert :ok = Consumer.drain(consumer, 20_000)
      end)

    assert [_, _] = String.split(log, "cannot handle 1 to 20 of s of #{origin()}, and tries again: {:bad_return, :ok}")
  end

  defmodule Unsure do
    # Its database says what `table` holds of how far it is.
    use Sidekick.Consumer

    @impl true
    def watermark(_origin, _stream, table) do
      :ets.update_counter(table, :asked, 1, {:asked, 0})

      case :ets.lookup_element(table, :answer, 2) do
        :raise -> raise "the database is away"
        answer -> answer
      end
    end

    @impl true
    def handle_batch(batch, table), do: Book.handle_batch(batch, table)
  end

  test "who does not know how far it is handles nothing, is asked again by polls alone, and ends nothing" do
    instance = Instance.start!()

    for {answer, told} <- [
          {:raise, "the database is away"},
          {{:error, :away}, ":away"},
          {{:ok, nil}, "{:bad_return, {:ok, nil}}"},
          {{:ok, -1}, "{:bad_return, {:ok, -1}}"},
          {7, "{:bad_return, 7}"}
        ] do
      table = Book.new()
      :ets.insert(table, {:answer, answer})
      stream = "s#{:erlang.unique_integer([:positive])}"
      {:ok, _} = Instance.call(instance, upload(stream, 1, 3))

      log =
        capture_log(fn ->
          consumer = consumer!(instance, Unsure, table, name: stream, streams: [stream], poll_ms: 60_000)
          # Each of these changes is a reason to look, and none to ask.
          for seq <- 4..9 do
            {:ok, _} = Instance.call(instance, upload(stream, seq, seq))
            send(consumer, {:sidekick_store, instance.store, {:changed, {:stream, origin(), stream}}})
          end

          assert [] = Consumer.status(consumer)
          assert [{:asked, 1}] = :ets.lookup(table, :asked)
          assert Book.handled(table, stream) == []
          :ets.insert(table, {:answer, {:ok, 2}})
          send(consumer, :poll)
          assert :ok = Consumer.drain(consumer, 20_000)
        end)

      assert Book.handled(table, stream) == Enum.to_list(3..9)
      assert log =~ told
    end
  end

  test "the store may go away and come back" do
    instance = Instance.start!()
    table = Book.new()
    {:ok, _} = Instance.call(instance, upload("s", 1, 5))
    consumer = consumer!(instance, Book, table, poll_ms: 50)
    assert :ok = Consumer.drain(consumer)

    capture_log(fn ->
      Instance.stop!(instance)
      assert {:error, _} = Consumer.drain(consumer, 2_000)
      Instance.start_again!(instance)
      {:ok, _} = Instance.call(instance, upload("s", 6, 9))
      eventually(fn -> Book.handled(table, "s") == Enum.to_list(1..9) end)
    end)
  end

  test "wrong options are named" do
    for {opts, named} <- [
          {[module: Book], ":name"},
          {[name: "x"], ":module"},
          {[name: "x", module: Book, batch: 0], ":batch"},
          {[name: "x", module: Book, nope: 1], ":nope"},
          {[name: "x", module: Book, streams: "match"], ":streams"},
          {[name: "x", module: Book, streams: [:match]], ":streams"},
          {[name: "x", module: Book, backoff_ms: 100], ":backoff_ms"},
          {[name: "x", module: Book, backoff_ms: {100, 10}], ":backoff_ms"},
          {[name: "x", module: Enum], "init/1"},
          {[name: "x", module: Nope], "Nope"}
        ] do
      assert_raise ArgumentError, ~r/#{named}/, fn -> Consumer.start_link(opts) end
    end
  end
end
