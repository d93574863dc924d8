defmodule MyApp.Matches do
  use Sidekick.Consumer

  import Ecto.Query

  alias MyApp.Repo

  # The database goes away, wants the transaction again or does not know whether it committed (CockroachDB under
  # contention and as its nodes die): not the records' fault.
  @again [:serialization_failure, :statement_completion_unknown, :deadlock_detected] ++
           [:admin_shutdown, :crash_shutdown, :cannot_connect_now]

  @impl true
  def watermark(origin, stream, _state) do
    query = from w in "watermarks", where: w.origin == ^origin and w.stream == ^stream, select: w.seq
    {:ok, Repo.one(query) || 0}
  end

  @impl true
  def handle_batch(batch, state) do
    key = %{origin: batch.origin, stream: batch.stream}
    goals = for %{seq: seq, payload: p} <- batch.records, do: Map.merge(key, %{seq: seq, kind: p["kind"], by: p["by"]})
    watermark = Map.put(key, :seq, batch.last)
    # A record that was set aside and is driven again must not take the watermark back.
    ahead = from w in "watermarks", update: [set: [seq: fragment("greatest(?, excluded.seq)", w.seq)]]

    {:ok, _} =
      Repo.transaction(fn ->
        # Who loses the connection during a commit does not know its outcome: the batch comes again.
        Repo.insert_all("goals", goals, on_conflict: :nothing, conflict_target: [:origin, :stream, :seq])
        Repo.insert_all("watermarks", [watermark], on_conflict: ahead, conflict_target: [:origin, :stream])
      end)

    {:ok, state}
  rescue
    error in DBConnection.ConnectionError -> {:retry, error, state}
    error in Postgrex.Error -> {if(error.postgres[:code] in @again, do: :retry, else: :error), error, state}
  end
end
