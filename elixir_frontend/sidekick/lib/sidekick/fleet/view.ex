defmodule Sidekick.Fleet.View do
  @moduledoc """
  What is known of each sidekick. An entry:

    * `:node`, `:state` - `:up`, `:down`, or `:silent` where it is connected and does not answer
    * `:since_ms` - since when
    * `:version`, `:origin`, `:incarnation` - as it last told, `nil` before
    * `:servers`, `:sinks`, `:buffer` - as it last told
    * `:seen_ms` - when it last answered
    * `:problems` - `{:server, id, state}`, `{:buffer, :full}`, `{:sink, name, error}`, `:silent`, `:down`
  """

  @troubled [:unresponsive, :backing_off, :quarantined]

  @type problem :: {:server, binary(), atom()} | {:buffer, :full} | {:sink, binary(), binary()} | :silent | :down
  @type entry :: %{
          node: node(),
          state: :up | :down | :silent,
          since_ms: non_neg_integer(),
          version: binary() | nil,
          origin: binary() | nil,
          incarnation: pos_integer() | nil,
          servers: [Sidekick.status()],
          sinks: [map()],
          buffer: map(),
          seen_ms: non_neg_integer() | nil,
          problems: [problem()]
        }
  @type t :: %{node() => map()}

  @doc "Nobody is known."
  @spec new() :: t()
  def new, do: %{}

  @doc "The entries, by name."
  @spec list(t()) :: [entry()]
  def list(view), do: view |> Enum.sort() |> Enum.map(fn {_, entry} -> Map.delete(entry, :ref) end)

  @doc "Whether a node is known."
  @spec known?(t(), node()) :: boolean()
  def known?(view, node), do: is_map_key(view, node)

  @doc "Whether its events are not being told yet."
  @spec unsubscribed?(t(), node()) :: boolean()
  def unsubscribed?(view, node), do: match?(%{ref: nil}, view[node])

  @doc "Takes in the nodes of a connector."
  @spec known(t(), [Sidekick.Nodes.entry()]) :: t()
  def known(view, nodes) do
    Enum.reduce(nodes, view, fn %{node: node, connected: connected, since_ms: since}, view ->
      case view do
        %{^node => %{state: :down}} when connected -> up(view, node)
        %{^node => %{state: state}} when state != :down and not connected -> down(view, node)
        %{^node => _} -> view
        _ -> Map.put(view, node, judge(%{fresh(node) | state: if(connected, do: :up, else: :down), since_ms: since}))
      end
    end)
  end

  @doc "A node is connected."
  @spec up(t(), node()) :: t()
  def up(view, node), do: turn(view, node, :up)

  @doc "A node is not connected any more; what it told stays, to be read."
  @spec down(t(), node()) :: t()
  def down(view, node), do: turn(view, node, :down)

  @doc "Asks nodes how they fare, and some to tell their events to `pid`."
  @spec ask([node()], [node()], pid()) :: %{node() => map()}
  def ask(nodes, new, pid) do
    # At once, for all others wait as long as one that is silent.
    requests = [{nodes, :info}, {nodes, :servers}, {nodes, :sinks}, {new, {:subscribe, pid, [:servers]}}]

    asked =
      Task.async_stream(requests, fn {nodes, request} -> Sidekick.multi_request(nodes, request) end,
        timeout: :infinity,
        max_concurrency: 4
      )

    [info, servers, sinks, refs] = Enum.map(asked, fn {:ok, answers} -> answers end)
    Map.new(nodes, &{&1, %{info: info[&1], servers: servers[&1], sinks: sinks[&1], ref: refs[&1]}})
  end

  @doc "Takes in the answers."
  @spec probed(t(), %{node() => map()}) :: t()
  def probed(view, answers), do: Enum.reduce(answers, view, &answered/2)

  @doc "What to tell of two states of the view."
  @spec changes(t(), t()) :: [{:sidekick_fleet, node(), term()}]
  def changes(before, now) do
    for {node, entry} <- Enum.sort(now), what <- changed(before[node], entry), do: {:sidekick_fleet, node, what}
  end

  defp changed(nil, entry), do: [:known | changed(%{entry | state: nil, problems: []}, entry)]

  defp changed(before, entry) do
    state = if before.state != entry.state and entry.state != :silent, do: [entry.state], else: []
    problems = if before.problems != entry.problems, do: [{:problems, entry.problems}], else: []
    state ++ problems
  end

  # A node that went down while it was asked stays down.
  defp answered({node, answer}, view) do
    case {view[node], answer.info} do
      {nil, _} -> view
      {%{state: :down}, _} -> view
      {entry, {:ok, info}} -> Map.put(view, node, judge(told(entry, info, answer)))
      {entry, _error} -> Map.put(view, node, judge(turned(entry, :silent)))
    end
  end

  defp told(entry, info, answer) do
    lists = for {key, {:ok, list}} <- [servers: answer.servers, sinks: answer.sinks], into: %{}, do: {key, list}
    ref = with {:ok, ref} <- answer.ref, do: ref
    ref = if is_reference(ref), do: ref, else: entry.ref
    seen = %{version: info.version, origin: info.origin, incarnation: info.incarnation, buffer: info.buffer}
    entry |> turned(:up) |> Map.merge(seen) |> Map.merge(lists) |> Map.merge(%{seen_ms: now_ms(), ref: ref})
  end

  defp turn(view, node, state) do
    case view do
      %{^node => entry} -> Map.put(view, node, judge(turned(entry, state)))
      _ -> Map.put(view, node, judge(%{fresh(node) | state: state}))
    end
  end

  defp turned(%{state: state} = entry, state), do: entry
  # With the connection the subscription is gone.
  defp turned(entry, :down), do: %{entry | state: :down, since_ms: now_ms(), ref: nil}
  defp turned(entry, state), do: %{entry | state: state, since_ms: now_ms()}

  defp judge(%{state: :up} = entry) do
    servers = for %{id: id, state: state} <- entry.servers, state in @troubled, do: {:server, id, state}
    sinks = for %{name: name, error: error} when error != nil <- entry.sinks, do: {:sink, name, error}
    buffer = if entry.buffer[:full] == true, do: [{:buffer, :full}], else: []
    %{entry | problems: buffer ++ servers ++ sinks}
  end

  defp judge(%{state: state} = entry), do: %{entry | problems: [state]}

  defp fresh(node) do
    unknown = %{version: nil, origin: nil, incarnation: nil, servers: [], sinks: [], buffer: %{}, seen_ms: nil}
    Map.merge(unknown, %{node: node, state: :down, since_ms: now_ms(), problems: [], ref: nil})
  end

  defp now_ms, do: System.os_time(:millisecond)
end
