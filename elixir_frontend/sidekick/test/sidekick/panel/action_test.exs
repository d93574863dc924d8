defmodule Sidekick.Panel.ActionTest do
  use ExUnit.Case, async: true

  alias Sidekick.Error
  alias Sidekick.Panel.{Access, Action, Audit}
  alias Sidekick.Test.Instance

  # No such node: what is done there ends without an answer.
  @node :"nobody@127.0.0.1"
  @viewer %{name: "vi", role: :viewer}
  @operator %{name: "op", role: :operator}
  @admin %{name: "ad", role: :admin}

  setup do
    %{store: Instance.start!().store}
  end

  defp every_action do
    for(kind <- [:start, :stop, :drain, :restart, :kill, :release], do: {kind, @node, "lobby"}) ++
      for(kind <- [:start, :stop, :drain, :restart], do: {:bulk, kind, [{@node, "lobby"}, {@node, "arena"}]}) ++
      [{:rolling_restart, @node, "group"}, {:forget_sink, @node, "khepri"}, {:reload, @node}, {:drain_sinks, @node}]
  end

  test "who may not is refused, and that is written down", %{store: store} do
    for action <- every_action(), user <- [nil, %{name: "x"}, %{name: "x", role: :root}, @viewer] do
      assert {:error, %Error{code: :denied}} = Action.run(user, action, store: store)
    end

    for action <- [{:reload, @node}, {:forget_sink, @node, "khepri"}, {:drain_sinks, @node}],
        do:
          assert(
            {:error, %Error{code: :denied, details: %{needs: :admin}}} = Action.run(@operator, action, store: store)
          )

    {:ok, entries} = Audit.list([limit: 1_000], store)
    assert length(entries) == length(every_action()) * 4 + 3 and Enum.all?(entries, &(&1.outcome == :denied))

    assert %{who: "op", role: :operator, action: :forget_sink, target: "khepri on nobody@127.0.0.1"} =
             Enum.at(entries, 1)

    assert Enum.any?(entries, &(&1.who == "nobody"))
  end

  test "what could do harm is asked first; the answer is for that user and that action alone", %{store: store} do
    for action <- every_action(), Action.destructive?(action) do
      assert {:confirm, %{token: token, question: question}} = Action.run(@admin, action, store: store)
      assert question =~ ~r/\A[A-Z].*\? .*\.\z/

      for {user, other} <- [{@operator, action}, {%{@admin | name: "ed"}, action}, {@admin, {:kill, @node, "other"}}] do
        refused = Action.run(user, other, store: store, confirm: token)
        assert match?({:confirm, _}, refused) or match?({:error, %Error{code: :denied}}, refused)
      end

      assert {:confirm, _} = Action.run(@admin, action, store: store, confirm: "x" <> token)
      assert {:confirm, _} = Action.run(@admin, action, store: store, confirm: 7)
      assert {:ok, []} = Audit.list([outcome: :ok], store)
    end

    assert {:ok, []} = Audit.list([outcome: :unknown], store)
    {:confirm, %{token: token}} = Action.run(@operator, {:kill, @node, "lobby"}, store: store)
    test = self()
    told = fn node, id, text -> send(test, {:told, node, id, text}) end
    opts = [store: store, confirm: token, told: told]
    assert {:error, %Error{code: :not_connected}} = Action.run(@operator, {:kill, @node, "lobby"}, opts)
    assert_received {:told, @node, "lobby", "kill by op: unknown"}
    # Begun, and then that nobody knows what came of it.
    assert {:ok, [%{detail: "not_connected" <> _}, %{detail: "begun"}]} = Audit.list([outcome: :unknown], store)
  end

  test "an expired confirmation is none", %{store: store} do
    {:confirm, %{token: token}} = Action.run(@admin, {:kill, @node, "lobby"}, store: store)
    <<_at::64, seal::binary>> = Base.url_decode64!(token, padding: false)
    later = Base.url_encode64(<<System.os_time(:millisecond) + 3_600_000::64>> <> seal, padding: false)
    earlier = Base.url_encode64(<<1::64>> <> seal, padding: false)

    for forged <- [later, earlier],
        do: assert({:confirm, _} = Action.run(@admin, {:kill, @node, "lobby"}, store: store, confirm: forged))
  end

  test "several at once: each has its entry, and those that failed are named", %{store: store} do
    action = {:bulk, :start, [{@node, "a"}, {@node, "b"}, {@node, "a"}]}
    assert {:error, {:incomplete, failed}} = Action.run(@operator, action, store: store)
    assert [{{@node, "a"}, %Error{}}, {{@node, "b"}, %Error{}}] = Enum.sort(failed)
    {:ok, entries} = Audit.list([outcome: :failed], store)

    assert entries |> Enum.map(& &1.target) |> Enum.uniq() |> Enum.sort() == [
             "a on nobody@127.0.0.1",
             "b on nobody@127.0.0.1"
           ]
  end

  test "without the audit nothing harmful is done; a start is" do
    {:confirm, %{token: token}} = Action.run(@operator, {:stop, @node, "lobby"}, store: :no_such_store)
    opts = [store: :no_such_store, confirm: token]
    assert {:error, %Error{code: :audit_unavailable}} = Action.run(@operator, {:stop, @node, "lobby"}, opts)
    assert {:error, %Error{code: :not_connected}} = Action.run(@operator, {:start, @node, "lobby"}, opts)
    assert {:error, %Error{code: :denied}} = Action.run(@viewer, {:stop, @node, "lobby"}, opts)
  end

  test "what is no action is none, whoever asks", %{store: store} do
    for junk <- [
          {:rm, @node, "x"},
          {:kill, "node", "x"},
          {:kill, @node, :lobby},
          {:kill, @node, ""},
          {:kill, @node, String.duplicate("x", 256)},
          {:bulk, :kill, [{@node, "a"}]},
          {:bulk, :start, []},
          {:bulk, :start, List.duplicate({@node, "a"}, 201)},
          {:view, @node},
          nil
        ],
        do: assert({:error, %Error{code: :unknown_action}} = Action.run(@admin, junk, store: store))

    assert {:ok, []} = Audit.list([], store)
  end

  test "the audit is bounded, keeps the newest, and what was denied cannot wash away the rest", %{store: store} do
    for n <- 1..30, outcome <- [:ok, :denied] do
      :ok =
        Audit.write(
          %{at_ms: 1_000 + n, who: "w#{n}", role: :viewer, action: :kill, target: "t", outcome: outcome},
          store
        )
    end

    assert {:ok, 45} = Audit.prune(store, %{done: 10, denied: 5})
    assert {:ok, 0} = Audit.prune(store, %{done: 10, denied: 5})
    {:ok, entries} = Audit.list([], store)
    assert Enum.frequencies_by(entries, & &1.outcome) == %{ok: 10, denied: 5}
    assert Enum.map(entries, & &1.at_ms) == entries |> Enum.map(& &1.at_ms) |> Enum.sort(:desc)
    assert hd(entries).at_ms == 1_030
    # Within one millisecond the order is that in which they were written.
    for n <- 1..50, do: :ok = Audit.write(%{at_ms: 2_000, who: "#{n}", action: :kill, role: nil, outcome: :ok}, store)
    {:ok, same} = Audit.list([limit: 50], store)
    assert Enum.map(same, & &1.who) == for(n <- 50..1//-1, do: "#{n}")
    assert {:ok, [%{who: "w30"}]} = Audit.list([who: "w30", outcome: :ok, limit: 5], store)
    # Text without end is cut.
    :ok =
      Audit.write(%{who: String.duplicate("w", 10_000), action: :kill, target: <<255>>, outcome: :ok, role: nil}, store)

    {:ok, [%{who: who, target: "�"}]} = Audit.list([limit: 1], store)
    assert String.length(who) == 64
  end

  test "each role may what the one before may, and every kind is given to one" do
    for kind <- Access.kinds() do
      may = for role <- Access.roles(), do: Access.may?(%{name: "x", role: role}, kind)
      assert may == Enum.sort(may) and List.last(may)
    end

    assert {:error, message} = Access.parse_users("ann:admin ann:viewer")
    assert message =~ "second time"
    for bad <- ["ann", "a:b:c", "<x>:admin", ":admin"], do: assert({:error, _} = Access.parse_users(bad))
  end
end
