defmodule Sidekick.Helpers do
  @moduledoc """
  Tables for the shell, in a remote one too (`iex --remsh frontend@host`):

      iex> import Sidekick.Helpers
      iex> servers()
      NODE                SERVER  STATE    OS PID  FOR     EPOCH  RESTARTS  LAST EXIT  MEMORY
      sidekick@127.0.0.1  lobby   running  4242    3m 20s  2      1         :hang      124.0 MiB

  Each function takes one node or a list; without one it asks all sidekicks that this node is connected to. A node that does not
  answer has a line of its own. For values to go on with use `Sidekick`.
  """

  alias Sidekick.Error
  alias Sidekick.Helpers.Table

  # What IEx prints nothing for, in every version; `IEx.dont_display_result/0` is not there where IEx is not.
  @quiet :"do not show this result in output"

  @type where :: node() | [node()]
  @type quiet :: :"do not show this result in output"

  @doc "The sidekicks this node is connected to: every connected node with a process `sidekick`, also one that does not answer in time."
  @spec sidekicks() :: [node()]
  def sidekicks do
    for {node, answer} <- Sidekick.multi_request(Node.list(:connected), :info), sidekick?(answer), do: node
  end

  defp sidekick?({:ok, %{origin: _}}), do: true
  defp sidekick?({:error, %Error{code: :timeout}}), do: true
  defp sidekick?(_answer), do: false

  @doc "Prints the nodes: version, uptime, servers, how full the buffer is."
  @spec nodes(where()) :: quiet()
  def nodes(where \\ sidekicks()) do
    ask(where, :info, ["NODE", "VERSION", "UP", "INCARNATION", "SERVERS", "BUFFER", "OF", "FULL", "ORIGIN"], fn info ->
      buffer = info.buffer

      [
        [info.version, Table.duration(info.uptime_ms), info.incarnation, length(info.servers)] ++
          [Table.bytes(buffer[:bytes]), Table.bytes(buffer[:max_bytes]), buffer[:full], info.origin]
      ]
    end)
  end

  @doc "Prints the servers and how each fares."
  @spec servers(where()) :: quiet()
  def servers(where \\ sidekicks()) do
    headings =
      ["NODE", "SERVER", "STATE", "OS PID", "FOR", "EPOCH", "RESTARTS", "LAST EXIT", "MEMORY"] ++
        ["STANDBY", "PROBLEM"]

    ask(where, :servers, headings, fn servers ->
      for server <- servers do
        [server.id, server.state, server[:os_pid], since(server[:since_ms]), server[:epoch], server[:restarts]] ++
          [last_exit(server), memory(server), server[:standby][:state], server[:problem]]
      end
    end)
  end

  @doc "Prints the streams of the journal, and how far each sink is."
  @spec streams(where()) :: quiet()
  def streams(where \\ sidekicks()) do
    ask(where, :streams, ["NODE", "STREAM", "FIRST", "LAST", "SIZE", "DROPPED", "SINKS BEHIND"], fn streams ->
      for stream <- streams do
        [stream.name, stream.first, stream.last, Table.bytes(stream.bytes), stream.dropped, behind(stream)]
      end
    end)
  end

  @sink_columns ["NODE", "SINK", "KIND", "STATE", "TO", "RECORDS BEHIND", "BYTES BEHIND", "FOR"] ++
                  ["BREAKER", "DEAD", "REFUSED SCOPES", "ERROR"]

  @doc "Prints how the sinks fare."
  @spec sinks(where()) :: quiet()
  def sinks(where \\ sidekicks()) do
    ask(where, :sinks, @sink_columns, fn sinks ->
      for sink <- sinks do
        [sink.name, sink.kind, sink.state, sink[:node], sink[:lag_records], Table.bytes(sink[:lag_bytes])] ++
          [Table.duration(sink[:lag_age_ms]), get_in(sink, [:breaker, :state]), sink[:dead_letters]] ++
          [length(sink[:refused_scopes] || []), sink[:error]]
      end
    end)
  end

  @doc "Prints the nodes that each sidekick is connected to."
  @spec peers(where()) :: quiet()
  def peers(where \\ sidekicks()) do
    ask(where, :info, ["NODE", "PEER", "HIDDEN", "FOR"], fn %{peers: peers} ->
      for peer <- peers, do: [peer.node, peer[:hidden], since(peer[:since_ms])]
    end)
  end

  @doc "Prints what the fleet knows of all sidekicks, those that are down too (`Sidekick.Fleet`)."
  @spec fleet(GenServer.server()) :: quiet()
  def fleet(fleet \\ Sidekick.Fleet) do
    rows =
      for entry <- Sidekick.Fleet.list(fleet) do
        [entry.node, entry.state, since(entry.since_ms), entry.version, length(entry.servers), problems(entry)]
      end

    print(["NODE", "STATE", "FOR", "VERSION", "SERVERS", "PROBLEMS"], rows)
  end

  @doc "Prints the crashes of a server, or of all of them."
  @spec crashes(where(), Sidekick.id() | :all) :: quiet()
  def crashes(where \\ sidekicks(), id \\ :all) do
    rows = for node <- List.wrap(where), row <- crash_rows(node, ids(node, id)), do: row
    print(["NODE", "SERVER", "NUMBER", "AT", "REASON", "SCRIPT LINE", "FINGERPRINT", "SEEN"], rows)
  end

  @doc "Prints one crash bundle, whole."
  @spec crash(node(), Sidekick.id(), pos_integer()) :: quiet()
  def crash(node, id, number) do
    case Sidekick.crash(node, id, number) do
      {:ok, bundle} -> print(["FIELD", "VALUE"], for({key, value} <- Enum.sort(bundle), do: [key, value]))
      {:error, error} -> print(["NODE", "ERROR"], [[node, Exception.message(error)]])
    end
  end

  @doc "Prints the last log lines of a server; options as for `Sidekick.logs/3`."
  @spec logs(node(), Sidekick.id(), [Sidekick.log_option()]) :: quiet()
  def logs(node, id, opts \\ [limit: 20]) do
    case Sidekick.logs(node, id, opts) do
      {:ok, lines} ->
        print(["AT", "FROM", "LINE"], for(line <- lines, do: [Table.time(line.at_ms), line.source, line.line]))

      {:error, error} ->
        print(["NODE", "ERROR"], [[node, Exception.message(error)]])
    end
  end

  defp ask(where, request, [_ | columns] = headings, to_rows) do
    answers = where |> List.wrap() |> Sidekick.multi_request(request) |> Enum.sort()

    rows =
      Enum.flat_map(answers, fn
        {node, {:ok, value}} -> for row <- to_rows.(value), do: [node | row]
        {node, {:error, error}} -> [failed(node, error, length(columns))]
      end)

    print(headings, rows)
  end

  defp failed(node, %Error{code: code}, columns), do: [node, "(#{code})" | List.duplicate("", columns - 1)]

  defp ids(node, :all) do
    case Sidekick.servers(node) do
      {:ok, servers} -> {:ok, Enum.map(servers, & &1.id)}
      error -> error
    end
  end

  defp ids(_node, id), do: {:ok, [id]}

  defp crash_rows(node, {:error, error}), do: [failed(node, error, 7)]

  defp crash_rows(node, {:ok, ids}) do
    for id <- ids, row <- crash_rows_of(node, id), do: row
  end

  defp crash_rows_of(node, id) do
    case Sidekick.crashes(node, id) do
      {:ok, crashes} -> for c <- crashes, do: [node, id, c.number | crash_cells(c)]
      {:error, error} -> [failed(node, error, 7)]
    end
  end

  defp crash_cells(%{damaged: damaged}) when is_binary(damaged), do: ["", "(damaged)", damaged, "", ""]
  defp crash_cells(c), do: [Table.time(c.at_ms), c.reason, c[:script_line], c[:fingerprint], c[:count]]

  defp memory(%{health: %{memory_high: true}} = server), do: "#{Table.bytes(server[:rss_bytes])} HIGH"
  defp memory(server), do: Table.bytes(server[:rss_bytes])

  defp problems(%{problems: []}), do: nil
  defp problems(%{problems: problems}), do: Enum.map_join(problems, ", ", &inspect/1)

  defp last_exit(%{last_exit: %{reason: reason}}), do: inspect(reason)
  defp last_exit(_server), do: nil

  defp behind(%{cursors: cursors, last: last}) when map_size(cursors) > 0,
    do: cursors |> Enum.sort() |> Enum.map_join(" ", fn {sink, seq} -> "#{sink}:#{last - seq}" end)

  defp behind(_stream), do: nil

  defp since(nil), do: nil
  defp since(ms), do: Table.duration(max(0, System.os_time(:millisecond) - ms))

  defp print(headings, rows) do
    headings |> Table.format(rows) |> Enum.each(&IO.puts/1)
    @quiet
  end
end
