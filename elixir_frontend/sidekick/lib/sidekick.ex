defmodule Sidekick do
  @moduledoc """
  Talks to sidekick nodes, and holds what they upload.

  Each function asks the process `sidekick` on a sidekick's node with a plain `GenServer.call/3`; nothing of this library need
  run for that, only a connection between the nodes:

      iex> Sidekick.servers(:"sidekick@127.0.0.1")
      {:ok, [%{id: "lobby", state: :running, os_pid: 4242, ...}]}

  Answers are `:ok`, `{:ok, value}` or `{:error, %Sidekick.Error{}}`. A node that is away is an error, never an exit; an option that
  no function has, or a node that is no atom, is the caller's mistake and raises `ArgumentError`. Each
  function has a twin with `!` that gives the value alone or raises the error; only `stream!/3` and `events!/3` are more
  than that: lazy enumerables.

  The other half stores uploads in Khepri and stays connected to sidekicks. Put it into a supervision tree:

      children = [{Sidekick, data_dir: "var/store", nodes: [:"sidekick@127.0.0.1"]}]

  with the options of `Sidekick.Options`. Then see `Sidekick.Store` to read, and `Sidekick.Nodes` for who is there.

  ## Timeouts

  `timeout: ms` in the options of a function. The default is 5 s; 65 s for those that wait until a server has started,
  stopped or drained: a deadline of 60 s and 5 s on top. `deadline: ms` is for servers that are configured to take longer
  (`start_timeout`, `stop_timeout`): the call waits 5 s more than that. The work goes on if the caller leaves.
  """

  alias Sidekick.Client.{Call, Events, Records}
  alias Sidekick.{Error, Event}

  import Sidekick.Client.Bang, only: [bang: 1]

  # sidekick gives the database 30 s.
  @init_sink_ms 35_000
  @deadline_ms 60_000
  @grace_ms 5_000

  @typedoc "Id of a server: a binary in answers; an atom is taken too."
  @type id :: binary() | atom()
  @type result(value) :: {:ok, value} | {:error, Error.t()}
  @type done :: :ok | {:error, Error.t()}
  @type option :: {:timeout, timeout()}
  @type work_option :: option() | {:deadline, pos_integer()}
  @type topic ::
          :servers | {:server, id()} | {:logs, id()} | :crashes | {:stream, binary()} | :buffer | :peers | :sinks
  @typedoc "What a server does, with `:id`, `:state`, `:os_pid`, `:epoch`, `:restarts`, `:last_exit` and more."
  @type status :: %{:id => binary(), :state => atom(), optional(atom()) => term()}
  @type range :: %{first: pos_integer(), last: pos_integer()}
  @type stream_info :: %{
          :name => binary(),
          :first => non_neg_integer(),
          :last => non_neg_integer(),
          :bytes => non_neg_integer(),
          :cursors => %{binary() => non_neg_integer()},
          :dropped => non_neg_integer(),
          optional(atom()) => term()
        }
  @typedoc "A crash bundle in short, as `crashes/3` lists them."
  @type crash :: %{
          number: pos_integer(),
          at_ms: non_neg_integer(),
          reason: binary(),
          script_line: binary() | nil,
          bytes: non_neg_integer(),
          fingerprint: binary() | nil,
          count: pos_integer() | nil,
          first_seen_ms: non_neg_integer() | nil,
          last_seen_ms: non_neg_integer() | nil,
          damaged: binary() | nil
        }
  @type log_line :: %{
          at_ms: non_neg_integer(),
          source: :stdout | :stderr | :sidekick,
          line: binary(),
          cursor: integer()
        }
  @type log_option :: option() | {:limit, pos_integer()} | {:after, term()}
  @type append_option :: option() | {:producer, binary()} | {:batch, pos_integer()}
  @type stream_option :: option() | {:from, pos_integer() | :end} | {:follow, boolean()} | {:batch, pos_integer()}
  @type record :: %{seq: pos_integer(), at_ms: non_neg_integer(), payload: term()}

  @doc false
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(opts) do
    %{id: Keyword.get(opts, :name, __MODULE__), start: {Sidekick.Supervisor, :start_link, [opts]}, type: :supervisor}
  end

  @doc "The node itself: name, version, origin, uptime, peers, servers, buffer."
  @spec info(node(), [option()]) :: result(map())
  def info(node, opts \\ []), do: request(node, :info, opts)

  bang info(node :: node(), opts :: [option()]) :: map()

  @doc "Status of all servers."
  @spec servers(node(), [option()]) :: result([status()])
  def servers(node, opts \\ []), do: request(node, :servers, opts)

  bang servers(node :: node(), opts :: [option()]) :: [status()]

  @doc "Status of one server."
  @spec server(node(), id(), [option()]) :: result(status())
  def server(node, id, opts \\ []), do: request(node, {:server, id}, opts)

  bang server(node :: node(), id :: id(), opts :: [option()]) :: status()

  @doc "Starts a server that is configured; done once it runs."
  @spec start_server(node(), id(), [work_option()]) :: done()
  def start_server(node, id, opts \\ []), do: work(node, {:start_server, id}, opts)

  bang start_server(node :: node(), id :: id(), opts :: [work_option()]) :: :ok

  @doc "Stops a server gracefully, and keeps it stopped."
  @spec stop_server(node(), id(), [work_option()]) :: done()
  def stop_server(node, id, opts \\ []), do: work(node, {:stop_server, id}, opts)

  bang stop_server(node :: node(), id :: id(), opts :: [work_option()]) :: :ok

  @doc "Stops a server gracefully and starts it again; done once it runs."
  @spec restart_server(node(), id(), [work_option()]) :: done()
  def restart_server(node, id, opts \\ []), do: work(node, {:restart_server, id}, opts)

  bang restart_server(node :: node(), id :: id(), opts :: [work_option()]) :: :ok

  @doc """
  Restarts the servers of a group that are up one at a time, the next once the one before plays: `%{restarted: [id]}`. The first that
  does not come back ends it (`:incomplete`).
  """
  @spec rolling_restart(node(), id(), [work_option()]) :: result(map())
  def rolling_restart(node, group, opts \\ []), do: work(node, {:rolling_restart, group}, opts)

  bang rolling_restart(node :: node(), group :: id(), opts :: [work_option()]) :: map()

  @doc """
  Reads the configuration of that sidekick again and does what differs, or with `plan: true` only tells what would: `%{added:, changed:,
  removed:, unchanged:, needs_sidekick:, warnings:, file:, done:}`.
  """
  @spec reload(node(), [work_option() | {:plan, boolean()}]) :: result(map())
  def reload(node, opts \\ []) do
    {plan, opts} = Keyword.pop(opts, :plan, false)
    work(node, {:reload, %{plan: plan}}, opts)
  end

  bang reload(node :: node(), opts :: [work_option() | {:plan, boolean()}]) :: map()

  @doc "Asks the game to bring its play to an end; done once it has."
  @spec drain_server(node(), id(), [work_option()]) :: done()
  def drain_server(node, id, opts \\ []), do: work(node, {:drain_server, id}, opts)

  bang drain_server(node :: node(), id :: id(), opts :: [work_option()]) :: :ok

  @doc "Kills a server at once; its restart policy applies."
  @spec kill_server(node(), id(), [work_option()]) :: done()
  def kill_server(node, id, opts \\ []), do: work(node, {:kill_server, id}, opts)

  bang kill_server(node :: node(), id :: id(), opts :: [work_option()]) :: :ok

  @doc """
  Log lines of a server, oldest first: `%{at_ms:, source:, line:, cursor:}`.

  `limit:` how many (default 100), `after:` the cursor of a line to go on behind.
  """
  @spec logs(node(), id(), [log_option()]) :: result([log_line()])
  def logs(node, id, opts \\ []) do
    wanted = opts |> Keyword.take([:limit, :after]) |> Map.new() |> Map.put_new(:limit, 100)
    request(node, {:logs, id, wanted}, opts)
  end

  bang logs(node :: node(), id :: id(), opts :: [log_option()]) :: [log_line()]

  @doc """
  Crash bundles of a server, in short, the oldest first.

  `fingerprint` is the same for the same crash; `count`, `first_seen_ms` and `last_seen_ms` tell of all that were ever seen of it. Of a
  bundle whose file is damaged, `damaged` says what is wrong with it, and the fingerprint is `nil`.
  """
  @spec crashes(node(), id(), [option()]) :: result([crash()])
  def crashes(node, id, opts \\ []), do: request(node, {:crashes, id}, opts)

  bang crashes(node :: node(), id :: id(), opts :: [option()]) :: [crash()]

  @doc """
  One crash bundle, whole; docs/PROTOCOL.md has its fields. To begin with: `reason`, `detail`, `output.script_frames`, `activity` (what
  it did while it was silent), `beats`, `log`, and `facts.not_uploaded`.
  """
  @spec crash(node(), id(), pos_integer(), [option()]) :: result(map())
  def crash(node, id, number, opts \\ []), do: request(node, {:crash, id, number}, opts)

  bang crash(node :: node(), id :: id(), number :: pos_integer(), opts :: [option()]) :: map()

  @doc """
  Appends terms to a stream of sidekick's journal; answered once they are on disk.

  With `producer:` (a name) and `batch:` (a number that rises by one each time) a repeat is answered, not applied again: so
  an append whose outcome is unknown can be sent again.
  """
  @spec append(node(), binary(), [term()], [append_option()]) :: result(range())
  def append(node, stream, terms, opts \\ []) when is_list(terms) do
    case opts |> Keyword.take([:producer, :batch]) |> Map.new() do
      %{producer: _, batch: _} = once -> request(node, {:append, stream, terms, once}, opts)
      none when none == %{} -> request(node, {:append, stream, terms}, opts)
      _half -> raise ArgumentError, "append needs both :producer and :batch, or neither"
    end
  end

  bang append(node :: node(), stream :: binary(), terms :: [term()], opts :: [append_option()]) :: range()

  @doc """
  Up to `limit` records of a stream in sidekick's journal, from sequence `from` on; one answer holds at most 10,000 records
  or 16 MiB. See `stream!/3` for all of them.
  """
  @spec read(node(), binary(), pos_integer(), pos_integer(), [option()]) :: result([record()])
  def read(node, stream, from, limit, opts \\ []), do: request(node, {:read, stream, from, limit}, opts)

  bang read(node :: node(), stream :: binary(), from :: pos_integer(), limit :: pos_integer(), opts :: [option()]) :: [
         record()
       ]

  @doc """
  The streams of the journal: `%{name:, first:, last:, bytes:, cursors:, lag:, dropped:}` each; `lag` tells for each sink the
  `%{records:, bytes:, age_ms:}` that it has not acknowledged.
  """
  @spec streams(node(), [option()]) :: result([stream_info()])
  def streams(node, opts \\ []), do: request(node, :streams, opts)

  bang streams(node :: node(), opts :: [option()]) :: [stream_info()]

  @doc "One stream of the journal: what is known of it. Its raising twin is `stream_info!/3`."
  @spec stream(node(), binary(), [option()]) :: result(stream_info())
  def stream(node, stream, opts \\ []), do: stream_info(node, stream, opts)

  @doc "The same as `stream/3`, under a name that has a twin: `stream!/3` gives the records."
  @spec stream_info(node(), binary(), [option()]) :: result(stream_info())
  def stream_info(node, stream, opts \\ []), do: request(node, {:stream, stream}, opts)

  bang stream_info(node :: node(), stream :: binary(), opts :: [option()]) :: stream_info()

  @doc """
  The records of a stream, lazily: read in batches behind a cursor, so that nothing holds more than one batch.

      Sidekick.stream!(node, "match") |> Stream.filter(&match?(%{"kind" => "goal"}, &1.payload)) |> Enum.count()

      # Behind what was seen last, and on with what comes:
      for record <- Sidekick.stream!(node, "match", from: seen + 1, follow: true), do: handle(record)

  Options:

    * `from:` - the first sequence, default 1; `:end` for what is appended from now on
    * `follow:` - `true` waits for more at the end, for a stream that is not there yet too; with `false` (the default) the
      records up to the last one at the beginning are given
    * `batch:` - records in one read, default 500
    * `timeout:` - of one request

  What was trimmed is not there: look at `seq`. Raises `Sidekick.Error` where a request fails or the connection is lost; go
  on from the last `seq` then.
  """
  @spec stream!(node(), binary(), [stream_option()]) :: Enumerable.t(record())
  def stream!(node, stream, opts \\ []), do: Records.stream!(node, stream, opts)

  @doc "Sets a value of a scope (a server's scope is its id); done once it is on disk."
  @spec put_state(node(), binary(), binary(), term(), [option()]) :: done()
  def put_state(node, scope, key, term, opts \\ []), do: request(node, {:put_state, scope, key, term}, opts)

  bang put_state(node :: node(), scope :: binary(), key :: binary(), term :: term(), opts :: [option()]) :: :ok

  @doc "Removes a value of a scope; done once that is on disk."
  @spec delete_state(node(), binary(), binary(), [option()]) :: done()
  def delete_state(node, scope, key, opts \\ []), do: request(node, {:delete_state, scope, key}, opts)

  bang delete_state(node :: node(), scope :: binary(), key :: binary(), opts :: [option()]) :: :ok

  @doc "One value of a scope."
  @spec get_state(node(), binary(), binary(), [option()]) :: result(term())
  def get_state(node, scope, key, opts \\ []), do: request(node, {:get_state, scope, key}, opts)

  bang get_state(node :: node(), scope :: binary(), key :: binary(), opts :: [option()]) :: term()

  @doc """
  A value of a scope and its earlier ones, newest first, as many as `[[state]] history` keeps:
  `[%{rev: 12, value: term} | %{rev: 9, deleted: true}]`. Empty where the key is not known (any more).
  """
  @spec state_history(node(), binary(), binary(), [option()]) :: result([map()])
  def state_history(node, scope, key, opts \\ []), do: request(node, {:state_history, scope, key}, opts)

  bang state_history(node :: node(), scope :: binary(), key :: binary(), opts :: [option()]) :: [map()]

  @doc "All values of a scope."
  @spec state(node(), binary(), [option()]) :: result(%{binary() => term()})
  def state(node, scope, opts \\ []), do: request(node, {:state, scope}, opts)

  bang state(node :: node(), scope :: binary(), opts :: [option()]) :: %{binary() => term()}

  @doc """
  How each sink fares: name, kind, state, node, how far it lags (`lag_records`, `lag_bytes`, `lag_age_ms`), its circuit `breaker`
  (`%{state: :closed | :open | :half_open, since_ms:, failures:}`), its `dead_letters`, its last error.
  """
  @spec sinks(node(), [option()]) :: result([map()])
  def sinks(node, opts \\ []), do: request(node, :sinks, opts)

  bang sinks(node :: node(), opts :: [option()]) :: [map()]

  @doc "Gives up the cursors of a sink that is no longer configured, so that it pins nothing."
  @spec forget_sink(node(), binary(), [option()]) :: done()
  def forget_sink(node, sink, opts \\ []), do: request(node, {:forget_sink, sink}, opts)

  bang forget_sink(node :: node(), sink :: binary(), opts :: [option()]) :: :ok

  @doc """
  Makes the tables of a sink of kind `postgres` where they are missing, and checks those that are there. With `sql: true` it only gives
  the statements, for whoever may run them.
  """
  @spec init_sink(node(), binary(), [option() | {:sql, boolean()}]) :: result(map())
  def init_sink(node, sink, opts \\ []) do
    {sql, opts} = Keyword.pop(opts, :sql, false)
    request = if sql, do: {:init_sink, sink, %{sql: true}}, else: {:init_sink, sink}
    request(node, request, Keyword.put_new(opts, :timeout, @init_sink_ms))
  end

  bang init_sink(node :: node(), sink :: binary(), opts :: [option() | {:sql, boolean()}]) :: map()

  @doc "Waits until every sink has stored what is in the journal now, at most `deadline:` ms (default 60 s)."
  @spec drain_sinks(node(), [work_option()]) :: done()
  def drain_sinks(node, opts \\ []), do: work(node, {:drain_sinks, Keyword.get(opts, :deadline, @deadline_ms)}, opts)

  bang drain_sinks(node :: node(), opts :: [work_option()]) :: :ok

  @doc """
  Waits until a sink (`:all`: every sink) has stored what is in the journal now, at most `deadline:` ms (default 60 s):
  `%{sinks: [%{sink:, stored: true, streams: [%{stream:, last:, watermark:, stored:}], scopes:, error:}]}` with the watermarks that the
  stores themselves told since. Else the error `:not_drained`, with the same and what is missing.
  """
  @spec drain_sink(node(), binary() | :all, [work_option()]) :: result(map())
  def drain_sink(node, sink, opts \\ []),
    do: work(node, {:drain_sink, sink, %{timeout_ms: Keyword.get(opts, :deadline, @deadline_ms)}}, opts)

  bang drain_sink(node :: node(), sink :: binary() | :all, opts :: [work_option()]) :: map()

  @doc "Tries a sink at once whose circuit breaker is open, or that halted: the reason is looked at anew."
  @spec retry_sink(node(), binary(), [option()]) :: done()
  def retry_sink(node, sink, opts \\ []), do: request(node, {:retry_sink, sink}, opts)

  bang retry_sink(node :: node(), sink :: binary(), opts :: [option()]) :: :ok

  @doc """
  The records that a sink refused for what they hold:
  `[%{number:, stream:, seq:, at_ms:, payload:, error:, attempts:, dead_ms:, redriven_from:}]`.
  """
  @spec dead_letters(node(), binary(), [option()]) :: result([map()])
  def dead_letters(node, sink, opts \\ []), do: request(node, {:dead_letters, sink}, opts)

  bang dead_letters(node :: node(), sink :: binary(), opts :: [option()]) :: [map()]

  @doc """
  Offers a dead letter again, by its number, or `:all`: the record comes once more at the end of its stream, for this sink alone.
  """
  @spec redrive_dead(node(), binary(), pos_integer() | :all, [work_option()]) :: result(map())
  def redrive_dead(node, sink, number, opts \\ []), do: work(node, {:redrive_dead, sink, number}, opts)

  bang redrive_dead(node :: node(), sink :: binary(), number :: pos_integer() | :all, opts :: [work_option()]) :: map()

  @doc "Removes a dead letter for good, by its number, or `:all`."
  @spec discard_dead(node(), binary(), pos_integer() | :all, [work_option()]) :: result(map())
  def discard_dead(node, sink, number, opts \\ []), do: work(node, {:discard_dead, sink, number}, opts)

  bang discard_dead(node :: node(), sink :: binary(), number :: pos_integer() | :all, opts :: [work_option()]) :: map()

  @doc "Asks the script of a game server (its call handler), and gives what that returns."
  @spec call_game(node(), id(), term(), [option()]) :: result(term())
  def call_game(node, id, term, opts \\ []) do
    with {:ok, pid} <- pid(node, id, opts), do: Call.game(node, pid, term, opts)
  end

  bang call_game(node :: node(), id :: id(), term :: term(), opts :: [option()]) :: term()

  @doc "Sends a message to the script of a game server. `:ok` says that the server runs, not that it was read."
  @spec send_game(node(), id(), term(), [option()]) :: done()
  def send_game(node, id, term, opts \\ []) do
    with {:ok, pid} <- pid(node, id, opts) do
      send(pid, term)
      :ok
    end
  end

  bang send_game(node :: node(), id :: id(), term :: term(), opts :: [option()]) :: :ok

  @doc """
  Monitors the process that a server runs as now: `{:DOWN, ref, :process, pid, reason}` tells how it ended, by
  `{:signal, :sigsegv}`, `{:exit_status, 3}`, `:normal`, `:hang`, `:shutdown` or `:unknown`.
  """
  @spec monitor_server(node(), id(), [option()]) :: result(reference())
  def monitor_server(node, id, opts \\ []) do
    with {:ok, pid} <- pid(node, id, opts), do: {:ok, Process.monitor(pid)}
  end

  bang monitor_server(node :: node(), id :: id(), opts :: [option()]) :: reference()

  @doc """
  The node's servers as an OTP supervisor, for the functions of `Supervisor`.

      iex> Sidekick.supervisor(:"sidekick@game1")
      {:sidekick_sup, :"sidekick@game1"}
  """
  @spec supervisor(node()) :: {:sidekick_sup, node()}
  def supervisor(node), do: {:sidekick_sup, node}

  @doc """
  Sends events of these topics to the caller (or `pid: pid` on this node) until it ends or the connection is lost:

      {:sidekick_event, node, ref, %{topic:, type:, seq:, at_ms:, ...}}

  A receiver that is too slow gets one event of type `:lagged` for what it missed: read again what the events were about.
  After a lost connection subscribe again: `Sidekick.Nodes.subscribe/2` tells when. See `events!/3` for the same without
  messages in the mailbox.
  """
  @spec subscribe(node(), topic() | [topic()], [option() | {:pid, pid()}]) :: result(reference())
  def subscribe(node, topics, opts \\ []),
    do: request(node, {:subscribe, Keyword.get(opts, :pid, self()), List.wrap(topics)}, opts)

  bang subscribe(node :: node(), topics :: topic() | [topic()], opts :: [option() | {:pid, pid()}]) :: reference()

  @doc "Ends a subscription."
  @spec unsubscribe(node(), reference(), [option()]) :: done()
  def unsubscribe(node, ref, opts \\ []), do: request(node, {:unsubscribe, ref}, opts)

  bang unsubscribe(node :: node(), ref :: reference(), opts :: [option()]) :: :ok

  @doc """
  The events of these topics as an enumerable without end of `Sidekick.Event`.

      Sidekick.events!(node, [:servers, :crashes]) |> Enum.each(&page_somebody/1)

  The subscription begins with the enumeration and ends with it. At most `max_queue:` events (default 1000) wait for a slow
  consumer; then the oldest go, and one event of type `:lagged` says how many. Raises `Sidekick.Error` where the
  connection is lost.
  """
  @spec events!(node(), topic() | [topic()], [option() | {:max_queue, pos_integer()}]) :: Enumerable.t(Event.t())
  def events!(node, topics, opts \\ []), do: Events.stream!(node, List.wrap(topics), opts)

  @doc "Any request of the node's protocol, for one that this version has no function for."
  @spec request(node(), term(), [option()]) :: :ok | {:ok, term()} | {:error, Error.t()}
  def request(node, request, opts \\ []), do: Call.request(node, request, opts)

  bang request(node :: node(), request :: term(), opts :: [option()]) :: term()

  @doc "The same request to many nodes at once; takes no longer than one of them."
  @spec multi_request([node()], term(), [option()]) :: %{node() => :ok | {:ok, term()} | {:error, Error.t()}}
  def multi_request(nodes, request, opts \\ []), do: Call.multi(nodes, request, opts)

  defp work(node, request, opts) do
    deadline = Keyword.get(opts, :deadline, @deadline_ms)
    request(node, request, Keyword.put_new(opts, :timeout, deadline + @grace_ms))
  end

  # By pid, for an id that was read somewhere must not become an atom.
  defp pid(node, id, opts) do
    with {:ok, status} <- server(node, id, opts) do
      case status do
        %{pid: pid} when is_pid(pid) -> {:ok, pid}
        %{state: state} -> Call.error(node, :not_running, %{state: state})
      end
    end
  end
end
