defmodule SidekickWeb.StoreLive do
  @moduledoc "Streams and sinks of all sidekicks, what lags most first; and the store: its members, leader and health."

  use SidekickWeb.Page

  alias Sidekick.Panel.{Host, Query}
  alias SidekickWeb.Slice

  @per 50
  @hosts_per 200
  # Sinks that fare well say little; those that lag stand first.
  @sinks_max 20

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
    %{
      node: host.node,
      old: host.state != :up,
      name: Format.text(sink[:name], 100),
      kind: Format.words(sink[:kind]),
      state: Format.words(sink[:state]),
      bad: sink[:state] == :halted or is_binary(sink[:error]),
      behind: sink[:lag_records],
      behind_bytes: Format.bytes(sink[:lag_bytes]),
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
    <section class="card" aria-labelledby="store-title">
      <h2 id="store-title">Store</h2>
      <dl class="facts">
        <div>
          <dt>Majority</dt>
          <dd class={["quorum", @shared.quorum]}>{quorum(@shared.quorum)}</dd>
        </div>
        <div>
          <dt>Members</dt>
          <dd>
            <span :if={@shared.members == []}>–</span>
            <ul :if={@shared.members != []} class="members">
              <li :for={member <- @shared.members}>
                {member.node}{if member.leader, do: ", leads"}{if not member.connected, do: ", not connected"}
              </li>
            </ul>
          </dd>
        </div>
        <div>
          <dt>Identity</dt>
          <dd title={@shared.uuid}>{Format.text(@shared.uuid, 40)}</dd>
        </div>
        <div>
          <dt>Commits applied</dt>
          <dd>{Format.count(@shared.applied)}</dd>
        </div>
      </dl>
    </section>
    <section class="card" aria-labelledby="sinks-title">
      <h2 id="sinks-title">Sinks</h2>
      <form id="filters" class="filters" phx-change="filter" phx-submit="filter" role="search">
        <label><span>Search sinks and streams</span><input type="search" name="q" value={@text} phx-debounce="150" maxlength="100" /></label>
      </form>
      <.notice notice={@sink_notice} />
      <div :if={@sinks != []} class="scroll" role="region" aria-label="Table of sinks" tabindex="0">
        <table>
          <thead>
            <tr>
              <th scope="col">Sink</th>
              <th scope="col">State</th>
              <th scope="col" class="number">Lacks</th>
              <th scope="col" class="number">Bytes</th>
              <th scope="col">Error</th>
              <th scope="col">Do</th>
            </tr>
          </thead>
          <tbody>
            <tr :for={sink <- @sinks} :key={{sink.node, sink.name}} id={Names.element("sink", {sink.node, sink.name})} class={sink.old && "old"}>
              <th scope="row" class="name">
                <span title={sink.name}>{sink.name} <em>{sink.kind}</em></span> <small title={sink.node}>{sink.node}</small>
              </th>
              <td class={sink.bad && "bad"}>{sink.state}{if sink.old, do: "?"}</td>
              <td class="number">{Format.count(sink.behind)}</td>
              <td class="number">{sink.behind_bytes}</td>
              <td class="reason">{sink.error}</td>
              <td class="acts">
                <.act user={@user} kind={:forget_sink} node={sink.node} id={sink.name} disabled={sink.old} why="its sidekick is away" text="Forget" />
              </td>
            </tr>
          </tbody>
        </table>
      </div>
      <p :if={@sinks_more > 0} class="hint">{Format.count(@sinks_more)} more that lag less; search for them.</p>
    </section>
    <section class="card" aria-labelledby="streams-title">
      <h2 id="streams-title">Streams <small>those that lag most first</small></h2>
      <.notice notice={@notice} />
      <div :if={@slice.rows != []} class="scroll" role="region" aria-label="Table of streams" tabindex="0">
        <table>
          <thead>
            <tr>
              <th scope="col">Stream</th>
              <th scope="col" class="number">Lacks</th>
              <th scope="col" class="number">First</th>
              <th scope="col" class="number">Last</th>
              <th scope="col" class="number">Size</th>
              <th scope="col" class="number">Dropped</th>
              <th scope="col">Cursors</th>
            </tr>
          </thead>
          <tbody>
            <tr
              :for={stream <- @slice.rows}
              :key={{stream.node, stream.name}}
              id={Names.element("stream", {stream.node, stream.name})}
              class={stream.old && "old"}
            >
              <th scope="row" class="name"><span title={stream.name}>{stream.name}</span> <small title={stream.node}>{stream.node}</small></th>
              <td class="number">{Format.count(stream.behind)}</td>
              <td class="number">{stream.first}</td>
              <td class="number">{stream.last}</td>
              <td class="number">{stream.bytes}</td>
              <td class={["number", stream.dropped != 0 && "bad"]}>{Format.count(stream.dropped)}</td>
              <td class="reason" title={stream.cursors}>{stream.cursors}</td>
            </tr>
          </tbody>
        </table>
      </div>
      <.pages slice={@slice} path={@base <> "/store"} params={if @text == "", do: %{}, else: %{"q" => @text}} noun="streams" />
      <p :if={@left_out > 0} class="hint">{Format.count(@left_out)} more streams that lag less are not listed; ask their sidekick.</p>
    </section>
    <section :if={@shared.streams != []} class="card" aria-labelledby="stored-title">
      <h2 id="stored-title">Kept in the store <small>{Format.count(length(@shared.streams))} streams</small></h2>
      <div class="scroll" role="region" aria-label="Table of stored streams" tabindex="0">
        <table>
          <thead>
            <tr>
              <th scope="col">Stream</th>
              <th scope="col" class="number">Watermark</th>
              <th scope="col" class="number">Records</th>
              <th scope="col" class="number">Size</th>
              <th scope="col">Stored</th>
            </tr>
          </thead>
          <tbody>
            <tr :for={stream <- @shared.streams} :key={{stream.origin, stream.stream}}>
              <th scope="row" class="name">
                <span title={stream.stream}>{Format.text(stream.stream, 200)}</span> <small title={stream.origin}>{Format.text(stream.origin, 60)}</small>
              </th>
              <td class="number">{Format.count(stream[:watermark])}</td>
              <td class="number">{Format.count(stream[:records])}</td>
              <td class="number">{Format.bytes(stream[:bytes])}</td>
              <td><.ago at={stream[:updated_ms]} /></td>
            </tr>
          </tbody>
        </table>
      </div>
    </section>
    """
  end

  defp quorum(:available), do: "there"
  defp quorum(:lost), do: "lost"
  defp quorum(_unknown), do: "not known yet"
end
