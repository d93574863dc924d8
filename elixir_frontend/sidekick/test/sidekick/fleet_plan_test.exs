defmodule Sidekick.Fleet.PlanTest do
  use ExUnit.Case, async: true

  alias Sidekick.Fleet.{Plan, Spec, View}

  doctest Sidekick.Fleet.Spec

  @node :sidekick@game1

  defp spec(id, opts \\ []), do: Spec.new!([id: id, command: ["godot", id]] ++ opts)

  # As sidekick tells of it: all defaults, no environment.
  defp told(spec, pid) do
    %{start: {m, f, [options]}} = child = Spec.child(spec)
    defaults = %{session: true, max_restarts: 3, on_exit: :keep}
    %{pid: pid, child: %{child | start: {m, f, [Map.merge(defaults, Map.drop(options, [:env]))]}}}
  end

  defp steps(desired, actual, applied \\ []) do
    desired = Map.new(desired, &{&1.id, &1})
    for step <- Plan.steps(@node, desired, Map.new(actual), Map.new(applied)), do: {step.action, step.id}
  end

  test "what is as it should be needs nothing" do
    pid = self()
    spec = spec("a", env: %{"K" => "1"}, max_restarts: 3, on_exit: "keep")
    assert steps([spec], [{"a", told(spec, pid)}], [{"a", Spec.fingerprint(spec)}]) == []
    # Somebody else's: as far as sidekick tells it is the same.
    assert steps([spec], [{"a", told(spec, pid)}]) == []
    assert steps([], [{"other", told(spec("other"), pid)}]) == []
    assert steps([spec("a", running: false)], []) == []
    # It backs off; that is its supervisor's business.
    assert steps([spec], [{"a", told(spec, :restarting)}]) == []
  end

  test "an option that a sidekick does not tell is as it is wanted only where the fleet put it there" do
    pid = self()
    plain = told(spec("a"), pid)
    probe = %{kind: "tcp", address: "127.0.0.1:7000"}

    for opts <- [[directory: "/games"], [limits: %{pids: 10}], [probe: probe], [memory_warn_bytes: 1]] do
      wanted = spec("a", opts)
      assert steps([wanted], [{"a", plain}]) == [replace: "a"]
      assert steps([wanted], [{"a", plain}], [{"a", Spec.fingerprint(wanted)}]) == []
      assert steps([wanted], [{"a", told(wanted, pid)}]) == []
    end

    # None is what is meant where no standby is told, and one that was applied has gone.
    assert steps([spec("a", standby: 0)], [{"a", plain}]) == []
    standby = spec("a", standby: 1)
    assert steps([standby], [{"a", plain}], [{"a", Spec.fingerprint(standby)}]) == [replace: "a"]
    # With its defaults, and rounded, it is the same and another.
    full = told(spec("a", probe: Map.put(probe, :failures, 3), limits: %{cpu_millis: 10}), pid)
    assert steps([spec("a", probe: probe)], [{"a", full}]) == []
    small = spec("a", limits: %{cpu_millis: 5})
    assert steps([small], [{"a", full}]) == [replace: "a"]
    assert steps([small], [{"a", full}], [{"a", Spec.fingerprint(small)}]) == []
    assert_raise ArgumentError, ~r/:max_seconds/, fn -> spec("a", max_seconds: 0) end
  end

  test "what is missing, stopped, running, changed or no longer wanted has its step" do
    pid = self()
    old = spec("a", env: %{"K" => "1"})
    new = spec("a", env: %{"K" => "2"})
    assert steps([old], []) == [add: "a"]
    assert steps([old], [{"a", told(old, :undefined)}]) == [start: "a"]
    assert steps([%{old | running: false}], [{"a", told(old, pid)}]) == [stop: "a"]
    assert steps([new], [{"a", told(old, pid)}], [{"a", Spec.fingerprint(old)}]) == [replace: "a"]
    assert steps([new], [{"a", told(new, pid)}], [{"a", "unfinished"}]) == [replace: "a"]
    assert steps([spec("a", max_restarts: 9)], [{"a", told(old, pid)}]) == [replace: "a"]
    assert steps([%{old | command: ["other"]}], [{"a", told(old, pid)}]) == [replace: "a"]
    assert steps([%{old | restart: :temporary}], [{"a", told(old, pid)}]) == [replace: "a"]
    assert steps([], [{"a", told(old, pid)}], [{"a", Spec.fingerprint(old)}]) == [remove: "a"]
    assert steps([], [], [{"a", Spec.fingerprint(old)}]) == []
  end

  test "of a node that does not answer nothing is known, and a plan can be read" do
    assert [%{action: :unknown, id: "a"}] = steps = Plan.steps(@node, %{"a" => spec("a")}, :unknown, %{})
    assert Plan.describe(steps) == ["sidekick@game1: unknown a, because the node does not answer"]
    assert [%{action: :unknown, id: "b"}] = Plan.steps(@node, %{}, :unknown, %{"b" => "fingerprint"})
    assert Plan.describe([]) == ["everything runs as it should"]
  end

  test "a view tells what changed, and keeps what a node told before it went" do
    now = [%{node: @node, connected: false, since_ms: 5}]
    one = View.known(View.new(), now)

    assert [{:sidekick_fleet, @node, :known}, {:sidekick_fleet, @node, :down}, {_, _, {:problems, [:down]}}] =
             View.changes(%{}, one)

    two = View.up(one, @node)
    info = %{version: "1", origin: "o", incarnation: 2, buffer: %{full: true}}
    servers = [%{id: "a", state: :running}, %{id: "b", state: :quarantined}]
    sinks = [%{name: "k", error: "away"}, %{name: "l", error: nil}]
    ref = make_ref()
    answer = %{info: {:ok, info}, servers: {:ok, servers}, sinks: {:ok, sinks}, ref: {:ok, ref}}
    assert View.unsubscribed?(two, @node)
    three = View.probed(two, %{@node => answer})
    refute View.unsubscribed?(three, @node)
    problems = [{:buffer, :full}, {:server, "b", :quarantined}, {:sink, "k", "away"}]
    assert View.changes(two, three) == [{:sidekick_fleet, @node, {:problems, problems}}]
    assert View.changes(three, View.probed(three, %{@node => %{answer | ref: nil}})) == []

    silent = View.probed(three, %{@node => %{answer | info: {:error, :timeout}}})
    assert View.changes(three, silent) == [{:sidekick_fleet, @node, {:problems, [:silent]}}]
    gone = View.down(silent, @node)
    assert [%{state: :down, servers: ^servers, version: "1", problems: [:down]}] = View.list(gone)
    assert View.unsubscribed?(gone, @node)
    # An answer that was under way does not bring it back.
    assert View.probed(gone, %{@node => answer}) == gone
    assert [%{state: :up}] = View.list(View.known(gone, [%{node: @node, connected: true, since_ms: 1}]))
    assert [%{state: :down}] = View.list(View.known(three, now))
  end
end
