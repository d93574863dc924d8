# The same operations on a supervisor of stock OTP and on sidekick_sup, reply by reply. Argument: the node.
[name] = System.argv()
node = String.to_atom(name)

# What both sides start. On sidekick's side there is no such module: the name stands for a server process.
defmodule :godot do
  def start_link(%{command: ["/no/such/program" | _]}), do: {:error, :enoent}
  def start_link(%{command: _}), do: {:ok, spawn_link(fn -> receive do: (:never -> :ok) end)}
end

defmodule Compare do
  # A reply with what must differ taken out: pids, options that sidekick adds, texts of failures, frames of OTP's own code.
  def shape(pid) when is_pid(pid), do: :a_pid
  def shape(%{command: _}), do: :options
  def shape({:EXIT, {reason, [{m, f, a, _} | _]}}), do: {:EXIT, {reason, [{m, f, shape(a)}]}}
  def shape({:error, {:enoent, child}}), do: {:error, {:why, shape(child)}}
  def shape({:error, {{:start_failed, text}, child}}) when is_binary(text), do: {:error, {:why, shape(child)}}
  def shape(list) when is_list(list), do: shape_list(list)
  def shape(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> shape_list() |> List.to_tuple()
  def shape(map) when is_map(map), do: Map.new(map, fn {k, v} -> {k, shape(v)} end)
  def shape(other), do: other

  defp shape_list([head | tail]), do: [shape(head) | shape_list(tail)]
  defp shape_list(other), do: if(is_list(other), do: [], else: shape(other))

  # Waits for a fact; each look is a call, so this does not spin.
  def soon(fun, deadline \\ System.monotonic_time(:millisecond) + 20_000) do
    cond do
      found = fun.() -> found
      System.monotonic_time(:millisecond) > deadline -> :never
      true -> soon(fun, deadline)
    end
  end
end

options = %{command: ["sleep", "1000"], session: false, on_exit: :stop}
child = fn id, more -> Map.merge(%{id: id, start: {:godot, :start_link, [options]}}, more) end
start = fn spec -> fn sup -> :supervisor.start_child(sup, spec) end end
on = fn function, argument -> fn sup -> apply(:supervisor, function, [sup, argument]) end end
which = &:supervisor.which_children/1
count = &:supervisor.count_children/1

pid_of = fn sup, id -> List.keyfind(which.(sup), id, 0) |> elem(1) end

# Ends a child's process and gives what the supervisor then says of it.
ended = fn id, reason, fact ->
  fn sup ->
    pid = pid_of.(sup, id)
    ref = Process.monitor(pid)
    Process.exit(pid, reason)

    receive do
      {:DOWN, ^ref, :process, ^pid, _} -> :ok
    end

    Compare.soon(fn -> fact.(List.keyfind(which.(sup), id, 0), pid) end)
  end
end

back = fn
  {_, new, _, _} = child, old when is_pid(new) and new != old -> child
  _, _ -> nil
end

gone = fn child, _ -> is_nil(child) end

pipelined = fn requests ->
  fn sup ->
    ids = Enum.map(requests, &:gen_server.send_request(sup, &1))
    Enum.map(ids, &:gen_server.receive_response(&1, 20_000))
  end
end

bad_specs = [
  :nonsense,
  {:too, :short},
  %{},
  %{id: :x},
  %{start: {:godot, :start_link, [options]}},
  child.(:x, %{start: :nothing}),
  child.(:x, %{start: {:godot, :start_link}}),
  child.(:x, %{start: {:godot, "start_link", []}}),
  child.(:x, %{start: {:godot, :start_link, :no_list}}),
  child.(:x, %{restart: :sometimes}),
  child.(:x, %{significant: true}),
  child.(:x, %{significant: true, restart: :transient}),
  child.(:x, %{significant: :perhaps}),
  child.(:x, %{type: :robot}),
  child.(:x, %{shutdown: -1}),
  child.(:x, %{shutdown: :later}),
  child.(:x, %{shutdown: 1.5}),
  child.(:x, %{modules: :none}),
  child.(:x, %{modules: [:godot, "godot"]}),
  # Several faults: the first that OTP looks for is told.
  child.(:x, %{restart: :sometimes, type: :robot, shutdown: :later, modules: 1}),
  {:x, {:godot, :start_link, [options]}, :sometimes, 5000, :worker, [:godot]},
  {:x, {:godot, :start_link, [options]}, :permanent, 5000, :worker, :none}
]

operations =
  [
    {"nothing is there", which},
    {"nothing is counted", count},
    {"start a permanent one", start.(child.(:a, %{}))},
    {"start a transient one", start.(child.(:b, %{restart: :transient, shutdown: 1234}))},
    {"start a temporary one", start.(child.(:c, %{restart: :temporary, shutdown: :brutal_kill}))},
    {"start one by a tuple", start.({:d, {:godot, :start_link, [options]}, :permanent, 2000, :worker, [:godot]})},
    {"the youngest comes first", which},
    {"all are counted", count},
    {"start it again", start.(child.(:a, %{}))},
    {"another spec of the same id", start.(child.(:a, %{restart: :temporary}))},
    {"spec of a permanent one", on.(:get_childspec, :a)},
    {"spec of a transient one", on.(:get_childspec, :b)},
    {"spec of a temporary one", on.(:get_childspec, :c)},
    {"spec of the tuple's", on.(:get_childspec, :d)},
    {"spec by pid", fn sup -> :supervisor.get_childspec(sup, pid_of.(sup, :a)) end},
    {"terminate by pid", fn sup -> :supervisor.terminate_child(sup, pid_of.(sup, :a)) end},
    {"restart a running one", on.(:restart_child, :a)},
    {"delete a running one", on.(:delete_child, :a)},
    {"terminate it", on.(:terminate_child, :a)},
    {"terminate it again", on.(:terminate_child, :a)},
    {"it is listed without a pid", which},
    {"and not active", count},
    {"start what is present", start.(child.(:a, %{}))},
    {"restart it", on.(:restart_child, :a)},
    {"it is listed again", which},
    {"terminate it once more", on.(:terminate_child, :a)},
    {"delete it", on.(:delete_child, :a)},
    {"delete it again", on.(:delete_child, :a)},
    {"restart what is deleted", on.(:restart_child, :a)},
    {"terminate what is deleted", on.(:terminate_child, :a)},
    {"spec of what is deleted", on.(:get_childspec, :a)},
    {"the others are listed", which},
    {"terminate a temporary one", on.(:terminate_child, :c)},
    {"it is forgotten", on.(:get_childspec, :c)},
    {"restart it", on.(:restart_child, :c)},
    {"delete it", on.(:delete_child, :c)},
    {"it is not listed", which},
    {"nor counted", count},
    {"start it anew", start.(child.(:c, %{restart: :temporary}))},
    {"a temporary one that dies is forgotten", ended.(:c, :kill, gone)},
    {"and can be started anew", start.(child.(:c, %{restart: :temporary}))},
    {"a transient one that dies comes back", ended.(:b, :kill, back)},
    {"a permanent one that is shut down comes back", ended.(:d, :shutdown, back)},
    {"a start function that is not", start.(child.(:e, %{start: {:other, :start, [1]}}))},
    {"a module that is not", start.(child.(:e, %{start: {:godot, :begin, []}}))},
    {"a start that fails", start.(child.(:e, %{start: {:godot, :start_link, [%{options | command: ["/no/such/program"]}]}}))},
    {"a child whose start failed is none", on.(:get_childspec, :e)},
    {"and not listed", which},
    {"one after the other",
     pipelined.([{:start_child, child.(:f, %{})}, :which_children, {:terminate_child, :f}, :count_children, {:delete_child, :f}, :which_children])}
  ] ++ Enum.map(bad_specs, &{"bad spec #{inspect(&1)}", start.(&1)})

{:ok, stock} = Supervisor.start_link([], strategy: :one_for_one, max_restarts: 100)
true = Node.connect(node)
ours = {:sidekick_sup, node}

for {what, operation} <- operations do
  [expected, got] = Enum.map([stock, ours], &Compare.shape(operation.(&1)))

  if expected != got do
    IO.puts("NOT AS OTP: #{what}\n  OTP:  #{inspect(expected)}\n  ours: #{inspect(got)}")
    System.halt(1)
  end
end

# Elixir's own wrapper reads the same replies.
%{specs: 3, active: 3, supervisors: 0, workers: 3} = Supervisor.count_children(ours)

# What sidekick alone refuses has the form of a start that failed.
{:error, {{:bad_options, text}, {:child, :undefined, :e, {:godot, :start_link, [%{}]}, :permanent, false, 5000, :worker, [:godot]}}} =
  Supervisor.start_child(ours, child.(:e, %{start: {:godot, :start_link, [%{}]}}))

true = text =~ "command"
IO.puts("#{length(operations)} replies are OTP's")
