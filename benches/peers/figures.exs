# Figures of the node beside a BEAM node and a C node. Called by scripts/bench, which says where everything is.
for file <- ~w(say os peer stage), do: Code.require_file("../../scripts/story/#{file}.exs", __DIR__)
for file <- ~w(load servers codec), do: Code.require_file("#{file}.exs", __DIR__)

defmodule Figures do
  @moduledoc "Takes the rounds, interleaved, and prints them as docs/BENCHMARKS.md holds them."

  @slice_ms 1_000
  @large :binary.copy(<<7>>, 64 * 1024)

  @cells [
    {"small calls, 1 caller", :one},
    {"small calls, 64 callers", :many},
    {"calls of 64 KB, 64 callers", :large},
    {"casts", :casts}
  ]

  def take(stage, rounds) do
    IO.puts("#{rounds} rounds, load average at the start #{load()}\n")
    Story.Stage.start_epmd(stage)
    memory = for _ <- 1..3, do: Servers.memory(stage, 1_000)
    servers = Servers.start(stage)
    for {_, cell} <- @cells, server <- servers, do: measure(cell, server)

    taken =
      for round <- 1..rounds, {title, cell} <- @cells, server <- rotate(servers, round) do
        {{title, server.id}, Map.put(measure(cell, server), :round, round)}
      end

    taken = Enum.group_by(taken, &elem(&1, 0), &elem(&1, 1))
    for {title, cell} <- @cells, do: print(title, cell, servers, taken)
    {sizes, codec} = Codec.rounds(stage, rounds)
    print_codec(sizes, codec)
    print_memory(memory)
    IO.puts("\nLoad average at the end #{load()}")
  end

  defp measure(:one, server), do: Load.calls(server, {:echo, 42}, 1, @slice_ms)
  defp measure(:many, server), do: Load.calls(server, {:echo, 42}, 64, @slice_ms)
  defp measure(:large, server), do: Load.calls(server, {:echo, @large}, 64, @slice_ms)
  defp measure(:casts, server), do: Load.casts(server)

  defp rotate(servers, round) do
    {first, last} = Enum.split(servers, rem(round, length(servers)))
    last ++ first
  end

  defp print(title, cell, servers, taken) do
    p50 = if cell == :one, do: " p50 µs |", else: ""
    IO.puts("\n| #{title} | per second |#{p50} × BEAM | server CPU, µs each | × BEAM |")
    IO.puts("|---|---|#{if cell == :one, do: "---|"}---|---|---|")
    beam = Map.new(taken[{title, :beam}], &{&1.round, &1})

    for server <- servers do
      own = taken[{title, server.id}]
      ratio = fn key -> Enum.map(own, &(Map.get(&1, key) / Map.get(beam[&1.round], key))) end
      p50 = if cell == :one, do: " #{spread(Enum.map(own, & &1.p50_us), 1)} |", else: ""

      IO.puts(
        "| #{server.title} | #{spread(Enum.map(own, & &1.rate), 0)} |#{p50} #{spread(ratio.(:rate), 2)} | " <>
          "#{spread(Enum.map(own, & &1.cpu_us), 1)} | #{spread(ratio.(:cpu_us), 2)} |"
      )
    end
  end

  defp print_codec(sizes, rounds) do
    IO.puts("\n| term, direction | codec | ns each | MB/s | allocations |\n|---|---|---|---|---|")

    rounds
    |> List.flatten()
    |> Enum.group_by(fn {term, codec, direction, _, _} -> {term, direction, codec} end)
    |> Enum.sort()
    |> Enum.each(fn {{term, direction, codec}, all} ->
      ns = Enum.map(all, &elem(&1, 3))
      rate = Enum.map(ns, &(sizes[term] * 1000 / &1))
      allocations = all |> hd() |> elem(4)

      IO.puts(
        "| #{term} (#{sizes[term]} bytes), #{direction} | #{codec} | #{spread(ns, 0)} | #{spread(rate, 0)} | #{allocations || "–"} |"
      )
    end)
  end

  defp print_memory(all) do
    IO.puts("\n| memory | median (range) |\n|---|---|")
    IO.puts("| idle node, RSS | #{spread(for(taken <- all, do: taken.alone / 1_048_576), 1)} MiB |")
    IO.puts("| each of 1,000 idle peers | #{spread(for(taken <- all, do: taken.per_peer / 1024), 1)} KiB |")
  end

  # The median and the range.
  defp spread(values, decimals) do
    sorted = Enum.sort(values)
    show = &:erlang.float_to_binary(&1 / 1, decimals: decimals)
    "#{show.(Load.median(values))} (#{show.(hd(sorted))}–#{show.(List.last(sorted))})"
  end

  defp load, do: "/proc/loadavg" |> File.read!() |> String.split() |> hd()
end

[repository, dir, rounds, server, codec, ei] = System.argv()
Story.Say.start()

stage = %{
  repository: repository,
  dir: dir,
  server: server,
  codec: codec,
  ei: ei,
  cookie: Base.encode16(:crypto.strong_rand_bytes(12)),
  epmd_port: "ERL_EPMD_PORT" |> System.fetch_env!() |> String.to_integer()
}

outcome =
  try do
    Figures.take(stage, String.to_integer(rounds))
  rescue
    error ->
      Story.Say.bad(Exception.format(:error, error, __STACKTRACE__))
      Story.Stage.show_logs(stage)
      :broken
  end

Story.Stage.strike(stage)
System.halt(if(outcome == :ok, do: 0, else: 1))
