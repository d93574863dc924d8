defmodule MyApp.MatchesTest do
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog
  import Sidekick.Test.Uploads

  alias EctoConsumer.Test.{Moments, Place, Wire}
  alias Sidekick.Consumer
  alias Sidekick.Test.Instance

  @moduletag timeout: 120_000
  # Transactions run as CockroachDB runs them, which PostgreSQL does where it is told.
  @strict [parameters: [default_transaction_isolation: "serializable"]]
  @batch 7

  setup_all do
    %{servers: Map.new(Place.names(), &{&1, Place.server!(&1)})}
  end

  setup %{servers: servers, place: place} do
    %{options: options, client: client} = Place.new!(servers[place])
    %{options: options, client: client, instance: Instance.start!(), moments: Moments.watch!()}
  end

  defp repo!(options), do: start_supervised!({MyApp.Repo, [pool_size: 1, log: false] ++ options})

  defp consumer!(instance) do
    options = [
      module: MyApp.Matches,
      name: "matches",
      streams: ["match"],
      store: instance.store,
      batch: @batch,
      max_attempts: 2,
      backoff_ms: {5, 50},
      poll_ms: 100
    ]

    child = Supervisor.child_spec({Consumer, options}, id: make_ref(), restart: :temporary)
    start_supervised!(child)
  end

  defp goal(seq), do: {seq, "goal", "player #{rem(seq, 5)}"}
  defp payload(seq), do: %{"kind" => "goal", "by" => "player #{rem(seq, 5)}"}

  defp put(instance, first, last, payload \\ &payload/1) do
    records = for seq <- first..last, do: %{seq: seq, at_ms: 1, payload: payload.(seq)}
    {:ok, _} = Instance.call(instance, upload("match", first, last, merge: [records: records]))
  end

  defp all_stand_once(client, last), do: assert(Place.stored(client) == {Enum.map(1..last, &goal/1), [last]})

  for place <- Place.names() do
    describe "#{place}:" do
      @describetag place: place

      test "killed before, within and after its commit, each record stands once", context do
        %{instance: instance, client: client, moments: moments} = context
        repo!(context.options)
        for first <- 1..381//20, do: put(instance, first, first + 19)
        rounds = for nth <- 1..3, moment <- [:goals, :watermark, :commit], _ <- 1..2, do: {nth, moment}

        reached =
          Enum.reduce(rounds, 0, fn {nth, moment}, before ->
            Moments.at(moments, moment, nth, fn -> Process.exit(self(), :kill) end)
            consumer = consumer!(instance)
            ref = Process.monitor(consumer)
            assert_receive {:DOWN, ^ref, _, _, reason} when reason in [:killed, :noproc], 20_000
            # What was committed counts, known to the consumer or not, and nothing else.
            now = before + @batch * if(moment == :commit, do: nth, else: nth - 1)
            assert {goals, watermark} = Place.stored(client)
            assert Enum.map(goals, &elem(&1, 0)) == Enum.to_list(1..now//1)
            assert watermark == if(now == 0, do: [], else: [now])
            now
          end)

        assert reached == 24 * @batch
        consumer = consumer!(instance)
        assert :ok = Consumer.drain(consumer)
        all_stand_once(client, 400)
        assert {:ok, []} = Consumer.dead_letters(consumer)
      end

      test "a serialization failure is tried again", context do
        %{instance: instance, client: client, moments: moments} = context
        repo!(context.options ++ @strict)
        put(instance, 1, 5)
        consumer = consumer!(instance)
        assert :ok = Consumer.drain(consumer)

        # More often than a record may fail: it must not count as the records' failure.
        for nth <- 1..4 do
          Moments.at(moments, :goals, nth, fn -> Postgrex.query!(client, "UPDATE watermarks SET seq = seq", []) end)
        end

        put(instance, 6, 10)
        assert :ok = Consumer.drain(consumer)
        all_stand_once(client, 10)
        assert {:ok, []} = Consumer.dead_letters(consumer)
        # CockroachDB may order the two by itself where nothing was read before.
        if context.place == :postgres,
          do: assert(Moments.refused(moments) == List.duplicate(:serialization_failure, 4))
      end

      test "connection lost while the database commits: nobody knows, and each record stands once", context do
        %{instance: instance, client: client, moments: moments, options: options} = context
        wire = Wire.start!(options[:hostname], options[:port])
        repo!(Keyword.merge(options, hostname: "127.0.0.1", port: wire.port))
        consumer = consumer!(instance)
        assert :ok = Consumer.drain(consumer)

        capture_log(fn ->
          Moments.at(moments, :watermark, fn -> Wire.withhold(wire) end)
          put(instance, 1, 5)
          assert_receive :withheld, 20_000
          # Committed, and the consumer still waits to hear of it.
          all_stand_once(client, 5)
          Wire.cut(wire)
          assert :ok = Consumer.drain(consumer)
          all_stand_once(client, 5)

          # And before the commit, more often than a record may fail: nothing of it was done.
          for nth <- 1..4, do: Moments.at(moments, :watermark, nth, fn -> Wire.cut(wire) end)
          put(instance, 6, 10)
          assert :ok = Consumer.drain(consumer)
        end)

        all_stand_once(client, 10)
        assert {:ok, []} = Consumer.dead_letters(consumer)
      end

      test "a record that the tables refuse is set aside alone, and stands there once driven again", context do
        %{instance: instance, client: client} = context
        repo!(context.options)
        put(instance, 1, 10, &if(&1 == 4, do: %{"by" => "player 4"}, else: payload(&1)))

        capture_log(fn ->
          consumer = consumer!(instance)
          assert :ok = Consumer.drain(consumer)
          assert {goals, [10]} = Place.stored(client)
          assert Enum.map(goals, &elem(&1, 0)) == [1, 2, 3, 5, 6, 7, 8, 9, 10]
          assert {:ok, [%{record: %{seq: 4}, reason: reason}]} = Consumer.dead_letters(consumer)
          assert reason =~ "not_null_violation"

          Postgrex.query!(client, "ALTER TABLE goals ALTER COLUMN kind SET DEFAULT 'unknown'", [])
          Postgrex.query!(client, "ALTER TABLE goals ALTER COLUMN kind DROP NOT NULL", [])
          assert :ok = Consumer.redrive(consumer, origin(), "match", 4)
          assert {:ok, []} = Consumer.dead_letters(consumer)
          # Had it taken the watermark back, whoever starts next would begin there.
          assert {goals, [10]} = Place.stored(client)
          assert Enum.at(goals, 3) == {4, nil, "player 4"}
        end)
      end
    end
  end

  @tag place: :postgres
  test "PostgreSQL: connections that the server ends in the middle are nobody's fault", context do
    %{instance: instance, client: client, moments: moments} = context
    repo!(context.options)
    put(instance, 1, 5)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = $1"

    capture_log(fn ->
      for nth <- 1..4,
          do: Moments.at(moments, :goals, nth, fn -> Postgrex.query!(client, others, [context.options[:database]]) end)

      consumer = consumer!(instance)
      assert :ok = Consumer.drain(consumer)
      all_stand_once(client, 5)
      assert {:ok, []} = Consumer.dead_letters(consumer)
    end)

    assert Moments.refused(moments) == List.duplicate(:admin_shutdown, 4)
  end

  # What CockroachDB says where a node dies while it commits.
  @tag place: :postgres
  test "PostgreSQL: a commit whose outcome the database itself does not know is nobody's fault", context do
    %{instance: instance, client: client, moments: moments} = context
    repo!(context.options)

    for sql <- [
          "CREATE SEQUENCE unknown",
          """
          CREATE FUNCTION unknown() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('unknown') <= 4 THEN RAISE EXCEPTION 'result is ambiguous' USING ERRCODE = '40003'; END IF;
            RETURN NULL; END $$
          """,
          """
          CREATE CONSTRAINT TRIGGER unknown AFTER INSERT ON watermarks DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION unknown()
          """
        ],
        do: Postgrex.query!(client, sql, [])

    capture_log(fn ->
      put(instance, 1, 5)
      consumer = consumer!(instance)
      assert :ok = Consumer.drain(consumer)
      all_stand_once(client, 5)
      assert {:ok, []} = Consumer.dead_letters(consumer)
    end)

    assert Moments.refused(moments) == List.duplicate(:statement_completion_unknown, 4)
  end
end
