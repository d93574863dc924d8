# Records what a panel's model takes in from a real sidekick, for test/sidekick/panel/recorded_test.exs:
#
#     ERL_EPMD_PORT=... MIX_ENV=test mix run --no-start test/support/record_panel.exs sidekick@127.0.0.1 COOKIE_FILE SECONDS OUT
#
# Each input is one Erlang term, {Input, NowMs}; processes and references, which no other node can read, are written as atoms.
alias Sidekick.Panel.{Hub, Model}

defmodule Recorder do
  def plain(term) when is_pid(term), do: :a_process
  def plain(term) when is_reference(term), do: :a_reference
  def plain(%_{} = struct), do: struct |> Map.from_struct() |> plain() |> then(&struct(struct.__struct__, &1))
  def plain(%{} = map), do: Map.new(map, fn {key, value} -> {plain(key), plain(value)} end)
  def plain([head | tail]), do: [plain(head) | plain(tail)]
  def plain(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> plain() |> List.to_tuple()
  def plain(other), do: other

  def record(file, deadline) do
    receive do
      {:trace, _, :call, {Model, :reduce, 3}, taken} ->
        IO.write(file, :io_lib.format("~tp.~n", [plain(taken)]))
        record(file, deadline)
    after
      max(0, deadline - System.monotonic_time(:millisecond)) -> :ok
    end
  end
end

[node, cookie_file, seconds, out] = System.argv()
node = String.to_atom(node)

{:ok, _} = :net_kernel.start(:"recorder_#{System.pid()}@127.0.0.1", %{name_domain: :longnames, hidden: true})
cookie_file |> File.read!() |> String.trim() |> String.to_atom() |> Node.set_cookie()
{:ok, _} = Application.ensure_all_started(:sidekick)
{:ok, _} = [nodes: [node], data_dir: System.tmp_dir!()] |> Sidekick.Options.new!() |> Sidekick.Connector.start_link()

{:ok, hub} = Hub.start_link(store: :no_store)
# Of the arguments only the input and the time: the model itself is big.
:erlang.trace_pattern({Model, :reduce, 3}, [{[:_, :"$1", :"$2"], [], [{:message, {{:"$1", :"$2"}}}]}], [])
:erlang.trace(hub, true, [:call, :arity])
deadline = System.monotonic_time(:millisecond) + 1000 * String.to_integer(seconds)
File.open!(out, [:write, :utf8], &Recorder.record(&1, deadline))
IO.puts("wrote #{out}: #{File.stat!(out).size} bytes")
