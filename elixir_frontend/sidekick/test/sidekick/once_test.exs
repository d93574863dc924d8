defmodule Sidekick.OnceTest do
  # An upload is one commit, and a command that Khepri repeats is answered as it was the first time.
  use ExUnit.Case, async: false

  import Sidekick.Test.Uploads

  alias Sidekick.Store
  alias Sidekick.Store.{Lifecycle, Once}
  alias Sidekick.Test.Instance

  setup do: %{instance: Instance.start!()}

  # The commands that the store's Raft member is sent while `fun` runs, and what `fun` gave. Where a leader is lost Khepri sends
  # such a command again, as it is, to the next.
  defp commands(instance, fun) do
    server = Process.whereis(instance.store)
    1 = :erlang.trace(server, true, [:receive])
    result = fun.()
    1 = :erlang.trace(server, false, [:receive])
    delivered = :erlang.trace_delivered(server)
    receive do: ({:trace_delivered, ^server, ^delivered} -> :ok)
    {collect(server, []), result}
  end

  defp collect(server, found) do
    receive do
      {:trace, ^server, :receive, message} -> collect(server, command(message) ++ found)
    after
      0 -> Enum.reverse(found)
    end
  end

  defp command({:"$gen_call", _from, {:leader_call, {:command, _priority, {:"$usr", command, _mode}}}}), do: [command]
  defp command(_other), do: []

  defp repeat(instance, command) do
    {:ok, result, _leader} = :ra.process_command({instance.store, node()}, command, 5_000)
    result
  end

  defp applied(instance), do: :ra.key_metrics({instance.store, node()}).last_index

  test "an upload, a change of state and a question for the watermark are one commit each", %{instance: instance} do
    assert {:ok, _} = Instance.call(instance, upload("s", 1, 3))
    before = applied(instance)
    for n <- 2..11, do: assert({:ok, _} = Instance.call(instance, upload("s", n * 3 - 2, n * 3)))
    assert {:ok, _} = Instance.call(instance, state("lobby", 0, 1, %{"a" => 1}))
    assert {:ok, %{watermark: 33}} = Instance.call(instance, {:watermark, origin(), "s"})
    # The question came last, in order: whatever else the uploads had written would be behind it by now.
    assert applied(instance) - before == 12
  end

  test "a repeated upload is answered as the first, and nothing is stored twice", %{instance: instance} do
    {[command], first} = commands(instance, fn -> Instance.call(instance, upload("s", 1, 300)) end)
    assert {:ok, %{watermark: 300}} = first
    {:ok, once} = Store.stream(origin(), "s", instance.store)
    assert repeat(instance, command) == {:ok, 300}
    assert {:ok, ^once} = Store.stream(origin(), "s", instance.store)
    {:ok, records} = Store.records(origin(), "s", 1, 1_000, instance.store)
    assert Enum.map(records, & &1.seq) == Enum.to_list(1..300)
  end

  test "a repetition that comes late is no gap, and takes nothing back", %{instance: instance} do
    {[command], _} = commands(instance, fn -> Instance.call(instance, upload("s", 1, 5)) end)
    assert {:ok, %{watermark: 9}} = Instance.call(instance, upload("s", 6, 9))
    assert repeat(instance, command) == {:ok, 9}
    assert {:ok, %{watermark: 9, records: 9}} = Store.stream(origin(), "s", instance.store)
  end

  test "a repeated loss is counted once", %{instance: instance} do
    lost = upload("s", 1, 20, dropped: [{1, 20}], merge: [records: []])
    {[command], _} = commands(instance, fn -> Instance.call(instance, lost) end)
    assert repeat(instance, command) == {:ok, 20}
    assert {:ok, %{dropped: 20, watermark: 20}} = Store.stream(origin(), "s", instance.store)
  end

  test "a gap stays a gap when it is repeated", %{instance: instance} do
    {[command], answer} = commands(instance, fn -> Instance.call(instance, upload("s", 4, 6)) end)
    assert {:error, {:gap, %{watermark: 0}}} = answer
    assert repeat(instance, command) == {:error, {:gap, %{watermark: 0}}}
    assert {:error, :not_found} = Store.stream(origin(), "s", instance.store)
  end

  test "a repeated change of state is answered as the first, also after a later one", %{instance: instance} do
    {[command], answer} = commands(instance, fn -> Instance.call(instance, state("z", 0, 3, %{"a" => 1})) end)
    assert {:ok, %{rev: 3}} = answer
    assert repeat(instance, command) == {:ok, 3}
    assert {:ok, %{rev: 4}} = Instance.call(instance, state("z", 3, 4, %{"a" => 2}))
    assert repeat(instance, command) == {:ok, 4}
    assert {:ok, %{"a" => 2}} == Store.state(origin(), "z", instance.store)
  end

  test "a repeated claim of a consumer's turn is answered as the first, and a late one takes nothing from who came after",
       context do
    %{instance: instance} = context
    claim = fn known, token -> fn -> Store.transaction(instance.store, :claim, {"c", known, token}, 5_000) end end
    {[command], first} = commands(instance, claim.(:none, :one))
    assert first == {:ok, :one} and repeat(instance, command) == first
    assert {:ok, :one} = claim.(:none, :two).()
    assert {:ok, :two} = claim.(:one, :two).()
    assert repeat(instance, command) == {:ok, :two}
    assert {:ok, :two} = claim.(:one, :three).()
  end

  test "what a procedure raises is raised here", %{instance: instance} do
    assert_raise FunctionClauseError, fn ->
      Once.run(instance.store, Lifecycle.procedure_path(:upload), [:nonsense], 5_000)
    end
  end

  test "a version that was not tried goes the public way" do
    assert Once.tried?("0.16.0") and Once.tried?("0.18.1")
    refute Once.tried?("0.17.0") or Once.tried?("0.19.0") or Once.tried?("0.1.8") or Once.tried?("1.0.0")
  end
end
