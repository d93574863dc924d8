defmodule Sidekick.Panel.Asking do
  @moduledoc """
  Asks sidekicks how they fare: all at once, and no longer than one of them takes.
  """

  @timeout_ms 4_000
  # Lists of crashes are read from disk there, so they are asked for once, and not for more servers than these.
  @crash_lists_max 100
  @requests [:info, :servers, :sinks, :streams]

  @type answers :: %{node() => map()}

  @doc "What the nodes answer, as the input `:answers` of `Sidekick.Panel.Model` takes it."
  @spec all([node()]) :: answers()
  def all(nodes) do
    asked_ms = System.os_time(:millisecond)
    opts = [timeout: @timeout_ms]

    given =
      @requests
      |> Task.async_stream(&Sidekick.multi_request(nodes, &1, opts),
        max_concurrency: length(@requests),
        timeout: :infinity
      )
      |> Enum.map(fn {:ok, answers} -> answers end)

    Map.new(nodes, fn node ->
      answers = @requests |> Enum.zip(Enum.map(given, & &1[node])) |> Map.new()
      {node, Map.put(answers, :asked_ms, asked_ms)}
    end)
  end

  @doc "Adds the crashes of the servers that had one, for nodes of which none are known yet."
  @spec with_crashes(answers(), [node()]) :: answers()
  def with_crashes(answers, nodes) do
    wanted =
      for node <- nodes, {:ok, statuses} when is_list(statuses) <- [answers[node][:servers]], status <- statuses do
        with %{id: id, last_exit: %{bundle: number}} when is_integer(number) <- status, do: {node, id}, else: (_ -> nil)
      end

    wanted
    |> Enum.reject(&is_nil/1)
    |> Enum.take(@crash_lists_max)
    |> Task.async_stream(fn {node, id} -> {node, id, Sidekick.crashes(node, id, timeout: @timeout_ms)} end,
      max_concurrency: 16,
      timeout: :infinity
    )
    |> Enum.reduce(answers, fn
      {:ok, {node, id, {:ok, list}}}, answers ->
        update_in(answers[node], &Map.update(&1, :crashes, %{id => list}, fn crashes -> Map.put(crashes, id, list) end))

      _, answers ->
        answers
    end)
  end
end
