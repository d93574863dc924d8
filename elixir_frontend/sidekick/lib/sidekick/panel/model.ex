defmodule Sidekick.Panel.Model do
  @moduledoc """
  The whole fleet as view models, and the pure reducer that makes them: `reduce(model, input, now_ms)`.

  Inputs:

    * `{:known, [%{node:, connected:, since_ms:}]}` - the nodes of a connector
    * `{:up, node}`, `{:down, node}`, `{:forgotten, node}`
    * `{:answers, node, %{info:, servers:, sinks:, streams:, asked_ms:}}` - what a sidekick answered, each `{:ok, value}` or
      `{:error, _}`; `asked_ms` is when it was asked. A whole picture: servers that are not in it are gone
    * `{:crashes, node, %{id => [summary]}}` - the crashes that servers had
    * `{:event, node, event}` - what a subscription told
    * `{:remembered, [summary]}` - what the store remembers (`Sidekick.Panel.Memory`); used only where nothing fresher is known
    * `{:store, map}` - what is known of the store
    * `{:acted, node, id, text}` - an operator did something, for the timeline

  What changed is gathered until `take/1`, so that a thousand events of one server are one change.

  Bounds: #{20_000} servers, #{2_000} sidekicks, #{500} crashes; what is beyond is counted in `:refused`.
  """

  alias Sidekick.Panel.{Host, Server}

  @hosts_max 2_000
  @servers_max 20_000
  @crashes_max 500

  defstruct hosts: %{}, servers: %{}, ids: %{}, crashes: [], store: %{}, changed: MapSet.new(), refused: 0

  @type crash :: %{
          node: node(),
          id: binary(),
          number: pos_integer(),
          at_ms: integer(),
          reason: term(),
          script_line: binary() | nil
        }
  @type change :: {:server, Server.key()} | {:host, node()} | :store | :crashes
  @type t :: %__MODULE__{
          hosts: %{node() => Host.t()},
          servers: %{Server.key() => Server.t()},
          ids: %{node() => MapSet.t(binary())},
          crashes: [crash()],
          store: map(),
          changed: MapSet.t(change()),
          refused: non_neg_integer()
        }
  @type input :: tuple()

  @doc "Nothing is known."
  @spec new() :: t()
  def new, do: %__MODULE__{}

  @doc "What changed since it was taken last."
  @spec take(t()) :: {MapSet.t(change()), t()}
  def take(model), do: {model.changed, %{model | changed: MapSet.new()}}

  @doc "The model after an input. An input of unknown form changes nothing."
  @spec reduce(t(), input(), integer()) :: t()
  def reduce(model, {:known, nodes}, now_ms) do
    Enum.reduce(nodes, model, fn %{node: node, connected: connected} = entry, model ->
      state = if connected, do: :loading, else: :offline

      if is_map_key(model.hosts, node),
        do: turn(model, node, state, now_ms),
        else: add(model, node, state, entry[:since_ms])
    end)
  end

  def reduce(model, {:up, node}, now_ms), do: turn(add(model, node, :loading, now_ms), node, :loading, now_ms)
  def reduce(model, {:down, node}, now_ms), do: turn(model, node, :offline, now_ms)

  def reduce(model, {:forgotten, node}, _now_ms) do
    model = Enum.reduce(ids(model, node), model, &remove(&2, node, &1))
    mark(%{model | hosts: Map.delete(model.hosts, node), ids: Map.delete(model.ids, node)}, {:host, node})
  end

  # Who went while it was asked stays away.
  def reduce(%{hosts: hosts} = model, {:answers, node, answers}, now_ms) do
    case {hosts[node], answers[:info]} do
      {%{state: state} = host, {:ok, %{} = info}} when state != :offline -> answered(model, host, info, answers, now_ms)
      {%{state: state}, _error} when state != :offline -> turn(model, node, :silent, now_ms)
      _ -> model
    end
  end

  def reduce(model, {:event, node, %{topic: topic, type: type, at_ms: at_ms} = event}, now_ms)
      when is_atom(type) and is_integer(at_ms) and is_map_key(model.hosts, node),
      do: happened(model, node, topic, event, now_ms)

  def reduce(model, {:crashes, node, %{} = lists}, _now_ms), do: Enum.reduce(lists, model, &listed(&2, node, &1))
  def reduce(model, {:remembered, summaries}, _now_ms), do: Enum.reduce(summaries, model, &remember/2)
  def reduce(model, {:store, store}, _now_ms) when store == model.store, do: model
  def reduce(model, {:store, store}, _now_ms), do: mark(%{model | store: store}, :store)

  def reduce(model, {:acted, node, id, text}, now_ms) do
    case model.servers do
      %{{^node, ^id} => server} ->
        put(model, Server.note(server, %{at_ms: now_ms, kind: :action, text: text, number: nil}))

      _ ->
        model
    end
  end

  def reduce(model, _input, _now_ms), do: model

  @doc "The servers of a sidekick."
  @spec ids(t(), node()) :: MapSet.t(binary())
  def ids(model, node), do: Map.get(model.ids, node, MapSet.new())

  defp answered(model, host, info, answers, now_ms) do
    told = %{info: info, sinks: value(answers[:sinks]), streams: value(answers[:streams])}
    host = Host.told(host, told, now_ms)
    model = put_host(model, host)

    case value(answers[:servers]) do
      statuses when is_list(statuses) ->
        statuses = for %{id: id} = status when is_binary(id) <- statuses, do: status
        gone = MapSet.difference(ids(model, host.node), MapSet.new(statuses, & &1.id))
        model = Enum.reduce(gone, model, &remove(&2, host.node, &1))
        Enum.reduce(statuses, model, &status(&2, host, &1, {answers[:asked_ms] || now_ms, now_ms}))

      nil ->
        model
    end
  end

  defp value({:ok, value}), do: value
  defp value(_), do: nil

  defp status(model, host, %{id: id} = status, {asked_ms, now_ms}) do
    with {:ok, server} <- server(model, host.node, id),
         do: put(model, Server.told(server, status, Host.lag_of(host, id), asked_ms, now_ms)),
         else: (:refused -> refuse(model))
  end

  defp listed(model, node, {id, summaries}) when is_list(summaries) do
    Enum.reduce(summaries, model, fn
      %{number: number, at_ms: at_ms} = summary, model when is_integer(number) and is_integer(at_ms) ->
        crashed(model, node, id, summary)

      _, model ->
        model
    end)
  end

  defp listed(model, _node, _other), do: model

  # A crash comes as an event and in a list; it is one all the same.
  defp crashed(model, node, id, crash) do
    entry = %{node: node, id: id, number: crash.number, at_ms: crash.at_ms}
    entry = Map.merge(entry, %{reason: crash[:reason], script_line: crash[:script_line]})
    model = newest_crash(model, entry)

    if Enum.any?(model.crashes, &(&1.node == node and &1.id == id and &1.number == crash.number)) do
      model
    else
      crashes =
        [entry | model.crashes] |> Enum.sort_by(&{-&1.at_ms, &1.node, &1.id, -&1.number}) |> Enum.take(@crashes_max)

      mark(%{model | crashes: crashes}, :crashes)
    end
  end

  defp newest_crash(model, entry) do
    case model.servers[{entry.node, entry.id}] do
      %Server{} = server ->
        put(model, Server.crashed(server, Map.take(entry, [:number, :at_ms, :reason, :script_line])))

      nil ->
        model
    end
  end

  defp happened(model, node, :buffer, event, _now_ms) do
    level = Map.drop(event, [:topic, :type, :seq, :at_ms])
    put_host(model, Host.level(model.hosts[node], level))
  end

  defp happened(model, node, _topic, %{id: id, type: :removed}, _now_ms) when is_binary(id), do: remove(model, node, id)

  defp happened(model, node, _topic, %{id: id} = event, now_ms) when is_binary(id) do
    case server(model, node, id) do
      {:ok, server} -> model |> put(Server.happened(server, event, now_ms)) |> if_crash(node, id, event)
      :refused -> refuse(model)
    end
  end

  defp happened(model, _node, _topic, _event, _now_ms), do: model

  defp if_crash(model, node, id, %{type: :crash, number: number} = event) when is_integer(number),
    do: crashed(model, node, id, event)

  defp if_crash(model, _node, _id, _event), do: model

  defp remember(%{node: node, at_ms: at_ms} = summary, model) do
    host = Map.get_lazy(model.hosts, node, fn -> Host.new(node, :offline, at_ms) end)

    if host.seen_ms || (host.remembered_ms || 0) >= at_ms || (not is_map_key(model.hosts, node) and full?(model)) do
      model
    else
      remembered = %{info: summary[:info] || %{}, sinks: summary[:sinks] || [], streams: summary[:streams] || []}
      model = put_host(model, struct(host, Map.put(remembered, :remembered_ms, at_ms)))
      Enum.reduce(summary[:servers] || [], model, &remembered(&2, node, &1, at_ms))
    end
  end

  defp remember(_summary, model), do: model

  defp remembered(model, node, %{id: id} = status, at_ms) when is_binary(id) do
    case server(model, node, id) do
      {:ok, server} ->
        fields = %{status: status, state: status[:state], since_ms: status[:since_ms], remembered_ms: at_ms}
        put(model, struct(server, fields))

      :refused ->
        refuse(model)
    end
  end

  defp remembered(model, _node, _status, _at_ms), do: model

  defp server(model, node, id) do
    case model.servers do
      %{{^node, ^id} => server} -> {:ok, server}
      servers when map_size(servers) < @servers_max -> {:ok, Server.new(node, id)}
      _ -> :refused
    end
  end

  defp refuse(model), do: %{model | refused: model.refused + 1}
  defp full?(model), do: map_size(model.hosts) >= @hosts_max

  defp add(model, node, _state, _since_ms) when is_map_key(model.hosts, node), do: model

  defp add(model, node, state, since_ms) do
    if full?(model), do: refuse(model), else: put_host(model, Host.new(node, state, since_ms))
  end

  defp turn(model, node, state, now_ms) do
    case model.hosts do
      %{^node => host} -> put_host(model, Host.turn(host, state, now_ms))
      _ -> model
    end
  end

  defp put_host(model, %{node: node} = host) when :erlang.map_get(node, model.hosts) == host, do: model

  defp put_host(model, %{node: node} = host),
    do: mark(%{model | hosts: Map.put(model.hosts, node, host)}, {:host, node})

  defp put(model, %{key: {node, id} = key} = server) do
    ids = Map.update(model.ids, node, MapSet.new([id]), &MapSet.put(&1, id))
    mark(%{model | servers: Map.put(model.servers, key, server), ids: ids}, {:server, key})
  end

  defp remove(model, node, id) do
    ids = Map.update(model.ids, node, MapSet.new(), &MapSet.delete(&1, id))
    mark(%{model | servers: Map.delete(model.servers, {node, id}), ids: ids}, {:server, {node, id}})
  end

  defp mark(model, change), do: %{model | changed: MapSet.put(model.changed, change)}
end
