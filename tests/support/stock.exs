# Stock Elixir against a running sidekick: nothing of ours is loaded here. Arguments: node, directory.
[name, dir] = System.argv()
node = String.to_atom(name)

defmodule Check do
  def that(what, true), do: IO.puts("ok: " <> what)

  def that(what, other) do
    IO.puts("NOT SO: #{what}: #{inspect(other)}")
    System.halt(1)
  end

  # Waits for a fact; each look is a call to the node, so this does not spin.
  def soon(what, deadline \\ System.monotonic_time(:millisecond) + 15_000, fun) do
    cond do
      fun.() -> IO.puts("ok: " <> what)
      System.monotonic_time(:millisecond) > deadline -> that(what, :never)
      true -> soon(what, deadline, fun)
    end
  end
end

ask = fn request -> GenServer.call({:sidekick, node}, request, 30_000) end
sup = {:sidekick_sup, node}

Check.that("Node.connect", Node.connect(node))
Check.that("it is hidden", node in Node.list(:hidden) and node not in Node.list())
Check.that("Node.ping", Node.ping(node) == :pong)

# The node itself
{:ok, info} = ask.(:info)

Check.that(
  ":info",
  info.name == node and info.servers == ["lobby"] and is_binary(info.origin) and
    info.incarnation == 1
)

Check.that("we are among its peers", Enum.any?(info.peers, &(&1.node == node())))

Check.that(
  "an unknown name is noproc",
  match?(
    {:noproc, _},
    catch_exit =
      try do
        GenServer.call({:nobody, node}, :x)
      catch
        :exit, reason -> reason
      end
  ) and is_tuple(catch_exit)
)

Check.that(
  "an unknown request is an error",
  match?({:error, {:unknown_request, %{}}}, ask.({:explode, 1}))
)

Check.that(
  "a bad argument is named",
  match?({:error, {:bad_argument, %{argument: :limit}}}, ask.({:read, "s", 1, :all}))
)

# Supervision with OTP's own functions
Check.soon("the server runs", fn -> match?({:ok, %{state: :running}}, ask.({:server, :lobby})) end)

[{:lobby, pid, :worker, [:godot]}] = Supervisor.which_children(sup)
Check.that("which_children gives its pid", is_pid(pid) and node(pid) == node)

Check.that(
  "count_children",
  Supervisor.count_children(sup) == %{active: 1, specs: 1, supervisors: 0, workers: 1}
)

{:ok, spec} = :supervisor.get_childspec(sup, :lobby)

Check.that(
  "get_childspec",
  match?(
    %{id: :lobby, start: {:godot, :start_link, [%{command: ["sh" | _]}]}, restart: :permanent},
    spec
  )
)

by_pid = Process.monitor(pid)
by_name = Process.monitor({:lobby, node})
:ok = ask.({:kill_server, "lobby"})

for {ref, what} <- [{by_pid, "pid"}, {by_name, "name"}] do
  receive do
    {:DOWN, ^ref, :process, _, reason} ->
      Check.that("a monitor by #{what} reports the signal", reason == {:signal, :sigkill})
  after
    5_000 -> Check.that("a monitor by #{what} reports", false)
  end
end

Check.soon("a permanent server comes back under a new pid", fn ->
  match?(
    [{:lobby, new, :worker, _}] when is_pid(new) and new != pid,
    Supervisor.which_children(sup)
  )
end)

[{:lobby, pid, _, _}] = Supervisor.which_children(sup)
ref = Process.monitor(pid)
Process.exit(pid, :shutdown)

receive do
  {:DOWN, ^ref, :process, _, reason} ->
    Check.that("exit(pid, :shutdown) stops it gracefully", reason == :shutdown)
after
  10_000 -> Check.that("exit(pid, :shutdown) ends it", false)
end

Check.soon("and it comes back", fn ->
  match?({:ok, %{state: :running}}, ask.({:server, "lobby"}))
end)

Check.that("terminate_child", Supervisor.terminate_child(sup, :lobby) == :ok)

Check.that(
  "its name is noproc",
  match?(
    {:noproc, _},
    try do
      GenServer.call({:lobby, node}, :x)
    catch
      :exit, reason -> reason
    end
  )
)

Check.that(
  "restart_child",
  match?({:ok, p} when is_pid(p), Supervisor.restart_child(sup, :lobby))
)

Check.that(
  "restart_child of a running one",
  Supervisor.restart_child(sup, :lobby) == {:error, :running}
)

Check.that(
  "delete_child of a running one",
  Supervisor.delete_child(sup, :lobby) == {:error, :running}
)

Check.that("unknown children", Supervisor.terminate_child(sup, :nobody) == {:error, :not_found})

child = %{
  id: :extra,
  start: {:godot, :start_link, [%{command: ["sleep", "1000"], session: false, on_exit: :stop}]},
  restart: :temporary,
  shutdown: 2000
}

{:ok, extra} = Supervisor.start_child(sup, child)
Check.that("start_child", is_pid(extra))

Check.that(
  "start_child twice",
  Supervisor.start_child(sup, child) == {:error, {:already_started, extra}}
)

Check.that(
  "a temporary child is gone once it was terminated",
  Supervisor.terminate_child(sup, :extra) == :ok and
    Supervisor.delete_child(sup, :extra) == {:error, :not_found}
)

Check.that(
  "a start function that does not exist",
  match?(
    {:error, {{:EXIT, {:undef, [{:other, :start, [], []} | _]}}, _}},
    Supervisor.start_child(sup, %{child | start: {:other, :start, []}})
  )
)

# A game that is away
Check.that(
  "a call to a game without a session",
  GenServer.call({:lobby, node}, :status) == {:error, {:not_connected, %{}}}
)

# Data
{:ok, ref} =
  ask.(
    {:subscribe, self(),
     [{:stream, "log"}, {:logs, "lobby"}, :servers, :crashes, :buffer, :peers]}
  )

terms = [%{a: 1}, "two", {:three, [3.0, -4]}, [-1, -2, -3], 2 ** 70]
Check.that("append", ask.({:append, "log", terms}) == {:ok, %{first: 1, last: 5}})

Check.that(
  "append with a batch number",
  ask.({:append, "log", [:six], %{producer: "p", batch: 1}}) == {:ok, %{first: 6, last: 6}}
)

Check.that(
  "and again: answered, not applied",
  ask.({:append, "log", [:six], %{producer: "p", batch: 1}}) == {:ok, %{first: 6, last: 6}}
)

{:ok, records} = ask.({:read, "log", 1, 100})

Check.that(
  "read gives every term back",
  Enum.map(records, & &1.payload) == terms ++ [:six] and
    Enum.map(records, & &1.seq) == Enum.to_list(1..6)
)

Check.that(
  "streams",
  match?({:ok, [%{name: "log", first: 1, last: 6, dropped: 0}]}, ask.(:streams))
)

Check.that(
  "an unknown stream",
  match?({:error, {:not_found, %{what: :stream}}}, ask.({:stream, "none"}))
)

Check.that("put_state", ask.({:put_state, "notes", "k", %{"v" => [1, 2]}}) == :ok)
Check.that("get_state", ask.({:get_state, "notes", "k"}) == {:ok, %{"v" => [1, 2]}})
Check.that("state", ask.({:state, "notes"}) == {:ok, %{"k" => %{"v" => [1, 2]}}})

Check.that(
  "delete_state",
  ask.({:delete_state, "notes", "k"}) == :ok and
    match?({:error, {:not_found, _}}, ask.({:get_state, "notes", "k"}))
)

Check.that(
  "a game's state has to be a Variant",
  match?({:error, {:unsupported_term, %{path: _}}}, ask.({:put_state, "lobby", "k", self()}))
)

receive do
  {:sidekick_event, ^node, ^ref,
   %{topic: {:stream, "log"}, type: :records, seq: _, records: [%{seq: 1, payload: %{a: 1}} | _]}} ->
    Check.that("a subscription tells records", true)
after
  5_000 -> Check.that("a subscription tells records", false)
end

Check.that("unsubscribe", ask.({:unsubscribe, ref}) == :ok)

# Logs, crashes
Check.soon("logs", fn ->
  match?(
    {:ok, [%{line: "up", source: :stdout, cursor: _} | _]},
    ask.({:logs, "lobby", %{limit: 1, after: nil}})
  )
end)

{:ok, %{os_pid: os_pid}} = ask.({:server, "lobby"})
{_, 0} = System.cmd("sh", ["-c", "kill -SEGV #{os_pid}"])
Check.soon("a crash leaves a bundle", fn -> match?({:ok, [_ | _]}, ask.({:crashes, "lobby"})) end)
{:ok, crashes} = ask.({:crashes, "lobby"})

Check.that(
  "which says how it ended",
  match?(
    {:ok, %{reason: {:signal, :sigsegv}, log: [_ | _]}},
    ask.({:crash, "lobby", List.last(crashes).number})
  )
)

# Remote functions
Check.that(":rpc.call", match?({:ok, %{version: _}}, :rpc.call(node, :sidekick, :info, [])))

Check.that(
  ":erpc.call",
  match?({:ok, [%{name: "log"}]}, :erpc.call(node, :sidekick, :streams, []))
)

Check.that(
  ":erpc of anything else is undef",
  match?(
    {:exception, :undef, _},
    try do
      :erpc.call(node, :os, :cmd, [~c"id"])
    catch
      :error, {:exception, r, s} -> {:exception, r, s}
    end
  )
)

Check.that(
  "rpc of anything else is undef",
  match?({:badrpc, {:EXIT, {:undef, _}}}, :rpc.call(node, :os, :cmd, [~c"id"]))
)

Check.that("nothing was run", not File.exists?(Path.join(dir, "never")))
IO.puts("all of it holds")
