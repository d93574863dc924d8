defmodule Sidekick.Panel.Notice do
  @moduledoc """
  What a page says where there is nothing to show, or where what it shows may not be so any more: each with what to do.

      iex> Sidekick.Panel.Notice.of(:no_match)
      %{kind: :empty, text: "Nothing fits the search.", todo: "Take away a filter."}
  """

  alias Sidekick.Panel.{Format, Host}

  @type t :: %{kind: :loading | :empty | :stale | :error, text: String.t(), todo: String.t()}

  @doc "A notice by name."
  @spec of(atom()) :: t()
  def of(:not_running),
    do:
      notice(:loading, "The panel's model is starting.", "It shows by itself; if it does not, look at this node's log.")

  def of(:no_sidekicks) do
    notice(
      :empty,
      "No sidekick is known yet.",
      "Name them in the option :nodes (SIDEKICK_NODES), or let one upload to this node: whoever uploads is known from then on."
    )
  end

  def of(:no_servers),
    do: notice(:empty, "No server is configured.", "Add a [[server]] to the sidekick's configuration and reload it.")

  def of(:no_match), do: notice(:empty, "Nothing fits the search.", "Take away a filter.")
  def of(:no_crashes), do: notice(:empty, "No crash is known.", "Nothing need be done.")

  def of(:no_streams),
    do: notice(:empty, "No stream holds a record yet.", "Call Sidekick.record(stream, value) in the game.")

  def of(:no_sinks),
    do: notice(:empty, "No sink is configured: records stay in the buffer.", "Add a [[sink]] to the configuration.")

  def of(:no_audit), do: notice(:empty, "Nobody has done anything yet.", "Nothing need be done.")
  def of(:nothing_urgent), do: notice(:empty, "Nothing needs attention.", "Nothing need be done.")

  def of(:lost_quorum) do
    notice(
      :error,
      "The store has lost its majority: what it shows may be old, and nothing is stored until it is back.",
      "Bring back the members that are down. Sidekicks keep their records meanwhile."
    )
  end

  def of(:no_store),
    do:
      notice(
        :error,
        "The store does not run on this node.",
        "Start it ({Sidekick, data_dir: …}), and look at the log for why it ended."
      )

  @doc "What to say of a sidekick that is not as it should be; nil where it is."
  @spec of_host(Host.t(), integer()) :: t() | nil
  def of_host(%Host{state: :up}, _now_ms), do: nil

  def of_host(%Host{state: :loading, remembered_ms: nil, node: node}, _now_ms),
    do: notice(:loading, "#{node} is being asked.", "Wait a moment.")

  def of_host(%Host{state: :loading} = host, now_ms),
    do: notice(:stale, "#{host.node} is being asked; this is from #{age(host, now_ms)}.", "Wait a moment.")

  def of_host(%Host{state: :silent} = host, now_ms) do
    notice(
      :stale,
      "#{host.node} is connected and does not answer; this is from #{age(host, now_ms)}.",
      "Look at sidekick's log on that machine."
    )
  end

  def of_host(%Host{state: :offline, seen_ms: nil, remembered_ms: nil, node: node}, _now_ms),
    do:
      notice(
        :error,
        "#{node} cannot be reached, and nothing is known of it from before.",
        "Check its name, the cookie and the network."
      )

  def of_host(%Host{state: :offline} = host, now_ms) do
    notice(
      :stale,
      "#{host.node} cannot be reached; this is from #{age(host, now_ms)}.",
      "Its games play on without the connection. Look whether sidekick runs there."
    )
  end

  @doc "What to say of the store; nil where it is as it should be."
  @spec of_store(map()) :: t() | nil
  def of_store(%{quorum: :lost}), do: of(:lost_quorum)
  def of_store(%{error: reason}) when reason != nil, do: of(:no_store)
  def of_store(_store), do: nil

  defp age(host, now_ms), do: Format.ago(host.seen_ms || host.remembered_ms, now_ms)
  defp notice(kind, text, todo), do: %{kind: kind, text: text, todo: todo}
end
