defmodule Sidekick.ClusterTest do
  # Three real BEAMs with one store: it forms, is killed in parts and whole, and its members leave and are replaced.
  use ExUnit.Case, async: false

  import Sidekick.Test.Eventually
  import Sidekick.Test.Uploads

  alias Sidekick.{Consumer, Store}
  alias Sidekick.Store.{Cluster, Watch}
  alias Sidekick.Test.{Beam, Folder, Relay, Teller}

  @moduletag timeout: 120_000

  defp plan(count) do
    names = for _ <- 1..count, do: Beam.name()
    nodes = Enum.map(names, &:"#{&1}@127.0.0.1")
    for {name, node} <- Enum.zip(names, nodes), do: %{name: name, node: node, dir: Folder.new!(), members: nodes}
  end

  defp boot(plan), do: Map.put(plan, :beam, Beam.start!(plan.name))

  # A start may have to wait for others, so all at once.
  defp serve(plans, opts \\ []) do
    plans
    |> Enum.map(&Task.async(fn -> serve_one(&1, opts) end))
    |> Task.await_many(60_000)

    plans
  end

  defp serve_one(plan, opts),
    do: Beam.start_sidekick!(plan.beam, Keyword.merge([data_dir: plan.dir, members: plan.members], opts))

  defp cluster!(count), do: count |> plan() |> Enum.map(&boot/1) |> serve()
  defp ask(plan, request), do: Beam.call(plan.beam, GenServer, :call, [Sidekick.Ingest, request, 15_000])
  defp on(plan, module, function, args), do: Beam.call(plan.beam, module, function, args)
  defp uuid(plan), do: elem(on(plan, Store, :uuid, []), 1)

  defp watermark(plan) do
    case ask(plan, {:watermark, origin(), "s"}) do
      {:ok, %{watermark: watermark}} -> watermark
      error -> error
    end
  end

  defp leader(plans) do
    {:ok, %{members: _}} = on(hd(plans), Cluster, :status, [])
    {_, leader} = on(hd(plans), :ra_leaderboard, :lookup_leader, [:sidekick_store])
    Enum.find(plans, &(&1.node == leader))
  end

  # Events are sent to a process of the member itself, which passes them on to the test.
  defp watch(plan) do
    pid = on(plan, :erlang, :spawn, [Relay, :run, [self()]])
    {:ok, _} = on(plan, Watch, :subscribe, [pid])
  end

  test "three begin one store; leader killed, all killed at once: nothing is lost and it stays the same store" do
    plans = cluster!(3)
    nodes = Enum.sort(hd(plans).members)
    assert [uuid] = plans |> Enum.map(&uuid/1) |> Enum.uniq()
    for plan <- plans, do: assert({:ok, ^nodes} = on(plan, Cluster, :members, []))
    assert {:ok, %{watermark: 10}} = ask(hd(plans), upload("s", 1, 10))

    # A change is told on members that are not the leader, too.
    leader = leader(plans)
    [one, two] = plans -- [leader]
    Enum.each(plans, &watch/1)
    assert {:ok, %{watermark: 20}} = ask(one, upload("s", 11, 20))
    change = {:sidekick_store, :sidekick_store, {:changed, {:stream, origin(), "s"}}}
    for %{node: node} <- plans, do: assert_receive({^node, ^change}, 5_000)

    Beam.kill!(leader.beam)
    eventually(fn -> match?({:ok, %{watermark: 30}}, ask(two, upload("s", 21, 30))) end)
    again = serve([boot(leader)])
    eventually(fn -> watermark(hd(again)) == 30 end)

    # All at once, in the middle of whatever they do.
    plans = [one, two | again]
    Enum.each(plans, &Beam.kill!(&1.beam))
    plans = plans |> Enum.map(&boot/1) |> serve()
    for plan <- plans, do: assert(uuid(plan) == uuid)
    assert watermark(hd(plans)) == 30
    {:ok, records} = on(hd(plans), Store, :records, [origin(), "s", 1, 100])
    assert Enum.map(records, & &1.seq) == Enum.to_list(1..30)
  end

  test "killed at any moment of its first joins, a member still comes to be one, and nothing is lost" do
    seed = :rand.uniform(1_000_000_000)
    IO.puts("seed of the kills while joining: #{seed}")
    _ = :rand.seed(:exsss, seed)
    # Joins a store of two: those agree without it.
    [first, other, second] = plan(3)
    two = [first.node, other.node]
    [first, _other] = serve([boot(%{first | members: two}), boot(%{other | members: two})])
    {:ok, _} = ask(first, upload("s", 1, 10))
    uuid = uuid(first)

    # Until three were in the middle of it. One that came to serve before it was killed loses its disk, and joins again.
    while_joining =
      Stream.repeatedly(fn -> killed_while(second) end) |> Stream.take(60) |> Stream.filter(&(&1 == :joining))

    assert [:joining, :joining, :joining] = Enum.take(while_joining, 3)

    [second] = serve([boot(second)])
    assert uuid(second) == uuid
    assert {:ok, [_, _, _]} = on(second, Cluster, :members, [])
    assert watermark(second) == 10
    assert {:ok, %{watermark: 20}} = ask(second, upload("s", 11, 20))
    assert watermark(first) == 20
  end

  test "killed at any moment of its joins to a store of one, the second comes to be a member, and the first goes on" do
    seed = :rand.uniform(1_000_000_000)
    IO.puts("seed of the kills while joining one: #{seed}")
    _ = :rand.seed(:exsss, seed)
    [first, second] = plan(2)
    [first] = serve([boot(%{first | members: [first.node]})])
    {:ok, _} = ask(first, upload("s", 1, 10))
    uuid = uuid(first)

    # Until it was struck twice when the first had it as a member already, and so no majority without it.
    blocked =
      Stream.repeatedly(fn -> killed_while_second(first, second) end)
      |> Stream.take(60)
      |> Stream.filter(&(&1 == :joining and {:ok, [first.node]} != on(first, Cluster, :known_members, [])))

    assert [:joining, :joining] = Enum.take(blocked, 2)
    [second] = serve([boot(second)])
    assert uuid(second) == uuid
    assert watermark(second) == 10
    assert {:ok, %{watermark: 20}} = ask(second, upload("s", 11, 20))
    assert watermark(first) == 20
    assert {:ok, [_, _]} = on(first, Cluster, :members, [])
  end

  # One that came to serve leaves again, so that it joins anew.
  defp killed_while_second(first, second) do
    if standing(second) == :member do
      [again] = serve([boot(second)])
      :ok = on(again, Cluster, :leave, [])
      Beam.kill!(again.beam)
      eventually(fn -> on(first, Cluster, :members, []) == {:ok, [first.node]} end)
      File.rm_rf!(second.dir)
    end

    # At any moment, or as soon as the first has it as a member: between that and its own note of it there is little time.
    listed = fn -> eventually(fn -> {:ok, [first.node]} != on(first, Cluster, :known_members, []) end) end
    killed_while(second, Enum.random([&any_moment/0, listed]))
  end

  test "where the second of two is lost for good the first goes on alone when it is told, and another may join" do
    [first, second] = cluster!(2)
    {:ok, _} = ask(first, upload("s", 1, 10))
    uuid = uuid(first)
    # Not while the other is there.
    assert {:error, {:connected, %{node: other}}} = on(first, Cluster, :go_on_alone, [])
    assert other == second.node
    Beam.kill!(second.beam)
    File.rm_rf!(second.dir)
    eventually(fn -> match?({:error, _}, ask(first, upload("s", 11, 20))) end)
    assert :ok = on(first, Cluster, :go_on_alone, [])
    eventually(fn -> match?({:ok, %{watermark: 20}}, ask(first, upload("s", 11, 20))) end)
    assert {:ok, [_]} = on(first, Cluster, :members, [])
    [second] = serve([boot(second)])
    assert uuid(second) == uuid
    assert watermark(second) == 20
    assert {:ok, %{watermark: 30}} = ask(second, upload("s", 21, 30))

    # Of more than two it is refused: others may know more.
    [third] = plan(1)
    [third] = serve([boot(%{third | members: [first.node, second.node, third.node]})])
    Enum.each([second, third], &Beam.kill!(&1.beam))
    assert {:error, {:too_many_members, _}} = on(first, Cluster, :go_on_alone, [])
  end

  # How far it had come, by its note.
  defp killed_while(plan, moment \\ &any_moment/0) do
    if standing(plan) == :member, do: File.rm_rf!(plan.dir)
    plan = boot(plan)
    spawn(fn -> serve_unless_killed(plan) end)
    eventually(fn -> standing(plan) in [:joining, :member] end)

    # The moment is the fault that is tried.
    moment.()
    Beam.kill!(plan.beam)
    standing(plan)
  end

  defp any_moment do
    receive do
    after
      :rand.uniform(100) -> :ok
    end
  end

  defp serve_unless_killed(plan) do
    serve_one(plan, start_timeout_ms: 20_000)
  catch
    :exit, _ -> :killed
  end

  defp standing(plan) do
    case File.read(Path.join(plan.dir, "sidekick-store")) do
      {:ok, note} -> if note =~ "standing joining", do: :joining, else: if(note =~ "standing member", do: :member)
      {:error, :enoent} -> nil
    end
  end

  test "killed right after it joined, a member comes back as itself" do
    [first, second] = plans = cluster!(2)
    nodes = Enum.sort(first.members)
    uuid = uuid(first)
    Beam.kill!(second.beam)
    [second] = serve([boot(second)])
    assert uuid(second) == uuid
    assert {:ok, ^nodes} = on(second, Cluster, :members, [])
    assert {:ok, %{watermark: 5}} = ask(second, upload("s", 1, 5))
    assert watermark(first) == 5
    assert length(plans) == 2
  end

  test "a minority says so, stores nothing, and goes on when it has a majority again" do
    [alive | others] = 3 |> plan() |> Enum.map(&boot/1) |> serve(timeout_ms: 2_000)
    eventually(fn -> on(alive, Watch, :quorum, []) == :available end)
    {:ok, _} = ask(alive, upload("s", 1, 5))
    watch(alive)
    node = alive.node
    Enum.each(others, &Beam.kill!(&1.beam))
    assert_receive {^node, {:sidekick_store, :sidekick_store, {:quorum, :lost}}}, 20_000
    assert on(alive, Watch, :quorum, []) == :lost
    assert {:error, {code, _}} = ask(alive, upload("s", 6, 10))
    assert code in [:timeout, :unavailable]
    # What is here can be read, and asking for the truth is bounded.
    assert {:ok, [_ | _]} = on(alive, Store, :records, [origin(), "s", 1, 100])
    others |> Enum.map(&boot/1) |> serve()
    assert_receive {^node, {:sidekick_store, :sidekick_store, {:quorum, :restored}}}, 20_000
    assert {:ok, %{watermark: 10}} = ask(alive, upload("s", 6, 10))
  end

  test "a leader that is cut off stores nothing, the others go on, and it comes back by itself" do
    plans = 3 |> plan() |> Enum.map(&boot/1) |> serve(timeout_ms: 2_000)
    {:ok, _} = ask(hd(plans), upload("s", 1, 5))
    leader = leader(plans)
    [one, two] = plans -- [leader]
    watch(leader)

    # Neither side takes the other's cookie any more; this test reaches all, as sidekicks would.
    for other <- [one, two] do
      true = on(leader, Node, :set_cookie, [other.node, :isolated])
      on(leader, Node, :disconnect, [other.node])
    end

    {node, name} = {leader.node, Sidekick.Ingest}
    assert {:error, {code, _}} = Beam.call(leader.beam, GenServer, :call, [name, upload("s", 6, 10), 15_000])
    assert code in [:timeout, :unavailable]
    eventually(fn -> match?({:ok, %{watermark: 20}}, ask(one, upload("s", 6, 20))) end)
    assert_receive {^node, {:sidekick_store, :sidekick_store, {:quorum, :lost}}}, 20_000

    for other <- [one, two], do: true = on(leader, Node, :set_cookie, [other.node, on(leader, Node, :get_cookie, [])])
    assert_receive {^node, {:sidekick_store, :sidekick_store, {:quorum, :restored}}}, 20_000
    assert watermark(leader) == 20
    {:ok, records} = on(leader, Store, :records, [origin(), "s", 1, 100])
    assert Enum.map(records, & &1.seq) == Enum.to_list(1..20)
  end

  # What was handled up to this sequence, and by which nodes.
  defp handled(upto, nodes \\ MapSet.new(), seqs \\ []) do
    if upto in seqs do
      {MapSet.to_list(nodes), Enum.sort(seqs)}
    else
      assert_receive {:handled, node, more}, 20_000
      handled(upto, MapSet.put(nodes, node), seqs ++ more)
    end
  end

  test "of a consumer that every member starts one handles records, and another once its member is killed" do
    plans = cluster!(3)
    child = {Consumer, module: Teller, arg: self(), name: "teller", server: Teller, poll_ms: 500}
    for plan <- plans, do: {:ok, _} = on(plan, Supervisor, :start_child, [Sidekick.ApplicationSupervisor, child])
    assert {:ok, %{watermark: 20}} = ask(hd(plans), upload("s", 1, 20))
    assert {[active], seqs} = handled(20)
    assert seqs == Enum.to_list(1..20)

    {[killed], others} = Enum.split_with(plans, &(&1.node == active))
    assert :ok = on(killed, Consumer, :drain, [Teller])
    for plan <- others, do: assert({:error, :standby} = on(plan, Consumer, :drain, [Teller]))
    Beam.kill!(killed.beam)
    eventually(fn -> match?({:ok, %{watermark: 40}}, ask(hd(others), upload("s", 21, 40))) end)
    assert {[next], seqs} = handled(40)
    assert next != active and Enum.uniq(seqs) -- Enum.to_list(1..20) == Enum.to_list(21..40)
  end

  test "a store grows, a member leaves, a dead one is replaced, and a lost disk joins again" do
    [first, second, third] = plan(3)
    [alone] = serve([boot(%{first | members: [first.node]})])
    {:ok, _} = ask(alone, upload("s", 1, 10))
    uuid = uuid(alone)

    # Grow: the new ones name all, the old one need not be restarted for that.
    [second, third] = serve(Enum.map([second, third], &boot/1))
    assert [^uuid, ^uuid] = Enum.map([second, third], &uuid/1)
    assert watermark(third) == 10

    # Lost disk, same name.
    Beam.kill!(third.beam)
    File.rm_rf!(third.dir)
    [third] = serve([boot(third)])
    assert uuid(third) == uuid
    assert {:ok, [_, _, _]} = on(alone, Cluster, :members, [])
    assert {:ok, %{watermark: 20}} = ask(third, upload("s", 11, 20))

    # Leave: it stops serving, and does not come back from that folder.
    assert :ok = on(third, Cluster, :leave, [])
    eventually(fn -> on(third, Process, :whereis, [Sidekick.Ingest]) == nil end)
    assert {:ok, members} = on(alone, Cluster, :members, [])
    assert members == Enum.sort([alone.node, second.node])
    assert {:ok, :undefined} = on(third, Sidekick.Supervisor, :start_link, [[data_dir: third.dir]]) |> ignored()

    # Replace the dead: three again first, then one dies for good.
    [fourth] = plan(1)
    [fourth] = serve([boot(%{fourth | members: [alone.node, second.node, fourth.node]})])
    Beam.kill!(second.beam)
    eventually(fn -> on(alone, Cluster, :remove, [second.node]) == :ok end)
    assert {:error, {:not_a_member, _}} = on(alone, Cluster, :remove, [second.node])
    [fifth] = plan(1)
    [fifth] = serve([boot(%{fifth | members: [alone.node, fourth.node, fifth.node]})])
    assert watermark(fifth) == 20
    assert {:ok, %{watermark: 30}} = ask(fifth, upload("s", 21, 30))
    assert {:ok, members} = on(fifth, Cluster, :members, [])
    assert members == Enum.sort([alone.node, fourth.node, fifth.node])

    # A member that does not expect the others is not served.
    Beam.kill!(fifth.beam)
    stranger = boot(%{fifth | members: [fifth.node]})
    assert {:error, reason} = Beam.try_start_sidekick(stranger.beam, data_dir: stranger.dir, members: stranger.members)
    assert inspect(reason) =~ "unexpected_members"
  end

  defp ignored(:ignore), do: {:ok, :undefined}
end
