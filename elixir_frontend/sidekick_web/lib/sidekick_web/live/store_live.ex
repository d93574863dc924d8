defmodule SidekickWeb.StoreLive do
  @moduledoc "Streams and sinks of all sidekicks, what lags most first; and the store: its members, leader and health."

  use SidekickWeb.Page

  import SidekickWeb.StoreParts

  alias Sidekick.Panel.{Host, Query}
  alias SidekickWeb.Slice

  @per 50
  @hosts_per 200
  # Sinks that fare well say little; those that lag stand first.
  @sinks_max 20
  # Of the scopes whose state a sink refuses.
  @refused_max 5

  @impl Phoenix.LiveView
  def mount(_params, _session, socket), do: {:ok, assign(socket, page: :store, page_title: "Streams and store")}

  @impl Phoenix.LiveView
  def handle_params(params, _uri, socket),
    do: {:noreply, socket |> assign(text: text(params["q"]), at: Slice.page(params)) |> refresh(:all)}

  @impl SidekickWeb.Follow
  def refresh(%{assigns: %{hub: hub, text: text, at: at}} = socket, _changes) do
    hosts = hosts(hub, 1, [])
    sinks = for host <- hosts, sink <- host.sinks, fits?(text, host, sink[:name]), do: sink(host, sink)
    streams = for host <- hosts, stream <- host.streams, fits?(text, host, stream[:name]), do: stream(host, stream)
    {shown, more} = sinks |> Enum.sort_by(&{-(&1.behind || 0), &1.node, &1.name}) |> Enum.split(@sinks_max)

    assign(socket,
      shared: Panel.store(hub) || %{members: [], streams: [], quorum: :unknown, uuid: nil, applied: nil, error: nil},
      sinks: shown,
      sinks_more: length(more),
      slice: streams |> Enum.sort_by(&{-&1.behind, &1.node, &1.name}) |> Slice.of(at, @per),
      left_out: hosts |> Enum.map(& &1.more_streams) |> Enum.sum(),
      notice: notice(hub, hosts, streams, text),
      sink_notice: if(hosts != [] and sinks == [] and text == "", do: Notice.of(:no_sinks))
    )
  end

  @impl Phoenix.LiveView
  def handle_event("filter", %{"q" => text}, socket) when is_binary(text) do
    params = if text == "", do: %{}, else: %{"q" => text(text)}
    {:noreply, push_patch(socket, to: Names.with_params(socket.assigns.base <> "/store", params))}
  end

  def handle_event(_unknown, _params, socket), do: {:noreply, socket}

  @impl Phoenix.LiveView
  def handle_info(_message, socket), do: {:noreply, socket}

  defp hosts(hub, page, known) do
    case Panel.sidekicks(%Query{per: @hosts_per, page: page, sort: :name}, hub) do
      nil -> []
      %{rows: rows, pages: pages} when page < pages -> hosts(hub, page + 1, [hosts_of(rows) | known])
      %{rows: rows} -> [hosts_of(rows) | known] |> Enum.reverse() |> Enum.concat()
    end
  end

  defp hosts_of(rows), do: for({_row, %Host{} = host, _reasons} <- rows, do: host)

  defp sink(host, sink) do
    refused = Host.refused(sink)

    %{
      node: host.node,
      old: host.state != :up,
      name: Format.text(sink[:name], 100),
      kind: Format.words(sink[:kind]),
      state: Format.words(sink[:state]),
      bad: Host.trouble(sink) in [:halted, :removed, :fails],
      # One that is configured is refused that.
      gone: Host.trouble(sink) == :removed,
      behind: sink[:lag_records],
      behind_bytes: Format.bytes(sink[:lag_bytes]),
      behind_for: Format.duration(sink[:lag_age_ms]),
      dead: sink[:dead_letters],
      refused: refused |> Enum.take(@refused_max) |> Enum.map_join(", ", &Format.text(&1, 60)),
      refused_more: max(0, length(refused) - @refused_max),
      error: if(is_binary(sink[:error]), do: Format.text(sink[:error], 300))
    }
  end

  defp stream(host, stream) do
    cursors = with %{} = cursors <- stream[:cursors], do: cursors, else: (_ -> %{})

    %{
      node: host.node,
      old: host.state != :up,
      name: Format.text(stream.name, 200),
      first: Format.count(stream[:first]),
      last: Format.count(stream[:last]),
      bytes: Format.bytes(stream[:bytes]),
      dropped: stream[:dropped] || 0,
      behind: Host.behind(stream),
      cursors:
        cursors
        |> Enum.sort()
        |> Enum.take(10)
        |> Enum.map_join(", ", fn {sink, at} -> "#{Format.text(sink, 60)} #{Format.count(at)}" end)
    }
  end

  defp fits?("", _host, _name), do: true

  defp fits?(text, host, name),
    do: String.contains?(String.downcase("#{host.node} #{Format.text(name)}"), String.downcase(text))

  defp notice(hub, hosts, streams, text) do
    cond do
      Panel.totals(hub) == nil -> Notice.of(:not_running)
      hosts == [] -> Notice.of(:no_sidekicks)
      streams == [] and text != "" -> Notice.of(:no_match)
      streams == [] -> Notice.of(:no_streams)
      true -> nil
    end
  end

  defp text(text) when is_binary(text), do: Format.text(text, 100)
  defp text(_), do: ""

  @impl Phoenix.LiveView
  def render(assigns) do
    ~H"""
    <h1 class="hidden-text">Streams and store</h1>
    <.store store={@shared} />
    <.sinks sinks={@sinks} more={@sinks_more} notice={@sink_notice} text={@text} user={@user} />
    <.streams slice={@slice} notice={@notice} text={@text} base={@base} left_out={@left_out} />
    <.kept streams={@shared.streams} />
    """
  end
end
