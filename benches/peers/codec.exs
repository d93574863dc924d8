defmodule Codec do
  @moduledoc """
  Terms to bytes and back: our codec and eetf in benches/node_codec.rs, OTP's own here, on the same three terms, by turns.
  """

  @slice_ns 100_000_000
  @batch 16

  @doc "One list of `{term, codec, direction, nanoseconds, allocations}` for each round; OTP's allocations are not counted."
  def rounds(stage, rounds) do
    files = for {name, term} <- terms(), do: write(stage, name, term)

    sizes = Map.new(files, &{Path.basename(&1, ".term"), File.stat!(&1).size})
    {sizes, for(_ <- 1..rounds, do: ours(stage, files) ++ otps())}
  end

  # A call as GenServer.call sends it; a world state; one large binary.
  defp terms do
    [
      call: {:"$gen_call", {self(), [:alias | make_ref()]}, {:echo, 42}},
      nested: for(n <- 1..1000, do: entity(n)),
      binary: :binary.copy("sidekick", 8192)
    ]
  end

  defp entity(n) do
    %{
      id: n,
      name: "entity #{n}",
      position: {n * 1.5, -n / 3, 0.25},
      flags: [:visible, :solid, {:layer, n}],
      inventory: for(i <- 1..5, do: %{"item" => i * 1000, "count" => -i, "tags" => ["a", "b"]})
    }
  end

  defp write(stage, name, term) do
    file = Path.join(stage.dir, "#{name}.term")
    File.write!(file, :erlang.term_to_binary(term))
    file
  end

  defp ours(stage, files) do
    {out, 0} = System.cmd(stage.codec, files)

    for line <- String.split(out, "\n", trim: true) do
      [term, codec, direction, ns, allocations] = String.split(line)
      {term, codec, direction, String.to_float(ns), String.to_integer(allocations)}
    end
  end

  defp otps do
    for {name, term} <- terms(), direction <- ["decode", "encode"] do
      bytes = :erlang.term_to_binary(term)

      work =
        if direction == "decode",
          do: fn -> :erlang.binary_to_term(bytes) end,
          else: fn -> :erlang.term_to_binary(term) end

      {to_string(name), "OTP", direction, time(work), nil}
    end
  end

  # In a process of its own, so that one term's garbage is not collected at another's cost; the median of short batches, as in
  # benches/node_codec.rs.
  defp time(work) do
    Task.async(fn -> spin(work, System.monotonic_time(:nanosecond), []) end) |> Task.await(60_000)
  end

  defp spin(work, began, batches) do
    from = System.monotonic_time(:nanosecond)
    repeat(work, @batch)
    till = System.monotonic_time(:nanosecond)
    batches = [(till - from) / @batch | batches]
    if till - began < @slice_ns, do: spin(work, began, batches), else: Load.median(batches)
  end

  defp repeat(_work, 0), do: :ok

  defp repeat(work, left) do
    work.()
    repeat(work, left - 1)
  end
end
