defmodule Sidekick.WatchTest do
  # Notifications and projections of a store on one node; `Sidekick.ClusterTest` has those of three.
  use ExUnit.Case, async: true

  import Sidekick.Test.Eventually
  import Sidekick.Test.Uploads

  alias Sidekick.Store
  alias Sidekick.Store.{Projections, Watch}
  alias Sidekick.Test.Instance

  test "changes are told by what they concern, many of one thing as few" do
    instance = %{store: store} = Instance.start!()
    assert {:ok, ref} = Watch.subscribe(self(), store)
    began = System.monotonic_time(:millisecond)
    for n <- 1..200, do: {:ok, _} = Instance.call(instance, upload("s", n, n))
    {:ok, _} = Instance.call(instance, state("z", 0, 1, Map.new(1..50, &{"k#{&1}", &1})))
    {stream, scope, node} = {{:stream, origin(), "s"}, {:state, origin(), "z"}, {:node, node()}}
    assert_receive {:sidekick_store, ^store, {:changed, ^scope}}, 5_000
    assert_received {:sidekick_store, ^store, {:changed, ^stream}}
    assert_received {:sidekick_store, ^store, {:changed, ^node}}
    {:messages, rest} = Process.info(self(), :messages)
    # One of each kind in 25 ms at most: on a busy machine the uploads take long.
    assert length(rest) <= div(System.monotonic_time(:millisecond) - began, 25) + 3
    assert Enum.uniq(rest) -- Enum.map([stream, scope], &{:sidekick_store, store, {:changed, &1}}) == []
    assert :ok = Watch.unsubscribe(ref, store)
    eventually(fn -> Watch.quorum(store) == :available end)
  end

  test "a restart changes nothing for later subscribers, and one that ends is forgotten" do
    instance = %{store: store} = Instance.start!()
    Instance.stop!(instance)
    Instance.start_again!(instance)
    gone = Task.async(fn -> {:ok, _} = Watch.subscribe(self(), store) end)
    Task.await(gone)
    {:ok, _} = Watch.subscribe(self(), store)
    assert {:ok, _} = Instance.call(instance, upload("s", 1, 1))
    assert_receive {:sidekick_store, ^store, {:changed, {:stream, _, "s"}}}, 5_000
    refute_receive {:sidekick_store, ^store, {:changed, {:stream, _, "s"}}}, 100
    assert map_size(:sys.get_state(Watch.name(store)).subscribers) == 1
  end

  test "projections follow the store, over a restart too, and go where they are no longer wanted" do
    instance = %{store: store} = Instance.start!(projections: [:streams, :state])
    assert {:error, :not_found} = Projections.stream(origin(), "s", store)
    assert {:ok, _} = Instance.call(instance, upload("s", 1, 7))
    assert {:ok, _} = Instance.call(instance, state("z", 0, 1, %{"a" => {:x, 1}, "b" => nil}))
    eventually(fn -> :ets.info(:"#{store}_state", :size) == 2 end)
    eventually(fn -> :ets.info(:"#{store}_streams", :size) == 1 end)
    assert Projections.stream(origin(), "s", store) == Store.stream(origin(), "s", store)
    assert {:ok, {:x, 1}} = Projections.state_value(origin(), "z", "a", store)
    assert {:ok, nil} = Projections.state_value(origin(), "z", "b", store)
    assert {:ok, _} = Instance.call(instance, state("z", 1, 2, %{"b" => 2}, ["a"]))
    eventually(fn -> Projections.state_value(origin(), "z", "b", store) == {:ok, 2} end)
    eventually(fn -> Projections.state_value(origin(), "z", "a", store) == {:error, :not_found} end)

    Instance.stop!(instance)
    Instance.start_again!(instance)
    eventually(fn -> :ets.info(:"#{store}_state", :size) == 1 end)
    Instance.stop!(instance)
    Instance.start_again!(%{instance | opts: Keyword.put(instance.opts, :projections, [])})
    eventually(fn -> :ets.whereis(:"#{store}_state") == :undefined end)
    assert {:ok, 2} = Projections.state_value(origin(), "z", "b", store)
    assert {:ok, %{watermark: 7}} = Projections.stream(origin(), "s", store)
  end
end
