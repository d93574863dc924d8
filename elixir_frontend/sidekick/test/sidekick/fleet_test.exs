defmodule Sidekick.FleetTest do
  # Real sidekicks, found, watched and given servers to run.
  use ExUnit.Case, async: false

  import Sidekick.Test.Eventually

  alias Sidekick.Fleet
  alias Sidekick.Fleet.{Plan, Spec}
  alias Sidekick.Test.{Binary, Folder}

  @moduletag :integration
  @moduletag timeout: 120_000

  defp fleet!(opts \\ [], nodes \\ []) do
    start_supervised!({Sidekick, data_dir: Folder.new!(), nodes: nodes})
    start_supervised!({Fleet, opts})
  end

  defp entry(node), do: Enum.find(Fleet.list(), &(&1.node == node))
  defp spec(id, opts \\ []), do: Spec.new!([id: id, command: ["sleep", "600"], session: false, on_exit: "stop"] ++ opts)

  defp state(node, id) do
    with {:ok, %{state: state}} <- Sidekick.server(node, id), do: state
  end

  test "one is configured, one announces itself; both are watched" do
    one = %{node: first} = Binary.start!()
    two = %{node: second} = Binary.start!()
    fleet!([refresh_ms: 60_000], [first])
    {:ok, _} = Fleet.subscribe()
    eventually(fn -> match?(%{state: :up, version: <<_::binary>>, problems: []}, entry(first)) end)
    assert %{servers: [%{id: "lobby"}], incarnation: 1, buffer: %{}} = entry(first)
    assert entry(second) == nil

    Sidekick.append!(second, "events", [1])
    assert_receive {:sidekick_fleet, ^second, :known}, 20_000
    eventually(fn -> match?(%{state: :up, version: <<_::binary>>}, entry(second)) end)

    # Told by the sidekick itself, for the next look is a minute away.
    {_, 0} = System.cmd("sh", ["-c", "kill -9 #{Sidekick.server!(first, "lobby").os_pid}"])
    eventually(fn -> match?(%{servers: [%{restarts: 1, state: :running}]}, entry(first)) end)

    Binary.kill!(two)
    assert_receive {:sidekick_fleet, ^second, :down}, 10_000
    assert %{state: :down, problems: [:down], servers: [%{id: "lobby"}]} = entry(second)
    Binary.start!(dir: two.dir, node: second)
    assert_receive {:sidekick_fleet, ^second, :up}, 20_000
    eventually(fn -> match?(%{incarnation: 2, problems: []}, entry(second)) end)
    assert one.node == first
    table = ExUnit.CaptureIO.capture_io(fn -> Sidekick.Helpers.fleet() end)
    assert table =~ ~r/#{first} +up +\S.* +1 +-?\n/
  end

  test "what is wanted is planned, shown, done, and done no more than once" do
    %{node: node} = Binary.start!(allow_start: "any")
    away = :"away@127.0.0.1"
    fleet!()
    assert {:ok, []} = Fleet.plan()
    :ok = Fleet.desire(node, spec("arena", env: %{"MODE" => "1"}))
    :ok = Fleet.desire(node, spec("spare", running: false))
    :ok = Fleet.desire(away, spec("arena"))
    assert {:ok, plan} = Fleet.plan()
    lines = Plan.describe(plan)
    assert "#{node}: add arena, because it is not there" in lines
    assert "#{away}: unknown arena, because the node does not answer" in lines
    assert length(lines) == 2
    assert {:error, _} = Sidekick.server(node, "arena")

    done = Fleet.execute(plan)

    assert Enum.map(done, fn {step, result} -> {step.node, result} end) |> Enum.sort() ==
             Enum.sort([{node, :ok}, {away, {:error, :not_connected}}])

    assert state(node, "arena") == :running
    :ok = Fleet.undesire(away, "arena")
    assert {:ok, []} = Fleet.plan()

    # Only the environment is another, which sidekick does not tell.
    {:ok, %{os_pid: before}} = Sidekick.server(node, "arena")
    :ok = Fleet.desire(node, spec("arena", env: %{"MODE" => "2"}))
    assert {:ok, [%{action: :replace}] = plan} = Fleet.plan()
    assert [{_, :ok}] = Fleet.execute(plan)
    {:ok, %{os_pid: now, state: :running}} = Sidekick.server(node, "arena")
    assert now != before and File.read!("/proc/#{now}/environ") =~ "MODE=2"
    assert {:ok, []} = Fleet.plan()

    :ok = Fleet.desire(node, spec("arena", env: %{"MODE" => "2"}, running: false))
    assert {:ok, [%{action: :stop}] = plan} = Fleet.plan()
    assert [{_, :ok}] = Fleet.execute(plan)
    assert state(node, "arena") == :stopped
    assert {:ok, []} = Fleet.plan()
    :ok = Fleet.desire(node, spec("arena", env: %{"MODE" => "2"}))
    assert {:ok, [%{action: :start}] = plan} = Fleet.plan()
    assert [{_, :ok}] = Fleet.execute(plan)

    # What the configuration holds is not the fleet's to remove, even if it was wanted for a while.
    :ok = Fleet.undesire(node, :arena)
    :ok = Fleet.undesire(node, "spare")
    assert {:ok, [%{action: :remove, id: "arena"}] = plan} = Fleet.plan()
    assert [{_, :ok}] = Fleet.execute(plan)
    assert {:ok, []} = Fleet.plan()
    assert [{:lobby, _, _, _}] = Supervisor.which_children(Sidekick.supervisor(node))
    assert {:ok, %{}} = Fleet.desired()
  end

  test "what cannot be started is told, and the next steps of that node are left" do
    %{node: node} = Binary.start!()
    fleet!()
    :ok = Fleet.desire(node, spec("arena"))
    :ok = Fleet.desire(node, spec("bella"))
    assert {:ok, [_, _] = plan} = Fleet.plan()
    assert [{%{id: "arena"}, {:error, reason}}, {%{id: "bella"}, {:error, :earlier_step_failed}}] = Fleet.execute(plan)
    assert inspect(reason) =~ "allow_start"
    assert {:ok, [_, _]} = Fleet.plan()
  end

  test "what a sidekick would not take is not given it: what runs goes on, and is nobody else's to remove" do
    %{node: node} = Binary.start!()
    fleet!()
    {:ok, %{os_pid: os_pid}} = Sidekick.server(node, "lobby")
    same = ["sh", "-c", "echo hello from the lobby; exec sleep 600"]
    configured = fn opts -> Spec.new!([id: "lobby", command: same, session: false, on_exit: "stop"] ++ opts) end

    for {spec, told} <- [
          {spec("lobby"), "allow_start"},
          {configured.(standby: 7), "standby must be 0 or 1"},
          {configured.(hang_timeout_ms: "soon"), "hang_timeout_ms"}
        ] do
      :ok = Fleet.desire(node, spec)
      assert {:ok, [%{action: :replace, id: "lobby"}] = plan} = Fleet.plan()
      assert [{_, {:error, reason}}] = Fleet.execute(plan)
      assert inspect(reason) =~ told
      assert {:ok, %{os_pid: ^os_pid, state: :running}} = Sidekick.server(node, "lobby")
      :ok = Fleet.undesire(node, "lobby")
      assert {:ok, []} = Fleet.plan()
    end

    # It would be taken, but its program is not there: gone, and what the configuration then puts back is left alone.
    :ok = Fleet.desire(node, configured.(directory: "/no/such/folder"))
    assert {:ok, [%{action: :replace}] = plan} = Fleet.plan()
    assert [{_, {:error, reason}}] = Fleet.execute(plan)
    assert inspect(reason) =~ "start_failed"
    assert {:ok, []} = Sidekick.servers(node)
    :ok = Fleet.undesire(node, "lobby")
    assert {:ok, %{added: ["lobby"]}} = Sidekick.reload(node)
    assert {:ok, []} = Fleet.plan()
  end

  test "of a node that went what is to be removed stays in the plan, until it is forgotten" do
    sidekick = %{node: node} = Binary.start!(allow_start: "any")
    fleet!([], [node])
    :ok = Fleet.desire(node, spec("arena"))
    {:ok, plan} = Fleet.plan()
    assert [{_, :ok}] = Fleet.execute(plan)
    :ok = Fleet.undesire(node, "arena")
    Sidekick.append!(node, "events", [1])
    eventually(fn -> match?({:ok, %{^node => _}}, Sidekick.Store.nodes()) end)
    assert {:error, {:connected, %{node: ^node}}} = Fleet.forget(node)

    Binary.kill!(sidekick)
    eventually(fn -> match?(%{state: :down}, entry(node)) end)
    assert {:ok, [%{action: :unknown, id: "arena"}]} = Fleet.plan()
    assert :ok = Fleet.forget(node)
    assert {:ok, []} = Fleet.plan()
    assert Fleet.list() == [] and Sidekick.Nodes.list() == []
    assert {:ok, nodes} = Sidekick.Store.nodes()
    assert nodes == %{}
  end

  test "one that hangs is told to be silent, in the shell's tables too, and told to be up again" do
    %{node: node, os_pid: os_pid} = Binary.start!()
    fleet!([refresh_ms: 500], [node])
    eventually(fn -> match?(%{state: :up, seen_ms: seen} when seen != nil, entry(node)) end)
    {:ok, _} = Fleet.subscribe()
    {_, 0} = System.cmd("sh", ["-c", "kill -STOP #{os_pid}"])
    # A question has 5 s, and one may have been under way.
    assert_receive {:sidekick_fleet, ^node, {:problems, [:silent]}}, 13_000
    assert Sidekick.Helpers.sidekicks() == [node]
    {_, 0} = System.cmd("sh", ["-c", "kill -CONT #{os_pid}"])
    assert_receive {:sidekick_fleet, ^node, :up}, 20_000
    eventually(fn -> match?(%{problems: []}, entry(node)) end)
  end

  test "wrong options are named" do
    for {opts, named} <- [
          {[reconcile: :atuo], ":reconcile"},
          {[refresh_ms: 0], ":refresh_ms"},
          {[store: "s"], ":store"}
        ] do
      assert_raise ArgumentError, ~r/#{named}/, fn -> Fleet.start_link(opts) end
    end
  end

  test "with reconcile: :auto it is made so, and again when the sidekick has lost it" do
    %{node: node} = Binary.start!(allow_start: "any")
    fleet!([reconcile: :auto, refresh_ms: 500], [node])
    :ok = Fleet.desire(node, spec("arena"))
    eventually(fn -> state(node, "arena") == :running end)
    sup = Sidekick.supervisor(node)
    :ok = Supervisor.terminate_child(sup, :arena)
    :ok = Supervisor.delete_child(sup, :arena)
    eventually(fn -> state(node, "arena") == :running end)
    :ok = Fleet.undesire(node, "arena")
    eventually(fn -> match?([{:lobby, _, _, _}], Supervisor.which_children(sup)) end)
  end
end
