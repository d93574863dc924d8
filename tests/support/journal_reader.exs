# Reads a sidekick buffer's journal by docs/FORMAT.md alone. Nothing but Elixir's standard library.
#
#     elixir journal_reader.exs BUFFER_DIR
#
# Prints, sorted: `event STREAM SEQ AT_MS PAYLOAD`, `state SCOPE KEY VALUE`, `past SCOPE KEY REV VALUE` (earlier values, newest
# first down to a removal), `tail SCOPE STREAM SEQ`, `stream NAME FIRST LAST`,
# `scope NAME EPOCH LAST_EPOCH LAST_BATCH REV`, `cursor SINK STREAM SEQ`; names and payloads in hexadecimal. The last line is
# `ok COMMIT`. Damage is told on stderr, with exit code 1.

defmodule Crc32c do
  import Bitwise
  @table (for n <- 0..255 do
            Enum.reduce(1..8, n, fn _, c ->
              if (c &&& 1) == 1, do: bxor(c >>> 1, 0x82F63B78), else: c >>> 1
            end)
          end)
         |> List.to_tuple()

  def of(bytes), do: bxor(run(bytes, 0xFFFFFFFF), 0xFFFFFFFF)
  defp run(<<b, rest::binary>>, c), do: run(rest, bxor(c >>> 8, elem(@table, band(bxor(c, b), 255))))
  defp run(<<>>, c), do: c
end

defmodule Journal do
  import Bitwise

  defmodule Damage do
    defexception [:message]
  end

  def read(dir) do
    files =
      for path <- Path.wildcard(Path.join([dir, "journal", "*.seg"])), into: %{} do
        {path |> Path.basename(".seg") |> String.to_integer(16), path}
      end

    segments = for {id, path} <- Enum.sort(files), do: open(id, path)
    if segments == [], do: raise(Damage, message: "no segments in #{dir}")
    if segments |> Enum.map(& &1.origin) |> Enum.uniq() |> length() > 1, do: raise(Damage, message: "two origins")
    {newest, older} = newest(Enum.reverse(segments))
    counted = counted(newest)
    for id <- counted, not Map.has_key?(files, id), do: raise(Damage, message: "segment #{id} is missing")
    older = older |> Enum.filter(&(&1.id in counted)) |> Enum.map(&sealed!/1) |> Enum.reverse()
    walked = older ++ [newest]

    for [a, b] <- Enum.chunk_every(walked, 2, 1, :discard), a.id + 1 == b.id do
      if hd(b.commits).number != List.last(a.commits).number + 1,
        do: raise(Damage, message: "commits of segment #{b.id} do not follow")
    end

    state =
      for segment <- walked, commit <- segment.commits, frame <- commit.frames, reduce: new() do
        state -> apply_frame(frame, state)
      end

    Map.put(state, :commit, List.last(newest.commits).number)
  end

  # Segments

  defp open(id, path) do
    <<header::binary-4096, _::binary>> = bytes = File.read!(path)
    <<"sidekick", 1::little-32, crc::little-32, ^id::little-64, origin::binary-16, size::little-64, _::binary>> = header
    <<before::binary-12, _::32, behind::binary>> = header
    if Crc32c.of(before <> <<0::32>> <> behind) != crc, do: raise(Damage, message: "header of #{path}")
    if byte_size(bytes) != size, do: raise(Damage, message: "size of #{path}")
    %{id: id, path: path, bytes: bytes, size: size, origin: origin}
  end

  defp newest([segment | older]) do
    case walk(segment) do
      %{commits: []} = unborn when older != [] ->
        before = walk(hd(older))
        judge(unborn, List.last(before.commits).number + 1)
        newest(older)

      walked ->
        last = List.last(walked.commits)
        sealed = last != nil and match?([%{kind: 4}], last.frames)
        judge(walked, if(sealed, do: nil, else: if(last, do: last.number + 1, else: 1)))
        {walked, older}
    end
  end

  defp sealed!(segment) do
    walked = walk(segment)

    case List.last(walked.commits) do
      %{frames: [%{kind: 4}]} -> walked
      _ -> raise Damage, message: "#{segment.path} is not sealed; no valid record at byte #{walked.stop}"
    end
  end

  defp walk(segment) do
    {commits, stop} = commits(segment, 4096, [], [], 4096)
    Map.merge(segment, %{commits: commits, stop: stop})
  end

  # Whole commits only; `stop` is behind the last of them.
  defp commits(segment, offset, done, open, stop) do
    case frame(segment, offset) do
      nil ->
        {Enum.reverse(done), stop}

      frame ->
        previous = List.first(done)

        expected =
          cond do
            open != [] -> hd(open).commit
            previous != nil -> previous.number + 1
            true -> frame.commit
          end

        if frame.commit != expected, do: raise(Damage, message: "#{segment.path} byte #{offset}: commit out of order")
        open = [frame | open]

        if frame.last do
          commit = %{number: frame.commit, frames: Enum.reverse(open)}
          commits(segment, frame.stop, [commit | done], [], frame.stop)
        else
          commits(segment, frame.stop, done, open, stop)
        end
    end
  end

  defp head(%{bytes: bytes, id: id, size: size}, offset) when offset + 24 <= size do
    case binary_part(bytes, offset, 24) do
      <<crc::little-32, rest::binary-20>> = <<_::32, len::little-32, commit::little-64, kind, flags, 0, 0, body_crc::little-32>>
      when kind in 1..4 and flags in 0..1 ->
        if Crc32c.of(<<id::little-64, offset::little-64>> <> rest) == crc,
          do: %{len: len, commit: commit, kind: kind, last: flags == 1, body_crc: body_crc}

      _ ->
        nil
    end
  end

  defp head(_, _), do: nil

  defp frame(segment, offset) do
    with %{len: len} = head <- head(segment, offset),
         padded = div(24 + len + 7, 8) * 8 - 24,
         true <- offset + 24 + padded <= segment.size,
         body = binary_part(segment.bytes, offset + 24, padded),
         true <- Crc32c.of(body) == head.body_crc do
      Map.merge(head, %{body: binary_part(body, 0, len), stop: offset + 24 + padded})
    else
      _ -> nil
    end
  end

  # Nothing but the unfinished commit may stand behind the end.
  defp judge(segment, unfinished) do
    for offset <- segment.stop..(segment.size - 24)//8, head = head(segment, offset), head.commit != unfinished do
      raise Damage, message: "#{segment.path} byte #{segment.stop} is damaged: commit #{head.commit} follows at #{offset}"
    end
  end

  defp counted(newest) do
    for commit <- newest.commits, %{kind: 1, body: body} <- commit.frames, fact <- facts(body), reduce: [newest.id] do
      ids ->
        case fact do
          {:segments, ids} -> ids
          {:freed, id} -> ids -- [id]
          _ -> ids
        end
    end
  end

  # Fields

  defp name(<<n, name::binary-size(n), rest::binary>>) when n > 0, do: {name, rest}
  defp blob(<<n::little-32, blob::binary-size(n), rest::binary>>), do: {blob, rest}
  defp u64(<<n::little-64, rest::binary>>), do: {n, rest}
  defp list(<<n::little-32, rest::binary>>, take), do: times(n, rest, take, [])
  defp times(0, rest, _, done), do: {Enum.reverse(done), rest}

  defp times(n, rest, take, done) do
    {item, rest} = take.(rest)
    times(n - 1, rest, take, [item | done])
  end

  defp fields(rest, takes), do: Enum.map_reduce(takes, rest, fn take, rest -> take.(rest) end)

  defp facts(body) do
    {facts, ""} = list(body, &fact/1)
    facts
  end

  defp fact(<<1, rest::binary>>), do: {:reset, rest}
  defp fact(<<2, rest::binary>>), do: tag(:incarnation, u64(rest))
  defp fact(<<3, rest::binary>>), do: tag(:clock, u64(rest))
  defp fact(<<4, rest::binary>>), do: tag(:segments, list(rest, &u64/1))
  defp fact(<<5, rest::binary>>), do: tag(:freed, u64(rest))

  defp fact(<<6, rest::binary>>) do
    ranges = fn rest -> list(rest, &fields(&1, [fn r -> u64(r) end, fn r -> u64(r) end])) end
    tag(:stream, fields(rest, [&name/1, &u64/1, &u64/1, &u64/1, &u64/1, ranges]))
  end

  defp fact(<<7, rest::binary>>) do
    tail = fn rest -> list(rest, &fields(&1, [fn r -> name(r) end, fn r -> u64(r) end])) end
    tag(:scope, fields(rest, [&name/1, &u64/1, &blob/1, &u64/1, &u64/1, &u64/1, &u64/1, &u64/1, tail]))
  end

  defp fact(<<8, rest::binary>>), do: tag(:activation, fields(rest, [&name/1, &u64/1, &blob/1]))
  defp fact(<<9, rest::binary>>), do: tag(:cursor, fields(rest, [&name/1, &name/1, &u64/1]))
  defp fact(<<10, rest::binary>>), do: tag(:state_cursor, fields(rest, [&name/1, &name/1, &u64/1]))
  defp fact(<<11, rest::binary>>), do: tag(:forget, name(rest))

  defp fact(<<13, parent::binary-16, rest::binary>>), do: {{:parent, parent}, rest}

  defp fact(<<14, rest::binary>>),
    do: tag(:histories, list(rest, &fields(&1, [fn r -> name(r) end, fn <<n::little-32, r::binary>> -> {n, r} end])))

  defp fact(<<12, rest::binary>>) do
    landed = fn rest -> list(rest, &fields(&1, [fn r -> u64(r) end, fn r -> u64(r) end, fn r -> u64(r) end])) end
    tag(:producer, fields(rest, [&name/1, &name/1, &u64/1, landed]))
  end

  defp tag(tag, {value, rest}), do: {{tag, value}, rest}

  defp run(rest), do: fields(rest, [&name/1, &u64/1, fn rest -> list(rest, &blob/1) end])

  defp change(<<1, rest::binary>>), do: fields(rest, [&name/1, &blob/1])

  defp change(<<2, rest::binary>>) do
    {key, rest} = name(rest)
    {[key, nil], rest}
  end

  defp moved_run(<<at_ms::little-64, _cost::little-64, 0, rest::binary>>) do
    {run, rest} = run(rest)
    {{at_ms, nil, run}, rest}
  end

  defp moved_run(<<at_ms::little-64, _cost::little-64, 1, rest::binary>>) do
    {[scope, epoch, batch], <<number::little-32, rest::binary>>} = fields(rest, [&name/1, &u64/1, &u64/1])
    {run, rest} = run(rest)
    {{at_ms, {scope, {epoch, batch, number}}, run}, rest}
  end

  defp moved_entry(rest) do
    {[scope, rev], rest} = fields(rest, [&name/1, &u64/1])
    {change, rest} = change(rest)
    {{scope, rev, change}, rest}
  end

  # What the records leave

  defp new, do: %{events: %{}, streams: %{}, scopes: %{}, state: %{}, histories: [], tails: %{}, cursors: %{}}
  defp scope_of(state, scope), do: Map.get(state.scopes, scope, %{epoch: 0, last: {0, 0}, rev: 0, point: {0, 0}})

  defp apply_frame(%{kind: 4}, state), do: state
  defp apply_frame(%{kind: 1, body: body}, state), do: Enum.reduce(facts(body), state, &apply_fact/2)

  defp apply_frame(%{kind: 2, body: <<at_ms::little-64, flags, rest::binary>>}, state) do
    {session, rest} = if (flags &&& 1) != 0, do: fields(rest, [&name/1, &u64/1, &u64/1]), else: {nil, rest}
    {_, rest} = if (flags &&& 2) != 0, do: fields(rest, [&name/1, &name/1, &u64/1]), else: {nil, rest}
    {runs, rest} = list(rest, &run/1)

    {changes, ""} =
      if (flags &&& 4) != 0, do: fields(rest, [&name/1, &u64/1, fn r -> list(r, &change/1) end]), else: {nil, rest}

    state =
      for {[stream, first, _] = run, number} <- Enum.with_index(runs), reduce: state do
        state ->
          {kept, next} = Map.get(state.streams, stream, {1, 1})
          if first != next, do: raise(Damage, message: "sequence #{first} of #{stream}, expected #{next}")
          tag = if session && !changes, do: {hd(session), {Enum.at(session, 1), Enum.at(session, 2), number}}
          state = put_run(state, at_ms, tag, run)
          put_in(state.streams[stream], {kept, next + length(List.last(run))})
      end

    state =
      case session do
        nil ->
          state

        [scope, epoch, batch] ->
          found = %{scope_of(state, scope) | last: {epoch, batch}}
          found = if changes, do: %{found | point: {epoch, batch}}, else: found
          put_in(state.scopes[scope], found)
      end

    case changes do
      nil ->
        state

      [scope, rev, changes] ->
        state = put_in(state.scopes[scope], %{scope_of(state, scope) | rev: rev})
        Enum.reduce(changes, state, fn change, state -> put_change(state, scope, rev, change) end)
    end
  end

  defp apply_frame(%{kind: 3, body: body}, state) do
    {runs, rest} = list(body, &moved_run/1)
    {entries, ""} = list(rest, &moved_entry/1)
    state = Enum.reduce(runs, state, fn {at_ms, tag, run}, state -> put_run(state, at_ms, tag, run) end)
    Enum.reduce(entries, state, fn
      {scope, rev, [key, nil]}, state -> state |> put_change(scope, rev, [key, nil]) |> forget_before(scope, rev, key)
      {scope, rev, change}, state -> put_change(state, scope, rev, change)
    end)
  end

  defp put_run(state, at_ms, tag, [stream, first, payloads]) do
    events = for {payload, n} <- Enum.with_index(payloads), into: state.events, do: {{stream, first + n}, {at_ms, payload}}
    state = %{state | events: events}

    case tag do
      nil -> state
      {scope, place} -> put_in(state.tails[{scope, place}], {stream, first, length(payloads)})
    end
  end

  # The revisions of a key that count, newest first: its state, and so many earlier ones as the scope's rule keeps.
  defp put_change(state, scope, rev, [key, value]) do
    revisions = [{rev, value} | List.keydelete(Map.get(state.state, {scope, key}, []), rev, 0)]
    kept = revisions |> Enum.sort_by(&elem(&1, 0), :desc) |> Enum.take(1 + history_of(state, scope))
    put_in(state.state[{scope, key}], kept)
  end

  defp forget_before(state, scope, rev, key),
    do: update_in(state.state[{scope, key}], fn kept -> Enum.filter(kept, &(elem(&1, 0) >= rev)) end)

  defp history_of(%{histories: []}, _), do: 0

  defp history_of(state, scope) do
    Enum.find_value(state.histories, 0, fn [pattern, history] -> matches?(pattern, scope) && history end)
  end

  defp matches?(pattern, scope) do
    parts = pattern |> String.split("*") |> Enum.map(&Regex.escape/1)
    Regex.match?(Regex.compile!("\\A" <> Enum.join(parts, ".*") <> "\\z", "s"), scope)
  end

  defp apply_fact(:reset, state), do: %{state | cursors: %{}, histories: []}
  defp apply_fact({:histories, rules}, state), do: %{state | histories: rules}

  defp apply_fact({:stream, [name, first, next, _, _, _]}, state) do
    {kept, _} = Map.get(state.streams, name, {1, 1})
    put_in(state.streams[name], {max(first, kept), next})
  end

  defp apply_fact({:scope, [scope, epoch, _, last_epoch, last_batch, rev, point_epoch, point_batch, _]}, state) do
    put_in(state.scopes[scope], %{epoch: epoch, last: {last_epoch, last_batch}, rev: rev, point: {point_epoch, point_batch}})
  end

  defp apply_fact({:activation, [scope, epoch, _]}, state),
    do: put_in(state.scopes[scope], %{scope_of(state, scope) | epoch: epoch})

  defp apply_fact({:cursor, [sink, stream, seq]}, state) do
    state = update_in(state.streams, &Map.put_new(&1, stream, {1, 1}))
    put_in(state.cursors[{sink, stream}], seq)
  end

  defp apply_fact({:forget, sink}, state),
    do: %{state | cursors: Map.reject(state.cursors, fn {{name, _}, _} -> name == sink end)}

  defp apply_fact(_, state), do: state
end

hex = &Base.encode16(&1, case: :lower)

try do
  [dir] = System.argv()
  state = Journal.read(dir)
  first = fn stream -> elem(Map.get(state.streams, stream, {1, 1}), 0) end

  lines =
    for({{stream, seq}, {at_ms, payload}} <- state.events, seq >= first.(stream), do: "event #{hex.(stream)} #{seq} #{at_ms} #{hex.(payload)}") ++
      for({{scope, key}, [{_, value} | _]} <- state.state, value, do: "state #{hex.(scope)} #{hex.(key)} #{hex.(value)}") ++
      for({{scope, key}, [{_, newest} | past]} <- state.state, newest, {rev, value} <- Enum.take_while(past, &elem(&1, 1)),
        do: "past #{hex.(scope)} #{hex.(key)} #{rev} #{hex.(value)}"
      ) ++
      for({{scope, {epoch, batch, _}}, {stream, from, count}} <- state.tails,
        {epoch, batch} > state.scopes[scope].point,
        seq <- from..(from + count - 1),
        seq >= first.(stream),
        do: "tail #{hex.(scope)} #{hex.(stream)} #{seq}"
      ) ++
      for({name, {first, next}} <- state.streams, do: "stream #{hex.(name)} #{first} #{next - 1}") ++
      for({name, %{epoch: epoch, last: {le, lb}, rev: rev}} <- state.scopes, do: "scope #{hex.(name)} #{epoch} #{le} #{lb} #{rev}") ++
      for({{sink, stream}, seq} <- state.cursors, do: "cursor #{hex.(sink)} #{hex.(stream)} #{seq}")

  IO.puts(Enum.join(Enum.sort(lines) ++ ["ok #{state.commit}"], "\n"))
rescue
  error ->
    IO.puts(:stderr, "damaged: #{Exception.message(error)}")
    System.halt(1)
end
