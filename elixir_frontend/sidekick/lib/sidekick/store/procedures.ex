defmodule Sidekick.Store.Procedures do
  @moduledoc """
  The transactions, stored in Khepri once and run there by name: each runs inside the Raft state machine, on every member,
  so it is a pure function of the tree and its argument.

  Horus extracts everything these functions call: so only `:erlang`, `:lists`, `:maps` and `:khepri_tx`, no `Enum`, no
  `Logger`, no struct or map update syntax (its instruction is not allowed there), and nothing here raises.

  A stream's window is `{tail, newer, older}`: the newest batch, then the others newest first, then the rest oldest first,
  each `{first, last, records, bytes}`. A new record goes into the tail batch while that has room, so that a slow stream, too,
  makes few nodes.

  Architecture Invariant: data and watermark are written by one transaction, so that either both are there or neither.

  Architecture Invariant: a procedure that is applied again with the same request changes nothing and refuses nothing that it took
  before, for Khepri may send it again and nothing else keeps it from being applied (`Sidekick.Store.Once`).
  """

  @batch_records 256
  @batch_bytes 256 * 1024
  @hash_zero 0

  @doc """
  Where the running hash of a stream starts: it is the CRC-32 of all records ever stored, each as
  `<<seq::64, at_ms::64>>` and its external term. (A stronger hash would cost more than the rest of the transaction.)
  """
  @spec hash_zero() :: non_neg_integer()
  def hash_zero, do: @hash_zero

  @doc "The procedures to be stored, by name. Each takes one tuple."
  @spec all() :: %{atom() => (tuple() -> term())}
  def all do
    %{
      upload: fn request -> upload(request) end,
      watermark: fn request -> watermark(request) end,
      upload_state: fn request -> upload_state(request) end,
      restore: fn request -> restore(request) end,
      claim: fn request -> claim(request) end
    }
  end

  @doc """
  Stores the records above the watermark, and the new watermark.

  Every sequence from the watermark to `last` must be in the records or in a dropped range, else it is a gap and nothing
  is stored.
  """
  @spec upload(tuple()) :: {:ok, non_neg_integer()} | {:error, {:gap, map()}}
  def upload({origin, node, stream, last, dropped, records, {max_records, max_bytes}, now_ms}) do
    base = [:sidekick, :origins, origin, :streams, stream]
    head = read(base, %{})
    watermark = :maps.get(:watermark, head, 0)

    case follow(watermark + 1, last, records, dropped, [], 0) do
      :gap ->
        {:error, {:gap, %{watermark: watermark}}}

      {[], 0} ->
        {:ok, watermark}

      {fresh, lost} ->
        know_node(node, origin, now_ms)
        hash = hash(fresh, :maps.get(:hash, head, @hash_zero))
        window = append(base, read(base ++ [:window], {:none, [], []}), :lists.reverse(fresh))
        records = :maps.get(:records, head, 0) + length(fresh)
        bytes = bytes(fresh, :maps.get(:bytes, head, 0))
        {window, records, bytes} = retain(base, turn(window), records, bytes, max_records, max_bytes)
        :ok = :khepri_tx.put(base ++ [:window], window)

        :ok =
          :khepri_tx.put(base, %{
            watermark: last,
            hash: hash,
            first: first(window),
            records: records,
            bytes: bytes,
            dropped: :maps.get(:dropped, head, 0) + lost,
            updated_ms: now_ms
          })

        {:ok, last}
    end
  end

  @doc "The watermark of a stream, in order with all uploads before."
  @spec watermark({binary(), binary()}) :: {:ok, non_neg_integer()}
  def watermark({origin, stream}) do
    head = read([:sidekick, :origins, origin, :streams, stream], %{})
    {:ok, :maps.get(:watermark, head, 0)}
  end

  @doc """
  Applies changes to a scope where they start at the stored revision and come from no earlier owner. What was applied
  already is answered, not applied again. Values come as payload records.
  """
  @spec upload_state(tuple()) :: {:ok, non_neg_integer()} | {:error, {:gap | :stale_epoch, map()}}
  def upload_state({origin, node, scope, epoch, rev_before, rev, put, delete, now_ms}) do
    base = [:sidekick, :state, origin, scope]
    meta = read(base, %{})
    stored_epoch = :maps.get(:epoch, meta, 0)
    stored_rev = :maps.get(:rev, meta, 0)
    stored = %{epoch: stored_epoch, rev: stored_rev}

    cond do
      epoch < stored_epoch ->
        {:error, {:stale_epoch, stored}}

      stored_rev >= rev ->
        {:ok, stored_rev}

      stored_rev != rev_before ->
        {:error, {:gap, stored}}

      true ->
        know_node(node, origin, now_ms)
        :lists.foreach(fn key -> :ok = :khepri_tx.delete(base ++ [key]) end, delete)
        :lists.foreach(fn {key, payload} -> :ok = :khepri_tx.put(base ++ [key], payload) end, put)
        :ok = :khepri_tx.put(base, %{epoch: epoch, rev: rev, updated_ms: now_ms})
        {:ok, rev}
    end
  end

  @doc "Puts nodes of a backup where they were. Values come as payload records."
  @spec restore({[{list(), term()}]}) :: {:ok, non_neg_integer()}
  def restore({nodes}) do
    :lists.foreach(fn {path, payload} -> :ok = :khepri_tx.put(path, payload) end, nodes)
    {:ok, length(nodes)}
  end

  @doc """
  Gives the turn of a consumer to `token` where `known` has it (`:none`: nobody), and answers who has it now.
  """
  @spec claim({binary(), term(), term()}) :: {:ok, term()}
  def claim({name, known, token}) do
    path = [:sidekick, :consumers, name]
    holder = :maps.get(:holder, read(path, %{}), :none)

    cond do
      holder == known ->
        :ok = :khepri_tx.put(path, %{holder: token})
        {:ok, token}

      true ->
        {:ok, holder}
    end
  end

  # The records that are new, newest first, and how many sequences between them the origin says are lost.
  defp follow(next, last, _records, _dropped, fresh, lost) when next > last, do: {fresh, lost}

  defp follow(next, last, [{seq, _, _} | records], dropped, fresh, lost) when seq < next,
    do: follow(next, last, records, dropped, fresh, lost)

  defp follow(next, last, [{seq, _, _} = record | records], dropped, fresh, lost) when seq == next,
    do: follow(next + 1, last, records, dropped, [record | fresh], lost)

  defp follow(next, last, records, [{_, to} | dropped], fresh, lost) when to < next,
    do: follow(next, last, records, dropped, fresh, lost)

  defp follow(next, last, records, [{from, to} | _] = dropped, fresh, lost) when from <= next do
    upto = min(min(to, last), before_record(records, to))
    follow(upto + 1, last, records, dropped, fresh, lost + upto - next + 1)
  end

  defp follow(_next, _last, _records, _dropped, _fresh, _lost), do: :gap

  defp before_record([{seq, _, _} | _], _otherwise), do: seq - 1
  defp before_record([], otherwise), do: otherwise

  defp hash(newest_first, hash) do
    :lists.foldr(
      fn {seq, at_ms, bytes}, hash -> :erlang.crc32(hash, [<<seq::64, at_ms::64>>, bytes]) end,
      hash,
      newest_first
    )
  end

  defp bytes(records, sum), do: :lists.foldl(fn {_, _, payload}, sum -> sum + byte_size(payload) end, sum, records)

  defp append(_base, window, []), do: window

  defp append(base, {{first, last, count, bytes}, newer, older}, [{_, _, payload} | _] = records)
       when count < @batch_records and bytes + byte_size(payload) <= @batch_bytes do
    path = base ++ [:batches, <<last::64>>]
    kept = read(path, [])
    :ok = :khepri_tx.delete(path)
    fill(base, records, {{first, last, count, bytes}, newer, older}, :lists.reverse(kept))
  end

  defp append(base, window, [{first, _, _} | _] = records),
    do: fill(base, records, open(window, first), [])

  # Puts records into the tail's batch (`batch`, newest record first), and where it is full, into the next.
  defp fill(base, [], {{_, last, _, _}, _, _} = window, batch) do
    :ok = :khepri_tx.put(base ++ [:batches, <<last::64>>], :lists.reverse(batch))
    window
  end

  defp fill(base, [{seq, _, payload} = record | rest], {{first, _, count, bytes}, newer, older}, batch)
       when count == 0 or (count < @batch_records and bytes + byte_size(payload) <= @batch_bytes),
       do: fill(base, rest, {{first, seq, count + 1, bytes + byte_size(payload)}, newer, older}, [record | batch])

  defp fill(base, [{seq, _, _} | _] = records, window, batch),
    do: fill(base, records, open(fill(base, [], window, batch), seq), [])

  defp open({:none, newer, older}, first), do: {{first, first, 0, 0}, newer, older}
  defp open({tail, newer, older}, first), do: {{first, first, 0, 0}, [tail | newer], older}

  # Removes the oldest batches while the window is over a limit; the newest stays whatever its size.
  # `:infinity` is greater than every integer in the order of terms.
  defp retain(base, {tail, newer, [{_, last, count, size} | older]}, records, bytes, max_records, max_bytes)
       when records > max_records or bytes > max_bytes do
    :ok = :khepri_tx.delete(base ++ [:batches, <<last::64>>])
    retain(base, turn({tail, newer, older}), records - count, bytes - size, max_records, max_bytes)
  end

  defp retain(_base, window, records, bytes, _max_records, _max_bytes), do: {window, records, bytes}

  defp first({_, _, [{first, _, _, _} | _]}), do: first
  defp first({{first, _, _, _}, _, _}), do: first
  defp first({:none, _, _}), do: 0

  defp turn({tail, newer, []}), do: {tail, [], :lists.reverse(newer)}
  defp turn(window), do: window

  defp read(path, default) do
    case :khepri_tx.get(path) do
      {:ok, :undefined} -> default
      {:ok, data} -> data
      {:error, _} -> default
    end
  end

  defp know_node(node, origin, now_ms) do
    path = [:sidekick, :nodes, node]

    case read(path, %{}) do
      %{origin: known} when known == origin -> :ok
      _ -> :ok = :khepri_tx.put(path, %{origin: origin, since_ms: now_ms})
    end
  end
end
