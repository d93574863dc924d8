defmodule Sidekick.Test.Uploads do
  @moduledoc "Uploads as sidekick sends them."

  @origin "5f0c8a52-6f0e-4b7e-9a77-3a6d5f1c2b11"

  def origin, do: @origin

  @doc "An upload of the records `first..last`."
  def upload(stream, first, last, opts \\ []) do
    records = for seq <- first..last//1, do: record(seq, opts)

    map = %{
      origin: @origin,
      node: :"sidekick@127.0.0.1",
      stream: stream,
      after: Keyword.get(opts, :after, first - 1),
      first: first,
      last: last,
      dropped: Keyword.get(opts, :dropped, []),
      records: records
    }

    {:upload, Map.merge(map, Map.new(Keyword.get(opts, :merge, [])))}
  end

  @doc "The record with this sequence."
  def record(seq, opts \\ []), do: %{seq: seq, at_ms: 1_700_000_000_000 + seq, payload: payload(seq, opts)}

  defp payload(seq, opts) do
    case Keyword.get(opts, :bytes) do
      nil -> %{"n" => seq, "pos" => {1.5, -2.0}, "tags" => ["a", :b]}
      bytes -> :binary.copy(<<rem(seq, 251)>>, bytes)
    end
  end

  @doc "A state upload."
  def state(scope, before, rev, put, delete \\ [], epoch \\ 1) do
    {:upload_state, %{origin: @origin, scope: scope, epoch: epoch, after: before, rev: rev, put: put, delete: delete}}
  end
end
