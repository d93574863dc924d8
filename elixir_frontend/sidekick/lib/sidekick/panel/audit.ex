defmodule Sidekick.Panel.Audit do
  @moduledoc """
  Who did what, when, and what came of it; kept in Khepri, so that it outlives this node and is the same on all members.

      [:sidekick, :panel, :audit, :done | :denied, <<at_ms::64, count::64, random::32>>]    the entry as a map

  An entry: `%{at_ms:, who:, role:, action:, target:, outcome:, detail:, from:}`; `outcome` is `:ok`, `:failed`, `:unknown` (no answer
  in time: it may have happened) or `:denied`. A new one is told by
  `Sidekick.Store.Watch` as `{:changed, :audit}`. At most #{10_000} entries are kept, and apart from them #{1_000} of what was denied, so
  that nobody can wash away the others by trying what they may not.
  """

  alias Sidekick.Panel.Format
  alias Sidekick.Store.Watch

  @any {:if_name_matches, :any, :undefined}
  @kept %{done: 10_000, denied: 1_000}
  # Counting walks the tree, so it is not done each time.
  @prune_each 64
  @timeout_ms 5_000

  @type entry :: %{
          at_ms: integer(),
          who: String.t(),
          role: atom(),
          action: atom(),
          target: String.t(),
          outcome: :ok | :failed | :unknown | :denied,
          detail: String.t(),
          from: node()
        }

  @doc "Writes an entry. `{:error, _}` where the store does not take it."
  @spec write(map(), atom()) :: :ok | {:error, term()}
  def write(entry, store \\ :sidekick_store) do
    entry = bounded(entry)
    kind = if entry.outcome == :denied, do: :denied, else: :done
    # In the order in which they were written, also within one millisecond.
    count = System.unique_integer([:monotonic, :positive])
    path = path(kind) ++ [<<entry.at_ms::64, count::64>> <> :crypto.strong_rand_bytes(4)]

    with :ok <- :khepri.put(store, path, entry, %{timeout: @timeout_ms}) do
      Watch.changed(:audit, store)
      if :rand.uniform(@prune_each) == 1, do: prune(store)
      :ok
    end
  end

  @doc "The newest entries, newest first. Options: `limit:` (default 200), `who:`, `outcome:`, `target:` (part of it)."
  @spec list(keyword(), atom()) :: {:ok, [entry()]} | {:error, term()}
  def list(opts \\ [], store \\ :sidekick_store) do
    with {:ok, found} <- :khepri.get_many(store, [:sidekick, :panel, :audit, @any, @any]) do
      entries =
        found
        |> Enum.sort_by(fn {path, _} -> List.last(path) end, :desc)
        |> Stream.map(fn {_path, entry} -> entry end)
        |> Stream.filter(&wanted?(&1, opts))
        |> Enum.take(Keyword.get(opts, :limit, 200))

      {:ok, entries}
    end
  end

  @doc "Removes the oldest entries beyond what is kept; answers how many."
  @spec prune(atom(), %{done: pos_integer(), denied: pos_integer()}) :: {:ok, non_neg_integer()} | {:error, term()}
  def prune(store \\ :sidekick_store, kept \\ @kept) do
    Enum.reduce_while(kept, {:ok, 0}, fn {kind, max}, {:ok, removed} ->
      case prune_kind(store, kind, max) do
        {:ok, count} -> {:cont, {:ok, removed + count}}
        error -> {:halt, error}
      end
    end)
  end

  defp prune_kind(store, kind, max) do
    with {:ok, count} when count > max <- :khepri.count(store, path(kind) ++ [@any]),
         {:ok, found} <- :khepri.get_many(store, path(kind) ++ [@any]) do
      old = found |> Map.keys() |> Enum.sort_by(&List.last/1, :desc) |> Enum.drop(max)
      Enum.each(old, &:khepri.delete(store, &1, %{timeout: @timeout_ms}))
      {:ok, length(old)}
    else
      {:ok, _few} -> {:ok, 0}
      {:error, _} = error -> error
    end
  end

  defp path(kind), do: [:sidekick, :panel, :audit, kind]

  defp wanted?(entry, opts) do
    (opts[:who] == nil or entry.who == opts[:who]) and
      (opts[:outcome] == nil or entry.outcome == opts[:outcome]) and
      (opts[:target] == nil or String.contains?(entry.target, opts[:target]))
  end

  defp bounded(entry) do
    %{
      at_ms: entry[:at_ms] || System.os_time(:millisecond),
      who: Format.text(entry.who, 64),
      role: entry[:role],
      action: entry.action,
      target: Format.text(entry[:target] || "", 300),
      outcome: entry.outcome,
      detail: Format.text(entry[:detail] || "", 500),
      from: node()
    }
  end
end
