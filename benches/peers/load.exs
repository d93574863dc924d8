defmodule Load do
  @moduledoc """
  The load: this node calls and casts, one server at a time, and looks at the server's CPU time before and after.
  Each measurement is a map with `rate` per second, `cpu_us` of the server for each call, and `p50_us` where there is one caller.
  """

  @warm_up_ms 200
  @casts 100_000

  @doc "So many callers for so long, each with one call at a time."
  def calls(server, request, callers, ms) do
    done = :counters.new(callers, [])
    stop = :atomics.new(1, [])
    expected = elem(request, 1)
    me = self()

    for number <- 1..callers do
      spawn_link(fn -> send(me, {:times, call(server, request, expected, done, stop, number, [])}) end)
    end

    pause(@warm_up_ms)
    from = now(server, done, callers)
    pause(ms)
    till = now(server, done, callers)
    :atomics.put(stop, 1, 1)
    times = Enum.flat_map(1..callers, fn _ -> receive do: ({:times, times} -> times) end)
    per = figures(from, till)
    if callers == 1, do: Map.put(per, :p50_us, median(times) / 1000), else: per
  end

  defp call(server, request, expected, done, stop, number, times) do
    at = System.monotonic_time()
    # A match, so that a wrong answer ends the benchmark.
    ^expected = GenServer.call(server.process, request, 60_000)
    took = System.monotonic_time() - at
    :counters.add(done, number, 1)
    times = if number == 1, do: [took | times], else: times
    if :atomics.get(stop, 1) == 0, do: call(server, request, expected, done, stop, number, times), else: times
  end

  @doc "Casts as fast as the connection takes them, ended by a call whose answer says that all have arrived."
  def casts(server) do
    before = GenServer.call(server.process, :count)
    from = %{at: System.monotonic_time(), cpu_ms: cpu_ms(server), count: 0}
    cast(server.process, @casts)
    count = GenServer.call(server.process, :count, 60_000)
    till = %{at: System.monotonic_time(), cpu_ms: cpu_ms(server), count: @casts}
    ^count = before + @casts
    figures(from, till)
  end

  defp cast(_process, 0), do: :ok

  defp cast(process, left) do
    GenServer.cast(process, {:note, left})
    cast(process, left - 1)
  end

  defp now(server, done, callers) do
    count = Enum.reduce(1..callers, 0, &(:counters.get(done, &1) + &2))
    %{at: System.monotonic_time(), cpu_ms: cpu_ms(server), count: count}
  end

  defp figures(from, till) do
    seconds = System.convert_time_unit(till.at - from.at, :native, :nanosecond) / 1.0e9
    count = till.count - from.count
    %{rate: count / seconds, cpu_us: (till.cpu_ms - from.cpu_ms) * 1000 / count}
  end

  defp cpu_ms(server), do: Story.Os.usage(server.os_pid).cpu_ms

  def median(values), do: values |> Enum.sort() |> Enum.at(div(length(values), 2))

  defp pause(ms) do
    receive do
    after
      ms -> :ok
    end
  end
end
