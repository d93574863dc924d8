defmodule Sidekick.Panel.Asking do
  @moduledoc """
  Asks sidekicks how they fare: all at once, and no longer than one of them takes.

  Only those are asked that are connected: to connect is the connector's work, one node at a time. Asking two hundred hosts whose
  names no longer resolve would hold up every connection of this node: `net_kernel` looks names up itself, one after the other.
  """

  alias Sidekick.Client.Call

  @timeout_ms 4_000
  @requests [:info, :servers, :sinks, :streams]

  @type answers :: %{node() => map()}

  @doc "What the nodes answer, as the input `:answers` of `Sidekick.Panel.Model` takes it."
  @spec all([node()]) :: answers()
  def all(nodes) do
    asked_ms = System.os_time(:millisecond)
    opts = [timeout: @timeout_ms]

    given =
      @requests
      |> Task.async_stream(&request(nodes, &1, opts),
        max_concurrency: length(@requests),
        timeout: :infinity
      )
      |> Enum.map(fn {:ok, answers} -> answers end)

    Map.new(nodes, fn node ->
      answers = @requests |> Enum.zip(Enum.map(given, & &1[node])) |> Map.new()
      {node, Map.put(answers, :asked_ms, asked_ms)}
    end)
  end

  @doc "`Sidekick.multi_request/3` of those that are connected; the others are not, which is their answer."
  @spec request([node()], term(), keyword()) :: %{node() => term()}
  def request(nodes, request, opts \\ []) do
    {there, away} = Enum.split_with(nodes, connected())
    answers = if there == [], do: %{}, else: Sidekick.multi_request(there, request, opts)
    Enum.into(away, answers, &{&1, Call.error(&1, :not_connected, %{})})
  end

  defp connected do
    connected = MapSet.new([node() | Node.list(:connected)])
    &MapSet.member?(connected, &1)
  end

  @doc """
  The crashes that these servers had, `%{node => %{id => [summary]}}`. Not only of those whose status tells of one: a sidekick that was
  started anew has the bundles of before.
  """
  @spec crashes([{node(), [binary()]}]) :: %{node() => %{binary() => [map()]}}
  def crashes(wanted) do
    connected = connected()

    wanted
    |> Enum.filter(fn {node, _ids} -> connected.(node) end)
    |> Enum.flat_map(fn {node, ids} -> Enum.map(ids, &{node, &1}) end)
    |> Task.async_stream(fn {node, id} -> {node, id, Sidekick.crashes(node, id, timeout: @timeout_ms)} end,
      max_concurrency: 16,
      timeout: :infinity
    )
    |> Enum.reduce(%{}, fn
      {:ok, {node, id, {:ok, list}}}, all -> Map.update(all, node, %{id => list}, &Map.put(&1, id, list))
      {:ok, _error}, all -> all
    end)
  end
end
