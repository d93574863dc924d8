defmodule Sidekick.Consumer.Progress do
  @moduledoc false
  # What a consumer keeps in the store: how far it is, and what it set aside.
  #
  #     [:sidekick, :consumers, name, origin, stream]                        %{watermark:, updated_ms:}
  #     [:sidekick, :consumers, name, origin, stream, :dead, <<seq::64>>]    %{record:, reason:, at_ms:}

  @any {:if_name_matches, :any, :undefined}
  @dead_max 1_000

  @doc "How far it is; 0 where nothing is stored."
  @spec load(atom(), binary(), binary(), binary()) :: {:ok, non_neg_integer()} | {:error, term()}
  def load(store, name, origin, stream) do
    case :khepri.get(store, path(name, origin, stream)) do
      {:ok, %{watermark: watermark}} -> {:ok, watermark}
      # A node that only holds dead letters has no data.
      {:ok, _} -> {:ok, 0}
      {:error, {:khepri, :node_not_found, _}} -> {:ok, 0}
      {:error, _} = error -> error
    end
  end

  @doc "Stores how far it is."
  @spec save(atom(), binary(), binary(), binary(), pos_integer()) :: :ok | {:error, term()}
  def save(store, name, origin, stream, watermark),
    do: :khepri.put(store, path(name, origin, stream), %{watermark: watermark, updated_ms: now_ms()}, %{timeout: 8_000})

  @doc "Sets a record aside; refused where there are too many already, for then somebody has to look."
  @spec set_aside(atom(), binary(), binary(), binary(), Sidekick.Store.record(), String.t()) :: :ok | {:error, term()}
  def set_aside(store, name, origin, stream, record, reason) do
    dead = path(name, origin, stream) ++ [:dead]

    case :khepri.count(store, dead ++ [@any]) do
      {:ok, count} when count < @dead_max ->
        letter = %{record: record, reason: reason, at_ms: now_ms()}
        :khepri.put(store, dead ++ [<<record.seq::64>>], letter, %{timeout: 8_000})

      {:ok, count} ->
        {:error, {:too_many_dead_letters, %{count: count, remedy: "redrive or drop some"}}}

      {:error, _} = error ->
        error
    end
  end

  @doc "What was set aside, oldest first."
  @spec dead(atom(), binary()) :: {:ok, [map()]} | {:error, term()}
  def dead(store, name) do
    with {:ok, found} <- :khepri.get_many(store, [:sidekick, :consumers, name, @any, @any, :dead, @any]) do
      letters =
        for {[_, _, _, origin, stream, _, _], letter} <- found, do: Map.merge(letter, %{origin: origin, stream: stream})

      {:ok, Enum.sort_by(letters, &{&1.origin, &1.stream, &1.record.seq})}
    end
  end

  @doc "One of them."
  @spec dead(atom(), binary(), binary(), binary(), pos_integer()) :: {:ok, map()} | {:error, term()}
  def dead(store, name, origin, stream, seq) do
    case :khepri.get(store, path(name, origin, stream) ++ [:dead, <<seq::64>>]) do
      {:ok, %{record: _} = letter} -> {:ok, letter}
      {:error, {:khepri, :node_not_found, _}} -> {:error, :not_found}
      {:error, _} = error -> error
    end
  end

  @doc "Forgets one that was set aside."
  @spec drop(atom(), binary(), binary(), binary(), pos_integer()) :: :ok | {:error, term()}
  def drop(store, name, origin, stream, seq),
    do: :khepri.delete(store, path(name, origin, stream) ++ [:dead, <<seq::64>>])

  defp path(name, origin, stream), do: [:sidekick, :consumers, name, origin, stream]
  defp now_ms, do: System.os_time(:millisecond)
end
