# The panel over a fleet that is made up, to look at and to measure:
#
#     MIX_ENV=test mix run dev.exs [PORT [SIDEKICKS [SERVERS_OF_EACH]]]
#
# It is open without a login, on this machine alone. What the fleet tells comes from a seed, and it changes every two seconds.
import Sidekick.Test.FleetStory

[port, sidekicks, servers] =
  Enum.map(Enum.take(System.argv() ++ Enum.drop(["4751", "200", "10"], length(System.argv())), 3), &String.to_integer/1)

dir = Path.join(System.tmp_dir!(), "sidekick_web_dev_#{System.pid()}")
System.at_exit(fn _ -> File.rm_rf!(dir) end)
Application.put_env(:sidekick_web, :open, true)
endpoint = Application.get_env(:sidekick_web, SidekickWeb.Endpoint)
web = [http: [ip: {127, 0, 0, 1}, port: port], server: true, adapter: Bandit.PhoenixAdapter, check_origin: false]
Application.put_env(:sidekick_web, SidekickWeb.Endpoint, Keyword.merge(endpoint, web))

{:ok, _} =
  Supervisor.start_link(
    [
      {Sidekick, data_dir: dir},
      {Phoenix.PubSub, name: SidekickWeb.PubSub},
      {Sidekick.Panel, connector: :none, sample_ms: 3_600_000},
      SidekickWeb.Endpoint
    ],
    strategy: :one_for_one
  )

nodes = nodes(sidekicks)
ids = for n <- 1..servers//1, do: Enum.at(~w(lobby arena market harbour forest tower mine), rem(n, 7)) <> "_#{n}"
tell = fn input -> GenServer.cast(Sidekick.Panel.Hub, {:input, input}) end
now = fn -> System.os_time(:millisecond) end
:rand.seed(:exsss, 7)

sample = fn node, round ->
  statuses =
    for id <- ids do
      wave = :math.sin(round / 7 + :erlang.phash2({node, id}, 100))

      health = %{
        frame_ms: 16.6 + 3 * wave,
        players: round(20 + 15 * wave),
        cpu_percent: 30 + 12 * wave,
        tick: round * 120
      }

      status(id,
        status: [
          since_ms: now.() - :erlang.phash2({node, id}, 90_000_000),
          rss_bytes: round(1.3e8 + 2.0e7 * wave),
          health: health
        ]
      )
    end

  behind = :erlang.phash2({node, round}, 900)

  %{
    answers(ids, last: 100_000 + round * 500, cursor: 100_000 + round * 500 - behind)
    | servers: {:ok, statuses},
      asked_ms: 1
  }
end

for node <- nodes, do: tell.({:up, node})
for round <- 1..20, node <- nodes, do: tell.({:answers, node, sample.(node, round)})

for {node, n} <- Enum.with_index(Enum.take(nodes, 12)), event <- life(hd(ids), n + 1, now.() - 400_000 + n * 30_000) do
  tell.({:event, node, event})
end

[a, b, c, d | _] = nodes ++ nodes ++ nodes ++ nodes
tell.({:event, a, event(:quarantined, hd(ids), restarts: 3, seconds: 60, at_ms: now.() - 95_000)})
tell.({:event, b, event(:state, List.last(ids), state: :unresponsive, at_ms: now.() - 3_000)})
tell.({:event, c, event(:state, List.last(ids), state: :stopping, at_ms: now.() - 3_000)})
tell.({:down, d})

tick = fn tick, round ->
  for node <- nodes, node != d, do: tell.({:answers, node, sample.(node, round)})
  # sleep: the fleet changes as time goes by, that is its whole part
  Process.sleep(2_000)
  tick.(tick, round + 1)
end

IO.puts("http://127.0.0.1:#{port}")
tick.(tick, 21)
