defmodule Sidekick do
  @moduledoc """
  Talks to sidekick nodes, and holds what they upload.

  Each function asks the process `sidekick` on a sidekick's node with a plain `GenServer.call/3`; nothing of this library need
  run for that, only a connection between the nodes:

      iex> Sidekick.servers(:"sidekick@127.0.0.1")
      {:ok, [%{id: "lobby", state: :running, os_pid: 4242, ...}]}

  Answers are `:ok`, `{:ok, value}` or `{:error, %Sidekick.Error{}}`. A node that is away is an error, never an exit.

  The other half stores uploads in Khepri and stays connected to sidekicks. Put it into a supervision tree:

      children = [{Sidekick, data_dir: "var/store", nodes: [:"sidekick@127.0.0.1"]}]

  with the options of `Sidekick.Options`. Then see `Sidekick.Store` to read, and `Sidekick.Nodes` for who is there.

  ## Timeouts

  `timeout: ms` in the options of a function. The default is 5 s; 65 s for those that wait until a server has started,
  stopped or drained: sidekick's own deadline of at most 60 s, and 5 s on top. The work goes on if the caller leaves.
  """

  alias Sidekick.Error

  @timeout_ms 5_000
  @deadline_ms 65_000

  @typedoc "Id of a server: a binary in answers; an atom is taken too."
  @type id :: binary() | atom()
  @type result(value) :: {:ok, value} | {:error, Error.t()}
  @type done :: :ok | {:error, Error.t()}
  @type option :: {:timeout, timeout()}
  @type topic ::
          :servers | {:server, id()} | {:logs, id()} | :crashes | {:stream, binary()} | :buffer | :peers
  @typedoc "What a server does, with `:id`, `:state`, `:os_pid`, `:epoch`, `:restarts`, `:last_exit` and more."
  @type status :: %{:id => binary(), :state => atom(), optional(atom()) => term()}
  @type record :: %{seq: pos_integer(), at_ms: non_neg_integer(), payload: term()}

  @doc false
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(opts) do
    %{id: Keyword.get(opts, :name, __MODULE__), start: {Sidekick.Supervisor, :start_link, [opts]}, type: :supervisor}
  end

  @doc "The node itself: name, version, origin, uptime, peers, servers, buffer."
  @spec info(node(), [option()]) :: result(map())
  def info(node, opts \\ []), do: request(node, :info, opts)

  @doc "Status of all servers."
  @spec servers(node(), [option()]) :: result([status()])
  def servers(node, opts \\ []), do: request(node, :servers, opts)

  @doc "Status of one server."
  @spec server(node(), id(), [option()]) :: result(status())
  def server(node, id, opts \\ []), do: request(node, {:server, id}, opts)

  @doc "Starts a server that is configured; done once it runs."
  @spec start_server(node(), id(), [option()]) :: done()
  def start_server(node, id, opts \\ []), do: work(node, {:start_server, id}, opts)

  @doc "Stops a server gracefully, and keeps it stopped."
  @spec stop_server(node(), id(), [option()]) :: done()
  def stop_server(node, id, opts \\ []), do: work(node, {:stop_server, id}, opts)

  @doc "Stops a server gracefully and starts it again; done once it runs."
  @spec restart_server(node(), id(), [option()]) :: done()
  def restart_server(node, id, opts \\ []), do: work(node, {:restart_server, id}, opts)

  @doc """
  Restarts the servers of a group that are up one at a time, the next once the one before plays: `%{restarted: [id]}`. The first that
  does not come back ends it (`:incomplete`).
  """
  @spec rolling_restart(node(), id(), [option()]) :: result(map())
  def rolling_restart(node, group, opts \\ []), do: work(node, {:rolling_restart, group}, opts)

  @doc """
  Reads the configuration of that sidekick again and does what differs, or with `plan: true` only tells what would: `%{added:, changed:,
  removed:, unchanged:, needs_sidekick:, warnings:, file:, done:}`.
  """
  @spec reload(node(), [option() | {:plan, boolean()}]) :: result(map())
  def reload(node, opts \\ []) do
    {plan, opts} = Keyword.pop(opts, :plan, false)
    work(node, {:reload, %{plan: plan}}, opts)
  end

  @doc "Asks the game to bring its play to an end; done once it has."
  @spec drain_server(node(), id(), [option()]) :: done()
  def drain_server(node, id, opts \\ []), do: work(node, {:drain_server, id}, opts)

  @doc "Kills a server at once; its restart policy applies."
  @spec kill_server(node(), id(), [option()]) :: done()
  def kill_server(node, id, opts \\ []), do: work(node, {:kill_server, id}, opts)

  @doc """
  Log lines of a server, oldest first: `%{at_ms:, source:, line:, cursor:}`.

  `limit:` how many (default 100), `after:` the cursor of a line to go on behind.
  """
  @spec logs(node(), id(), [option() | {:limit, pos_integer()} | {:after, term()}]) :: result([map()])
  def logs(node, id, opts \\ []) do
    wanted = opts |> Keyword.take([:limit, :after]) |> Map.new() |> Map.put_new(:limit, 100)
    request(node, {:logs, id, wanted}, opts)
  end

  @doc "Crash bundles of a server, in short."
  @spec crashes(node(), id(), [option()]) :: result([map()])
  def crashes(node, id, opts \\ []), do: request(node, {:crashes, id}, opts)

  @doc "One crash bundle, whole."
  @spec crash(node(), id(), pos_integer(), [option()]) :: result(map())
  def crash(node, id, number, opts \\ []), do: request(node, {:crash, id, number}, opts)

  @doc """
  Appends terms to a stream of sidekick's journal; answered once they are on disk.

  With `producer:` (a name) and `batch:` (a number that rises by one each time) a repeat is answered, not applied again: so
  an append whose outcome is unknown can be sent again.
  """
  @spec append(node(), binary(), [term()], [option() | {:producer, binary()} | {:batch, pos_integer()}]) ::
          result(%{first: pos_integer(), last: pos_integer()})
  def append(node, stream, terms, opts \\ []) when is_list(terms) do
    case opts |> Keyword.take([:producer, :batch]) |> Map.new() do
      %{producer: _, batch: _} = once -> request(node, {:append, stream, terms, once}, opts)
      none when none == %{} -> request(node, {:append, stream, terms}, opts)
      _half -> raise ArgumentError, "append needs both :producer and :batch, or neither"
    end
  end

  @doc "Up to `limit` records of a stream in sidekick's journal, from sequence `from` on."
  @spec read(node(), binary(), pos_integer(), pos_integer(), [option()]) :: result([record()])
  def read(node, stream, from, limit, opts \\ []), do: request(node, {:read, stream, from, limit}, opts)

  @doc "The streams of the journal: `%{name:, first:, last:, bytes:, cursors:, dropped:}` each."
  @spec streams(node(), [option()]) :: result([map()])
  def streams(node, opts \\ []), do: request(node, :streams, opts)

  @doc "One stream of the journal."
  @spec stream(node(), binary(), [option()]) :: result(map())
  def stream(node, stream, opts \\ []), do: request(node, {:stream, stream}, opts)

  @doc "Sets a value of a scope (a server's scope is its id); done once it is on disk."
  @spec put_state(node(), binary(), binary(), term(), [option()]) :: done()
  def put_state(node, scope, key, term, opts \\ []), do: request(node, {:put_state, scope, key, term}, opts)

  @doc "Removes a value of a scope; done once that is on disk."
  @spec delete_state(node(), binary(), binary(), [option()]) :: done()
  def delete_state(node, scope, key, opts \\ []), do: request(node, {:delete_state, scope, key}, opts)

  @doc "One value of a scope."
  @spec get_state(node(), binary(), binary(), [option()]) :: result(term())
  def get_state(node, scope, key, opts \\ []), do: request(node, {:get_state, scope, key}, opts)

  @doc "All values of a scope."
  @spec state(node(), binary(), [option()]) :: result(%{binary() => term()})
  def state(node, scope, opts \\ []), do: request(node, {:state, scope}, opts)

  @doc """
  Sends events of these topics to the caller (or `pid: pid` on this node) until it ends or the connection is lost:

      {:sidekick_event, node, ref, %{topic:, type:, seq:, at_ms:, ...}}

  A receiver that is too slow gets one event of type `:lagged` for what it missed. After a lost connection subscribe again:
  `Sidekick.Nodes.subscribe/2` tells when.
  """
  @spec subscribe(node(), topic() | [topic()], [option() | {:pid, pid()}]) :: result(reference())
  def subscribe(node, topics, opts \\ []),
    do: request(node, {:subscribe, Keyword.get(opts, :pid, self()), List.wrap(topics)}, opts)

  @doc "Ends a subscription."
  @spec unsubscribe(node(), reference(), [option()]) :: done()
  def unsubscribe(node, ref, opts \\ []), do: request(node, {:unsubscribe, ref}, opts)

  @doc "Any request of the node's protocol, for one that this version has no function for."
  @spec request(node(), term(), [option()]) :: :ok | {:ok, term()} | {:error, Error.t()}
  def request(node, request, opts \\ []), do: call(node, request, Keyword.get(opts, :timeout, @timeout_ms))

  defp work(node, request, opts), do: request(node, request, Keyword.put_new(opts, :timeout, @deadline_ms))

  defp call(node, request, timeout) do
    case GenServer.call({:sidekick, node}, request, timeout) do
      :ok -> :ok
      {:ok, _value} = ok -> ok
      {:error, {code, %{} = details}} when is_atom(code) -> error(node, code, details)
      other -> error(node, :bad_reply, %{reply: other})
    end
  catch
    :exit, {reason, {GenServer, :call, _}} -> error(node, code(reason), details(reason))
  end

  defp code(:noproc), do: :no_sidekick
  defp code(:timeout), do: :timeout
  defp code({:nodedown, _}), do: :not_connected
  defp code(:noconnection), do: :not_connected
  defp code(_reason), do: :failed

  defp details(reason), do: if(code(reason) == :failed, do: %{reason: reason}, else: %{})

  defp error(node, code, details), do: {:error, %Error{code: code, node: node, details: details}}
end
