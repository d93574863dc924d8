defmodule Story.Verdict do
  @moduledoc """
  Counts. What the game was told is durable (its own notes) is compared with what stands in sidekick's journal and in
  Khepri; every restore is checked against the world that was acknowledged.
  """

  alias Story.{Peer, Say, Witness}

  @stream "lobby/match"

  def reach(stage, faults) do
    Say.chapter("The count")
    :ok = Peer.ask({:stop_server, "lobby"}, 60_000)
    Say.good("the game was stopped gracefully over its session")
    :ok = Peer.ask({:drain_sinks, 20_000}, 60_000)
    told = Enum.flat_map(Witness.acks(stage), & &1.ids)
    journal = journal()
    khepri = khepri()
    rows = [row("journal", told, journal), row("Khepri", told, khepri)]
    IO.puts("")
    Say.table([["", "acknowledged", "present", "missing", "duplicate", "out of order", "told later"] | rows])
    IO.puts("")
    resumed = Enum.map(faults, &resumed(&1, stage, journal))

    Say.table([
      ["fault", "seen after", "exit to detected", "to new process", "to restored tick", "play resumed"]
      | fault_rows(faults, resumed)
    ])

    IO.puts("")
    state = state_equal?()

    checks = [
      {"every acknowledged record stands in the journal, once, in order", clean?(Enum.at(rows, 0))},
      {"every acknowledged record stands in Khepri, once, in order", clean?(Enum.at(rows, 1))},
      {"journal and Khepri hold the same records",
       Enum.map(journal, & &1.payload["id"]) == Enum.map(khepri, & &1.payload["id"])},
      {"the last acknowledged state stands in Khepri", state},
      {"play resumed after every fault with the acknowledged world", Enum.all?(resumed)},
      {"something was counted", length(told) > 500}
    ]

    for {text, holds} <- checks, do: if(holds, do: Say.good(text), else: Say.bad("NOT SO: " <> text))
    if "keep" in System.argv(), do: :ok = Peer.ask({:start_server, "lobby"}, 60_000)
    if Enum.all?(checks, &elem(&1, 1)), do: :holds, else: :broken
  end

  # Present, missing, duplicate and out of order of `told` in `records`; the rest was durable before the game was told.
  defp row(name, told, records) do
    found = Enum.map(records, & &1.payload["id"])
    counts = Enum.frequencies(found)
    known = MapSet.new(told)
    present = Enum.count(known, &Map.has_key?(counts, &1))
    duplicate = counts |> Map.values() |> Enum.map(&(&1 - 1)) |> Enum.sum()
    places = found |> Enum.with_index() |> Map.new()
    out_of_order = told |> Enum.map(&places[&1]) |> Enum.reject(&is_nil/1) |> falls()
    later = Enum.count(Map.keys(counts), &(not MapSet.member?(known, &1)))

    [
      name,
      MapSet.size(known),
      present,
      MapSet.size(known) - present,
      duplicate,
      out_of_order + falls(Enum.map(records, & &1.seq)),
      later
    ]
  end

  defp falls(numbers), do: numbers |> Enum.chunk_every(2, 1, :discard) |> Enum.count(fn [a, b] -> b <= a end)

  defp clean?([_name, told, present, missing, duplicate, out_of_order, _later]),
    do: told == present and missing == 0 and duplicate == 0 and out_of_order == 0

  # First restored tick >= last acknowledged tick, and the world is the one that was acknowledged for that tick.
  defp resumed(%{restored: :same_process}, stage, _journal), do: contiguous?(stage)

  defp resumed(%{restored: restored}, stage, journal) do
    {_, last} = Enum.find(Witness.restores(stage), fn {r, _} -> r.epoch == restored.epoch end)
    hashes = for %{payload: %{"kind" => "tick", "tick" => tick, "hash" => hash}} <- journal, into: %{}, do: {tick, hash}
    restored.verified == "true" and restored.tick >= last.tick and hashes[restored.tick] == restored.hash
  end

  # The process never ended: then no tick may be missing among the acknowledged ones.
  defp contiguous?(stage) do
    ticks = Enum.map(Witness.acks(stage), & &1.tick)
    restored = for {%{tick: tick}, _} <- Witness.restores(stage), do: tick

    ticks
    |> Enum.chunk_every(2, 1, :discard)
    |> Enum.all?(fn [a, b] -> b == a + 1 or (b - 1) in restored end)
  end

  defp fault_rows(faults, resumed) do
    for {fault, ok} <- Enum.zip(faults, resumed) do
      [
        fault.name,
        ms(fault.seen_us),
        ms(fault.detected_us),
        ms(fault.process_us),
        ms(fault.tick_us),
        verdict(fault, ok)
      ]
    end
  end

  defp verdict(%{restored: :same_process}, true), do: "never stopped"
  defp verdict(%{restored: r}, true), do: "yes, tick #{r.tick}"
  defp verdict(_fault, false), do: "NO"

  defp ms(nil), do: "–"
  defp ms(us), do: "#{Float.round(us / 1000, 1)} ms"

  defp journal do
    {:ok, %{first: first}} = Peer.ask({:stream, @stream})
    read(first, fn from -> Peer.ask({:read, @stream, from, 5_000}) end)
  end

  defp khepri do
    {:ok, %{origin: origin}} = Peer.ask(:info)

    read(1, fn from ->
      {:ok, reply} = Peer.frontend(Sidekick.Store, :records, [origin, @stream, from, 5_000])
      reply
    end)
  end

  defp read(from, page, acc \\ []) do
    {:ok, records} = page.(from)

    case records do
      [] -> acc |> Enum.reverse() |> Enum.concat()
      _ -> read(List.last(records).seq + 1, page, [records | acc])
    end
  end

  defp state_equal? do
    {:ok, %{origin: origin}} = Peer.ask(:info)
    {:ok, here} = Peer.ask({:get_state, "lobby", "world"})
    {:ok, there} = Peer.frontend(Sidekick.Store, :state_value, [origin, "lobby", "world"])
    there == {:ok, here}
  end
end
