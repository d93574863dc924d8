defmodule Sidekick.Panel.StoreView do
  @moduledoc """
  The store as the panel shows it: `%{quorum:, uuid:, members: [%{node:, connected:, leader:}], applied:, origins:, streams:, error:}`.
  """

  alias Sidekick.Store
  alias Sidekick.Store.{Cluster, Watch}

  @origins_max 200
  @streams_max 200

  @type t :: %{optional(atom()) => term()}

  @doc "Reads it on this node. It never fails: where the store does not run, `:error` says so."
  @spec read(atom()) :: t()
  def read(store \\ :sidekick_store) do
    case Cluster.known_members(store) do
      {:ok, nodes} -> running(store, nodes)
      {:error, reason} -> absent(reason)
    end
  catch
    :exit, reason -> absent(reason)
    :error, reason -> absent(reason)
  end

  @doc "What there is to show before anything was read."
  @spec unknown() :: t()
  def unknown, do: %{quorum: :unknown, uuid: nil, members: [], applied: nil, streams: [], error: nil}

  defp running(store, nodes) do
    leader = with {_name, node} <- :ra_leaderboard.lookup_leader(store), do: node, else: (_ -> nil)
    connected = [node() | Node.list(:connected)]
    members = for node <- nodes, do: %{node: node, connected: node in connected, leader: node == leader}
    metrics = :ra.key_metrics({store, node()})
    uuid = with {:ok, uuid} <- Store.uuid(store), do: uuid, else: (_ -> nil)

    %{
      quorum: Watch.quorum(store),
      uuid: uuid,
      members: members,
      applied: metrics[:last_applied],
      streams: streams(store),
      error: nil
    }
  end

  defp streams(store) do
    with {:ok, origins} <- Store.origins(store) do
      for origin <- Enum.take(Enum.sort(origins), @origins_max),
          {:ok, streams} <- [Store.streams(origin, store)],
          stream <- streams do
        stream |> Map.take([:stream, :watermark, :records, :bytes, :dropped, :updated_ms]) |> Map.put(:origin, origin)
      end
      |> Enum.take(@streams_max)
    else
      {:error, _} -> []
    end
  end

  defp absent(reason), do: %{unknown() | error: reason}
end
