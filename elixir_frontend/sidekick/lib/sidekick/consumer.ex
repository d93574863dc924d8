defmodule Sidekick.Consumer do
  @moduledoc """
  Handles what is stored of streams, batch by batch, in your own code: into your own database, in your own transaction.

      defmodule MyApp.Matches do
        use Sidekick.Consumer

        @impl true
        def handle_batch(batch, state) do
          for record <- batch.records, do: IO.inspect(record.payload)
          {:ok, state}
        end
      end

      children = [
        {Sidekick, data_dir: "var/store"},
        {Sidekick.Consumer, module: MyApp.Matches, name: "matches", streams: ["match"]}
      ]

  Records of a stream come in order, and the next only once the ones before are handled. Streams, and the same stream of
  several origins, do not wait for each other's failures.

  ## At least once, or exactly once

  Without more, the library stores how far the consumer is *after* a batch was handled: whoever dies between sees that
  batch again. To see each record once in effect, store `batch.last` yourself in the transaction that handles the batch,
  and give it back by `c:watermark/3`. Two things are left that your tables have to bear: who loses the connection during
  a commit does not know its outcome and is given the batch again, and a record that was set aside comes after later ones
  if it is driven again. So let `(origin, stream, seq)` be the key of what you insert, and the watermark only grow. With
  Ecto on PostgreSQL or CockroachDB (`elixir_frontend/examples/ecto_consumer` has this, its tables and its tests):

      defmodule MyApp.Matches do
        use Sidekick.Consumer

        import Ecto.Query

        alias MyApp.Repo

        # The database goes away, wants the transaction again or does not know whether it committed (CockroachDB under
        # contention and as its nodes die): not the records' fault.
        @again [:serialization_failure, :statement_completion_unknown, :deadlock_detected] ++
                 [:admin_shutdown, :crash_shutdown, :cannot_connect_now]

        @impl true
        def watermark(origin, stream, _state) do
          query = from w in "watermarks", where: w.origin == ^origin and w.stream == ^stream, select: w.seq
          {:ok, Repo.one(query) || 0}
        end

        @impl true
        def handle_batch(batch, state) do
          key = %{origin: batch.origin, stream: batch.stream}
          goals = for %{seq: seq, payload: p} <- batch.records, do: Map.merge(key, %{seq: seq, kind: p["kind"], by: p["by"]})
          watermark = Map.put(key, :seq, batch.last)
          # A record that was set aside and is driven again must not take the watermark back.
          ahead = from w in "watermarks", update: [set: [seq: fragment("greatest(?, excluded.seq)", w.seq)]]

          {:ok, _} =
            Repo.transaction(fn ->
              # Who loses the connection during a commit does not know its outcome: the batch comes again.
              Repo.insert_all("goals", goals, on_conflict: :nothing, conflict_target: [:origin, :stream, :seq])
              Repo.insert_all("watermarks", [watermark], on_conflict: ahead, conflict_target: [:origin, :stream])
            end)

          {:ok, state}
        rescue
          error in DBConnection.ConnectionError -> {:retry, error, state}
          error in Postgrex.Error -> {if(error.postgres[:code] in @again, do: :retry, else: :error), error, state}
        end
      end

  ## Failures

    * `{:retry, reason, state}`: tried again with backoff, for ever. For what is not the records' fault.
    * `{:error, reason, state}`, and anything raised, thrown or exited: tried again with backoff, `:max_attempts` times.
      Then the records are handled one by one, and one that fails as often alone is set aside by `c:handle_poison/3`: by
      default as a dead letter in the store (`dead_letters/1`, `redrive/4`, `drop_dead_letter/4`).
    * Any other answer is a mistake of the code and not of the records: as `:retry`, and told.
    * The first failure of a batch is logged, and that nothing more is set aside.
    * If `:max_poison` records were set aside without a success between them, it is not the records: nothing more is set
      aside until one succeeds. So is it with 1000 dead letters of a stream.

  ## Options

    * `:module` (required), `:arg` - the callbacks; what `c:init/1` is given, default `nil`
    * `:name` (required) - a binary; under it progress and dead letters are kept
    * `:streams` - names, or `:all` (the default)
    * `:server` - a name for the process
    * `:store` - the store, default `:sidekick_store`
    * `:batch` - records in a batch at most, default 500
    * `:max_attempts` - default 5
    * `:max_poison` - default 10
    * `:backoff_ms` - first and longest pause, default `{100, 30_000}`
    * `:poll_ms` - how often to look without having been told, default 5000

  A consumer must keep up with the window that is kept of a stream: `batch.missed` says what was gone, and that is logged.

  ## On several nodes

  Start it on all of them: of the processes of one name on the members of a store one handles records, and the others wait for its
  end; `drain/2` of one that waits is `{:error, :standby}`. One that is cut off from the others may still be handling a batch when
  another takes over: a reason more for the keys above.
  """

  use GenServer

  alias Sidekick.Consumer.{Batch, Lane, Options, Progress, Turn}
  alias Sidekick.{Store, Telemetry}
  alias Sidekick.Store.Watch

  require Logger

  @drains_max 100

  @doc "The state that the other callbacks are given; default `:arg`."
  @callback init(arg :: term()) :: {:ok, state :: term()}
  @doc "How far your own database is; without it the library stores that."
  @callback watermark(origin :: binary(), stream :: binary(), state :: term()) ::
              {:ok, non_neg_integer()} | {:error, term()}
  @doc "Handles a batch, all of it or nothing."
  @callback handle_batch(Batch.t(), state :: term()) ::
              {:ok, state :: term()} | {:retry | :error, term(), state :: term()}
  @doc "Sets a record aside (the batch holds it alone); `:dead_letter` leaves that to the library."
  @callback handle_poison(Batch.t(), reason :: term(), state :: term()) :: {:ok, state :: term()} | :dead_letter
  @optional_callbacks watermark: 3

  defmacro __using__(_opts) do
    quote do
      @behaviour Sidekick.Consumer

      @impl Sidekick.Consumer
      def init(arg), do: {:ok, arg}
      @impl Sidekick.Consumer
      def handle_poison(_batch, _reason, _state), do: :dead_letter

      defoverridable init: 1, handle_poison: 3
    end
  end

  # `turn`: of `Turn`. `unopened`: streams of which it is not known how far they are, until the next poll.
  defstruct [
    :options,
    :rules,
    :state,
    :watch,
    :timer,
    :turn,
    lanes: %{},
    order: :queue.new(),
    drains: [],
    unopened: MapSet.new()
  ]

  @doc false
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(opts),
    do: %{id: {__MODULE__, opts[:name]}, start: {__MODULE__, :start_link, [opts]}, shutdown: 30_000}

  @doc "Starts a consumer."
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts) do
    options = Options.new!(opts)
    GenServer.start_link(__MODULE__, options, if(options.server, do: [name: options.server], else: []))
  end

  @doc "Handles everything that is stored by now; `:ok` once it is."
  @spec drain(GenServer.server(), timeout()) :: :ok | {:error, :timeout | :standby | :too_many_drains | term()}
  def drain(consumer, timeout \\ 60_000) do
    GenServer.call(consumer, :drain, timeout)
  catch
    :exit, {:timeout, _} -> {:error, :timeout}
  end

  @doc "How far each stream is: `%{origin:, stream:, cursor:, state:, attempts:, error:}`."
  @spec status(GenServer.server()) :: [map()]
  def status(consumer), do: GenServer.call(consumer, :status, 60_000)

  @doc "What was set aside: `%{origin:, stream:, record:, reason:, at_ms:}`."
  @spec dead_letters(GenServer.server()) :: {:ok, [map()]} | {:error, term()}
  def dead_letters(consumer), do: GenServer.call(consumer, :dead_letters, 60_000)

  @doc "Gives one that was set aside to `c:handle_batch/2` again, and forgets it if that succeeds."
  @spec redrive(GenServer.server(), binary(), binary(), pos_integer()) :: :ok | {:error, term()}
  def redrive(consumer, origin, stream, seq), do: GenServer.call(consumer, {:redrive, origin, stream, seq}, 60_000)

  @doc "Forgets one that was set aside."
  @spec drop_dead_letter(GenServer.server(), binary(), binary(), pos_integer()) :: :ok | {:error, term()}
  def drop_dead_letter(consumer, origin, stream, seq),
    do: GenServer.call(consumer, {:drop, origin, stream, seq}, 60_000)

  @impl GenServer
  def init(options) do
    Process.flag(:trap_exit, true)
    {:ok, state} = options.module.init(options.arg)
    rules = Map.take(options, [:max_attempts, :max_poison, :backoff_ms])
    {:ok, %__MODULE__{options: options, rules: rules, state: state}, {:continue, :poll}}
  end

  @impl GenServer
  def handle_continue(:poll, s), do: {:noreply, poll(s)}

  @impl GenServer
  # Who gave up waiting is not known here, so they are bounded.
  def handle_call(:drain, _from, %{drains: drains} = s) when length(drains) >= @drains_max,
    do: {:reply, {:error, :too_many_drains}, s}

  def handle_call(:drain, from, s) do
    case heads(s) do
      {:ok, heads} when is_tuple(s.turn) and elem(s.turn, 0) == :mine ->
        {:noreply, s |> look(heads) |> Map.update!(:drains, &[{from, heads} | &1]) |> drained() |> work_on()}

      {:ok, _heads} ->
        {:reply, {:error, :standby}, s}

      {:error, _} = error ->
        {:reply, error, s}
    end
  end

  def handle_call(:status, _from, s) do
    lanes =
      for {{origin, stream}, lane} <- Enum.sort(s.lanes),
          do: Map.merge(%{origin: origin, stream: stream}, Map.take(lane, [:cursor, :state, :attempts, :error]))

    {:reply, lanes, s}
  end

  def handle_call(:dead_letters, _from, s), do: {:reply, Progress.dead(s.options.store, s.options.name), s}

  def handle_call({:drop, origin, stream, seq}, _from, s),
    do: {:reply, Progress.drop(s.options.store, s.options.name, origin, stream, seq), s}

  def handle_call({:redrive, origin, stream, seq}, _from, %{options: %{store: store, name: name}} = s) do
    with {:ok, %{record: record}} <- Progress.dead(store, name, origin, stream, seq),
         batch = Batch.new(origin, stream, [record], seq - 1, 1),
         {:ok, state} <- run(batch, s) do
      {:reply, Progress.drop(store, name, origin, stream, seq), %{s | state: state}}
    else
      {:error, _} = error -> {:reply, error, s}
      {_kind, reason, state} -> {:reply, {:error, reason}, %{s | state: state}}
    end
  end

  @impl GenServer
  def handle_info(:poll, s), do: {:noreply, poll(s)}
  def handle_info(:work, s), do: {:noreply, work(%{s | timer: nil})}

  def handle_info({:sidekick_store, _, {:changed, {:stream, origin, stream}}}, %{turn: {:mine, _}} = s),
    do: {:noreply, s |> look(%{{origin, stream} => :unknown}) |> work_on()}

  def handle_info({:DOWN, ref, _, _, _}, %{watch: ref} = s), do: {:noreply, %{s | watch: nil}}

  def handle_info({:DOWN, ref, _, _, _}, %{turn: {:theirs, ref, _} = turn, options: options} = s),
    do: {:noreply, look_again(%{s | turn: Turn.succeed(turn, options.store, options.name)})}

  def handle_info({:EXIT, _pid, _reason}, s), do: {:noreply, s}
  def handle_info(_message, s), do: {:noreply, s}

  defp poll(s) do
    Process.send_after(self(), :poll, s.options.poll_ms)
    look_again(watch(s))
  end

  # Who cannot read the store has no turn: another may.
  defp look_again(%{options: %{store: store, name: name}} = s) do
    case heads(s) do
      {:ok, heads} ->
        s = %{s | turn: Turn.take(s.turn, store, name), unopened: MapSet.new()}
        if Turn.mine?(s.turn), do: s |> look(heads) |> work_on(), else: s

      {:error, reason} ->
        s |> leave(reason) |> told("cannot read the store: #{inspect(reason)}")
    end
  end

  defp leave(s, why) do
    for {from, _heads} <- s.drains, do: GenServer.reply(from, {:error, why})
    %{s | turn: Turn.leave(s.turn), lanes: %{}, order: :queue.new(), drains: []}
  end

  # The store may be starting again; being told is a help, the poll is what counts.
  defp watch(%{watch: nil} = s) do
    ref = Process.monitor(Watch.name(s.options.store))

    try do
      {:ok, _} = Watch.subscribe(self(), s.options.store)
      %{s | watch: ref}
    catch
      :exit, _ -> s
    end
  end

  defp watch(s), do: s

  defp heads(s) do
    with {:ok, heads} <- Progress.heads(s.options.store),
         do: {:ok, Map.filter(heads, fn {{_, stream}, _} -> wanted?(stream, s) end)}
  end

  defp wanted?(_stream, %{options: %{streams: :all}}), do: true
  defp wanted?(stream, %{options: %{streams: streams}}), do: stream in streams

  defp look(s, heads) do
    Enum.reduce(heads, s, fn {{_, stream} = key, head}, s ->
      case s.lanes do
        %{^key => lane} -> if Lane.reached?(lane, head), do: s, else: put(s, key, Lane.wake(lane))
        _ -> if wanted?(stream, s) and key not in s.unopened, do: open(s, key), else: s
      end
    end)
  end

  defp open(s, {origin, stream} = key) do
    case cursor(origin, stream, s) do
      {:ok, cursor} -> %{put(s, key, Lane.new(cursor, s.options.batch)) | order: :queue.in(key, s.order)}
      {:error, reason} -> unopened(s, key, reason)
    end
  end

  # Each change comes here again: neither the log nor a database that is away is to hear of each.
  defp unopened(s, {origin, stream} = key, reason) do
    s = %{s | unopened: MapSet.put(s.unopened, key)}
    told(s, "does not know how far #{stream} of #{origin} is, and asks again: #{inspect(reason)}")
  end

  defp cursor(origin, stream, %{options: %{module: module} = options} = s) do
    if function_exported?(module, :watermark, 3) do
      case guarded(fn -> {:answer, module.watermark(origin, stream, s.state)} end, s) do
        {:answer, {:ok, seq}} when is_integer(seq) and seq >= 0 -> {:ok, seq}
        {:answer, {:error, _} = error} -> error
        {:answer, other} -> {:error, {:bad_return, other}}
        {:error, reason, _state} -> {:error, reason}
      end
    else
      Progress.load(options.store, options.name, origin, stream)
    end
  end

  defp work(s) do
    case next(s, :queue.len(s.order), now_ms()) do
      {nil, s} -> s
      {key, s} -> if held?(s), do: key |> batch(s) |> drained(), else: s |> leave(:standby) |> look_again()
    end
    |> work_on()
  end

  defp held?(%{options: %{store: store, name: name}} = s), do: Turn.held?(s.turn, store, name)

  # In turn, so that no stream waits for another.
  defp next(s, 0, _now), do: {nil, s}

  defp next(s, left, now) do
    {{:value, key}, order} = :queue.out(s.order)
    s = %{s | order: :queue.in(key, order)}
    if Lane.ready?(s.lanes[key], now), do: {key, s}, else: next(s, left - 1, now)
  end

  # Calls and events come between two batches. A timer that fires too early finds nothing, and one too late is replaced.
  defp work_on(s) do
    if s.timer, do: Process.cancel_timer(s.timer)

    case s.lanes |> Map.values() |> Enum.map(&due/1) |> Enum.min(fn -> :never end) do
      :never -> %{s | timer: nil}
      due -> %{s | timer: Process.send_after(self(), :work, max(0, due - now_ms()))}
    end
  end

  # An atom is greater than every number.
  defp due(%{state: :ready}), do: -1_000_000_000_000
  defp due(%{state: :idle}), do: :never
  defp due(%{due_ms: due}), do: due

  defp batch({origin, stream} = key, s) do
    lane = s.lanes[key]

    case Store.records(origin, stream, lane.cursor + 1, lane.limit, s.options.store) do
      {:ok, []} -> emptied(key, lane, s)
      {:ok, records} -> handle(key, lane, Batch.new(origin, stream, records, lane.cursor, lane.attempts + 1), s)
      {:error, reason} -> failed(key, lane, :retry, %{records: [], last: 0}, reason, s)
    end
  end

  # The last records of a stream may have been dropped, so that none comes up to its watermark. Where there is nothing behind a
  # watermark that was read before, it is reached.
  defp emptied({origin, stream} = key, lane, %{options: %{store: store}} = s) do
    with {:ok, %{watermark: head}} <- Store.stream(origin, stream, store),
         {:ok, []} <- Store.records(origin, stream, lane.cursor + 1, 1, store) do
      put(s, key, Lane.idle(lane, head))
    else
      {:ok, _records} -> s
      {:error, :not_found} -> put(s, key, Lane.idle(lane, 0))
      {:error, reason} -> failed(key, lane, :retry, %{records: [], last: 0}, reason, s)
    end
  end

  defp handle({origin, stream} = key, lane, batch, s) do
    if batch.missed > 0 and batch.attempt == 1 do
      told(s, "missed #{batch.missed} records of #{stream} of #{origin} before #{batch.first}: not stored any more")
    end

    began = System.monotonic_time()
    outcome = run(batch, s)
    measured = %{duration: System.monotonic_time() - began, records: length(batch.records), missed: batch.missed}
    result = elem(outcome, 0)
    metadata = %{consumer: s.options.name, origin: origin, stream: stream, result: result}
    Telemetry.execute([:sidekick, :consumer, :batch], measured, metadata)

    case outcome do
      {:ok, state} -> done(key, Lane.done(lane, batch.last), %{s | state: state})
      {kind, reason, state} -> failed(key, lane, kind, batch, reason, %{s | state: state})
    end
  end

  defp run(batch, s) do
    case guarded(fn -> s.options.module.handle_batch(batch, s.state) end, s) do
      {:ok, _state} = ok -> ok
      {kind, _reason, _state} = failed when kind in [:retry, :error] -> failed
      other -> {:retry, {:bad_return, other}, s.state}
    end
  end

  # One mistaken record must not end the consumer of all others.
  defp guarded(fun, s) do
    fun.()
  catch
    kind, reason -> {:error, Exception.format_banner(kind, reason, __STACKTRACE__), s.state}
  end

  defp failed(key, lane, kind, batch, reason, s) do
    if lane.error == nil, do: first_failure(key, batch, reason, s)

    case Lane.failed(lane, kind, batch, reason, now_ms(), :rand.uniform(), s.rules) do
      {:wait, lane} ->
        if lane.state == :stalled, do: told(s, "sets nothing more aside of #{elem(key, 1)}: #{inspect(reason)}")
        put(s, key, lane)

      {:poison, lane} ->
        poison(key, lane, batch, reason, s)
    end
  end

  defp first_failure({origin, stream}, batch, reason, s) do
    what = if batch.records == [], do: "read", else: "handle #{batch.first} to #{batch.last} of"

    Logger.warning(
      "consumer #{s.options.name} cannot #{what} #{stream} of #{origin}, and tries again: #{inspect(reason)}"
    )
  end

  defp poison({origin, stream} = key, lane, batch, reason, %{options: options} = s) do
    [record] = batch.records

    outcome =
      with :dead_letter <- guarded(fn -> options.module.handle_poison(batch, reason, s.state) end, s),
           text = reason |> inspect(limit: 50, printable_limit: 1_000) |> String.slice(0, 2_000),
           :ok <- Progress.set_aside(options.store, options.name, origin, stream, record, text),
           do: {:ok, s.state}

    case outcome do
      {:ok, state} ->
        metadata = %{consumer: options.name, origin: origin, stream: stream, seq: record.seq}
        Telemetry.execute([:sidekick, :consumer, :poison], %{count: 1}, metadata)
        told(s, "set aside record #{record.seq} of #{stream} of #{origin}: #{inspect(reason)}")
        done(key, Lane.set_aside(lane, record.seq), %{s | state: state})

      failed ->
        {:wait, lane} = Lane.failed(lane, :retry, batch, failed, now_ms(), :rand.uniform(), s.rules)
        put(told(s, "cannot set aside record #{record.seq} of #{stream}: #{inspect(failed)}"), key, lane)
    end
  end

  defp done({origin, stream} = key, lane, %{options: options} = s) do
    unless function_exported?(options.module, :watermark, 3) do
      # If it is not stored it is handled again after a restart, which is what at least once means.
      with {:error, reason} <- Progress.save(options.store, options.name, origin, stream, lane.cursor),
           do: told(s, "could not store its progress: #{inspect(reason)}")
    end

    put(s, key, lane)
  end

  defp drained(s) do
    {done, drains} = Enum.split_with(s.drains, fn {_from, heads} -> Enum.all?(heads, &reached?(&1, s)) end)
    Enum.each(done, fn {from, _heads} -> GenServer.reply(from, :ok) end)
    %{s | drains: drains}
  end

  defp reached?({key, head}, s), do: is_map_key(s.lanes, key) and Lane.reached?(s.lanes[key], head)

  defp put(s, key, lane), do: %{s | lanes: Map.put(s.lanes, key, lane)}

  defp told(s, text) do
    Logger.error("consumer #{s.options.name} #{text}")
    s
  end

  defp now_ms, do: System.monotonic_time(:millisecond)
end
