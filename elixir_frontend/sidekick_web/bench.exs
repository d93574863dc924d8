# What pages cost, in figures for docs/BENCHMARKS.md:
#
#     MIX_ENV=test mix run bench.exs [SIDEKICKS...]          10 servers for each; default 20 and 200
#
# The browser's part is not in it: pages are opened as LiveViewTest does, in this process. Times are of this machine as it is now.
ExUnit.start(autorun: false)

defmodule Bench do
  import Phoenix.ConnTest
  import Phoenix.LiveViewTest

  @endpoint SidekickWeb.Endpoint

  def median(list), do: list |> Enum.sort() |> Enum.at(div(length(list), 2))
  def ms(fun), do: fun |> :timer.tc() |> elem(0) |> Kernel./(1000)
  def get(path), do: get(build_conn(), path)
  def open(path), do: live(build_conn(), path)

  def memory(pid) do
    :erlang.garbage_collect(pid)
    {:memory, bytes} = Process.info(pid, :memory)
    bytes
  end

  def until(fun) do
    unless fun.() do
      receive do
      after
        2 -> until(fun)
      end
    end
  end

  # What the server sends for one sample of the whole fleet: the diff of the page, as the socket carries it before it is compressed.
  def update_bytes(view, tell, sample) do
    :erlang.trace(view.pid, true, [:send])
    tell.(sample)
    bytes = gather(0)
    :erlang.trace(view.pid, false, [:send])
    bytes
  end

  defp gather(bytes) do
    receive do
      {:trace, _, :send, %Phoenix.Socket.Message{event: "diff", payload: payload}, _} ->
        gather(bytes + byte_size(Jason.encode!(payload)))

      {:trace, _, :send, _, _} ->
        gather(bytes)
    after
      1_500 -> bytes
    end
  end
end

dir = Path.join(System.tmp_dir!(), "sidekick_web_bench_#{System.pid()}")
System.at_exit(fn _ -> File.rm_rf!(dir) end)
Application.put_env(:sidekick_web, :open, true)

{:ok, _} =
  Supervisor.start_link([{Sidekick, data_dir: dir}, {Phoenix.PubSub, name: SidekickWeb.PubSub}, SidekickWeb.Endpoint],
    strategy: :one_for_one
  )

# LiveViewTest opens pages for a test only.
defmodule BenchPages do
  use ExUnit.Case

  import Phoenix.LiveViewTest
  import Sidekick.Test.FleetStory

  alias Sidekick.Panel
  alias Sidekick.Panel.{Hub, Query}

  @tag timeout: :infinity
  test "figures" do
    counts = if System.argv() == [], do: [20, 200], else: Enum.map(System.argv(), &String.to_integer/1)
    ids = for n <- 1..10, do: "s#{n}"
    tell = fn inputs -> Enum.each(inputs, &GenServer.cast(Hub, {:input, &1})) end

    sample = fn nodes, round ->
      for {node, n} <- Enum.with_index(nodes) do
        statuses =
          for id <- ids,
              do:
                status(id,
                  status: [
                    health: %{frame_ms: 16.0 + rem(n + round, 9), players: rem(n * round, 40), cpu_percent: 12.0}
                  ]
                )

        {:answers, node,
         %{answers(ids, last: 1_000 + round * 100, cursor: 1_000 + round * 90) | servers: {:ok, statuses}, asked_ms: 1}}
      end
    end

    for sidekicks <- counts do
      {:ok, hub} = Hub.start_link(connector: :none, store: :sidekick_store, sample_ms: 3_600_000)
      nodes = nodes(sidekicks)
      servers = sidekicks * 10
      tell.(Enum.map(nodes, &{:up, &1}))
      for round <- 1..120, do: tell.(sample.(nodes, round))
      Bench.until(fn -> match?(%{servers: %{running: ^servers}}, Panel.totals()) end)
      [node | _] = nodes

      for {name, path} <- [fleet: "/", "fleet, 200 rows": "/?per=200", server: "/servers/#{node}/s1", store: "/store"] do
        first = Bench.median(for _ <- 1..15, do: Bench.ms(fn -> Bench.get(path) end))
        html = Bench.get(path).resp_body
        {:ok, view, _} = Bench.open(path)
        _ = render(view)
        bytes = Bench.update_bytes(view, tell, sample.(nodes, 200 + :erlang.unique_integer([:positive])))
        kept = Bench.memory(view.pid)

        IO.puts(
          "#{servers} servers, #{name}: first answer #{round(first)} ms, #{div(byte_size(html), 1024)} KiB; page #{div(kept, 1024)} KiB; #{div(bytes, 1024)} KiB for an update of all figures"
        )

        GenServer.stop(view.pid)
      end

      {:ok, view, _} = Bench.open("/")

      events =
        for n <- 1..2_000,
            node = Enum.random(nodes),
            event <- life("s#{rem(n, 10) + 1}", n, start_ms() + n * 10),
            do: {:event, node, event}

      victim = List.last(nodes)
      last = {:event, victim, event(:quarantined, "s9", restarts: 3, seconds: 5, at_ms: start_ms() + 1_000_000)}

      took =
        Bench.ms(fn ->
          tell.(events ++ [last])
          Bench.until(fn -> has_element?(view, "tbody tr:first-child .state.bad", "quarantined") end)
        end)

      IO.puts(
        "#{servers} servers: #{length(events)} events until an open page shows what came last: #{round(took)} ms, #{round(length(events) / took * 1000)} events/s"
      )

      views = Bench.median(for _ <- 1..50, do: Bench.ms(fn -> Panel.servers(%Query{sort: :memory}) end))

      IO.puts(
        "#{servers} servers: one view of the rows #{Float.round(views, 1)} ms; hub #{div(Bench.memory(hub), 1024)} KiB"
      )

      GenServer.stop(view.pid)
      Process.unlink(hub)
      GenServer.stop(hub)
    end
  end
end

%{failures: 0} = ExUnit.run()
