defmodule Sidekick.Ingest.Request do
  @moduledoc """
  Checks what a peer sent and turns it into the arguments of a stored procedure.

  The cookie lets a peer do worse, but a mistaken one must not make the store inconsistent: every shape, range and size is
  checked, nothing is made into an atom, and only the expected keys are read. Refusals are `{:bad_request, %{field:}}`
  or `{:too_large, %{field:, limit:}}`; of `:validate` (`Sidekick.Options`) `{:refused, %{seq:, reason:}}`.
  """

  alias Sidekick.{Options, Store}

  @max_records 4_096
  @max_bytes 64 * 1024 * 1024
  @max_ranges 4_096
  @max_changes 1_048_576
  @reason_chars 500
  # Sequences are stored as 64 bits in keys and hashes.
  @max_integer 0xFFFF_FFFF_FFFF_FFFF

  @type refusal :: {:error, {:bad_request | :too_large | :refused, map()}}

  @doc "The stored procedure that a request asks for, whatever else is in it."
  @spec procedure(term()) :: {:ok, atom()} | refusal()
  def procedure({:upload, %{}}), do: {:ok, :upload}
  def procedure({:watermark, _origin, _stream}), do: {:ok, :watermark}
  def procedure({:upload_state, %{}}), do: {:ok, :upload_state}
  def procedure(_request), do: bad(:request)

  @doc "The stored procedure a request means, with its argument. `node` is where it really came from."
  @spec parse(term(), node(), Options.t()) :: {:ok, atom(), tuple()} | refusal()
  def parse({:upload, %{} = map}, node, options) do
    with {:ok, origin} <- name(map, :origin),
         {:ok, stream} <- name(map, :stream),
         {:ok, before} <- integer(map, :after),
         {:ok, first} <- integer(map, :first),
         {:ok, last} <- integer(map, :last),
         {:ok, dropped} <- ranges(map),
         {:ok, records} <- records(map),
         :ok <- consistent(before, first, last, records),
         :ok <- validate(map.records, stream, options.validate) do
      window = Options.retention(options, stream)
      {:ok, :upload, {origin, node, stream, last, dropped, records, window, now_ms()}}
    end
  end

  def parse({:watermark, origin, stream}, _node, _options) do
    with {:ok, origin} <- name(%{origin: origin}, :origin),
         {:ok, stream} <- name(%{stream: stream}, :stream),
         do: {:ok, :watermark, {origin, stream}}
  end

  def parse({:upload_state, %{} = map}, node, _options) do
    with {:ok, origin} <- name(map, :origin),
         {:ok, scope} <- name(map, :scope),
         {:ok, epoch} <- integer(map, :epoch),
         {:ok, before} <- integer(map, :after),
         {:ok, rev} <- integer(map, :rev),
         :ok <- check(rev > before, :rev),
         {:ok, put} <- put(map),
         {:ok, delete} <- delete(map),
         do: {:ok, :upload_state, {origin, node, scope, epoch, before, rev, put, delete, now_ms()}}
  end

  def parse(_request, _node, _options), do: bad(:request)

  defp name(map, key) do
    case map do
      %{^key => name} when is_binary(name) and byte_size(name) in 1..255 -> {:ok, name}
      _ -> bad(key)
    end
  end

  defp integer(map, key) do
    case map do
      %{^key => number} when is_integer(number) and number in 0..@max_integer -> {:ok, number}
      _ -> bad(key)
    end
  end

  # Ascending and apart from each other, as the walk along them needs.
  defp ranges(%{dropped: ranges}) when is_list(ranges), do: ranges(ranges, 0, 0, [])
  defp ranges(map) when is_map_key(map, :dropped), do: bad(:dropped)
  defp ranges(_map), do: {:ok, []}

  defp ranges([], _end, _count, done), do: {:ok, Enum.reverse(done)}
  defp ranges(_ranges, _end, @max_ranges, _done), do: large(:dropped, @max_ranges)

  defp ranges([{from, to} = range | rest], last, count, done)
       when is_integer(from) and is_integer(to) and from > last and from <= to and to <= @max_integer,
       do: ranges(rest, to, count + 1, [range | done])

  defp ranges(_ranges, _end, _count, _done), do: bad(:dropped)

  defp records(%{records: records}), do: records(records, 0, 0, 0, [])
  defp records(_map), do: bad(:records)

  defp records([], _last, _count, _bytes, done), do: {:ok, Enum.reverse(done)}
  defp records(_records, _last, @max_records, _bytes, _done), do: large(:records, @max_records)

  defp records([%{seq: seq, at_ms: at_ms, payload: payload} | rest], last, count, bytes, done)
       when is_integer(seq) and seq > last and seq <= @max_integer and is_integer(at_ms) and at_ms in 0..@max_integer do
    external = Store.external(payload)
    bytes = bytes + byte_size(external)

    if bytes > @max_bytes,
      do: large(:bytes, @max_bytes),
      else: records(rest, seq, count + 1, bytes, [{seq, at_ms, external} | done])
  end

  defp records(_records, _last, _count, _bytes, _done), do: bad(:records)

  defp consistent(before, first, last, [{seq, _, _} | _] = records) do
    with :ok <- check(seq == first, :first),
         :ok <- check(before < first, :after),
         do: check(elem(List.last(records), 0) == last, :last)
  end

  # Nothing but a dropped range.
  defp consistent(before, first, last, []) do
    with :ok <- check(before < first, :after), do: check(first <= last, :last)
  end

  defp validate(_records, _stream, nil), do: :ok

  defp validate(records, stream, {module, function}) do
    Enum.reduce_while(records, :ok, fn %{seq: seq, payload: payload}, :ok ->
      case verdict(module, function, stream, payload) do
        :ok -> {:cont, :ok}
        {:error, reason} -> {:halt, {:error, {:refused, %{seq: seq, reason: told(reason)}}}}
      end
    end)
  end

  # What it raises, and an answer of another form, is a refusal of this record, not a failure of the upload.
  defp verdict(module, function, stream, payload) do
    case apply(module, function, [stream, payload]) do
      :ok -> :ok
      {:error, reason} -> {:error, reason}
      other -> {:error, {:bad_verdict, other}}
    end
  catch
    kind, reason -> {:error, Exception.format_banner(kind, reason)}
  end

  defp told(reason) when is_binary(reason), do: String.slice(reason, 0, @reason_chars)
  defp told(reason), do: reason |> inspect(limit: 20) |> String.slice(0, @reason_chars)

  defp put(%{put: %{} = changes}) when map_size(changes) <= @max_changes, do: put(Map.to_list(changes), [])
  defp put(%{put: %{}}), do: large(:put, @max_changes)
  defp put(_map), do: bad(:put)

  defp put([], done), do: {:ok, done}

  # As a payload record, for a bare function would be taken for a stored procedure.
  defp put([{key, value} | rest], done) when is_binary(key) and byte_size(key) in 1..255,
    do: put(rest, [{key, :khepri_payload.data(value)} | done])

  defp put(_changes, _done), do: bad(:put)

  defp delete(%{delete: keys}), do: delete(keys, 0, [])
  defp delete(_map), do: bad(:delete)

  defp delete([], _count, done), do: {:ok, done}
  defp delete(_keys, @max_changes, _done), do: large(:delete, @max_changes)

  defp delete([key | rest], count, done) when is_binary(key) and byte_size(key) in 1..255,
    do: delete(rest, count + 1, [key | done])

  defp delete(_keys, _count, _done), do: bad(:delete)

  defp check(true, _field), do: :ok
  defp check(false, field), do: bad(field)

  defp bad(field), do: {:error, {:bad_request, %{field: field}}}
  defp large(field, limit), do: {:error, {:too_large, %{field: field, limit: limit}}}

  defp now_ms, do: System.os_time(:millisecond)
end
