defmodule SidekickWeb.ServerLive do
  @moduledoc """
  One server: how it fares, what happened to it, its log as it grows, its state; and what may be done with it.
  """

  use SidekickWeb.Page

  import SidekickWeb.ServerParts

  alias Sidekick.Panel.{Browser, LogTail, Server}
  alias SidekickWeb.LogView

  @impl Phoenix.LiveView
  def mount(params, _session, socket) do
    {:ok,
     socket
     |> assign(page: :fleet, node: Names.node(params["node"]), id: params["id"], named: params["node"])
     |> assign(host_since_ms: nil, state: nil, state_error: nil, state_at: nil, state_search: "", state_loading: false)
     |> LogView.mount()}
  end

  @impl Phoenix.LiveView
  def handle_params(_params, _uri, socket) do
    title = "#{Format.text(socket.assigns.id, 64)} · #{socket.assigns.live_action}"
    {:noreply, socket |> assign(page_title: title) |> refresh(:all) |> entered()}
  end

  @impl SidekickWeb.Follow
  def refresh(%{assigns: %{hub: hub, node: node, id: id}} = socket, changes) do
    if concerned?(changes, node, id), do: looked(socket, node && Panel.server(node, id, hub)), else: socket
  end

  defp concerned?(:all, _node, _id), do: true

  defp concerned?(changes, node, id),
    do: {:server, {node, id}} in changes or {:host, node} in changes or :crashes in changes

  defp looked(%{assigns: %{hub: hub, node: node, id: id}} = socket, {_row, server, reasons}) do
    {_row, host, _} = Panel.sidekick(node, hub) || {nil, nil, nil}
    crashes = Enum.filter(Panel.crashes(hub) || [], &(&1.node == node and &1.id == id))
    notice = host && Notice.of_host(host, System.os_time(:millisecond))
    up = host != nil and host.state == :up

    since_ms = host && host.since_ms
    # Its subscription ended with the connection, however short the absence was; the log is followed again.
    socket = if since_ms == socket.assigns.host_since_ms, do: socket, else: LogView.lost(socket)
    socket = assign(socket, server: server, reasons: reasons, crashes: crashes, notice: notice, up: up)
    socket = assign(socket, host_since_ms: since_ms)
    if up and connected?(socket) and socket.assigns.live_action == :log, do: LogView.follow(socket), else: socket
  end

  defp looked(%{assigns: %{hub: hub}} = socket, nil) do
    notice =
      if Panel.totals(hub) == nil,
        do: Notice.of(:not_running),
        else: %{
          kind: :error,
          text: "No such server is known.",
          todo: "Go to the fleet and search for it; it may have been removed."
        }

    assign(socket, server: nil, reasons: [], crashes: [], notice: notice, up: false)
  end

  defp entered(%{assigns: %{live_action: :state}} = socket),
    do: if(connected?(socket), do: load_state(socket), else: socket)

  defp entered(%{assigns: %{live_action: :log, up: true}} = socket),
    do: if(connected?(socket), do: LogView.follow(socket), else: socket)

  defp entered(socket), do: LogView.leave(socket)

  @impl Phoenix.LiveView
  def handle_event("pause", _params, socket), do: {:noreply, LogView.pause(socket)}

  def handle_event("search_log", %{"q" => text}, socket) when is_binary(text),
    do: {:noreply, LogView.search(socket, text)}

  def handle_event("load_state", _params, socket), do: {:noreply, load_state(socket)}

  def handle_event("search_state", %{"q" => text}, socket) when is_binary(text),
    do: {:noreply, assign(socket, state_search: Format.text(text, 100))}

  def handle_event(_unknown, _params, socket), do: {:noreply, socket}

  @impl Phoenix.LiveView
  def handle_info({:sidekick_event, _node, _ref, _event} = message, socket),
    do: {:noreply, LogView.told(socket, message)}

  def handle_info(:show_lines, socket), do: {:noreply, LogView.show(socket)}
  def handle_info(_message, socket), do: {:noreply, socket}

  @impl Phoenix.LiveView
  def handle_async(:log, outcome, socket), do: {:noreply, LogView.read(socket, outcome)}

  def handle_async(:state, {:ok, {:ok, state}}, socket) do
    now_ms = System.os_time(:millisecond)
    {:noreply, assign(socket, state: state, state_error: nil, state_at: now_ms, state_loading: false)}
  end

  def handle_async(:state, {:ok, {:error, error}}, socket),
    do: {:noreply, assign(socket, state_error: Told.sentence(error), state_loading: false)}

  def handle_async(:state, {:exit, reason}, socket),
    do: {:noreply, assign(socket, state_error: Told.sentence(reason), state_loading: false)}

  defp load_state(%{assigns: %{node: nil}} = socket), do: socket

  defp load_state(%{assigns: %{node: node, id: id}} = socket),
    do: socket |> assign(state_loading: true) |> start_async(:state, fn -> Sidekick.state(node, id) end)

  @impl Phoenix.LiveView
  def render(assigns) do
    ~H"""
    <nav class="crumbs" aria-label="Where this is">
      <.link navigate={@base <> "/"}>Fleet</.link> ›
      <.link navigate={Names.with_params(@base <> "/", %{"node" => @named})}>{Format.text(@named, 200)}</.link> ›
    </nav>
    <div class="title">
      <h1 title={@id}>{Format.text(@id, 120)}</h1>
      <.state :if={@server} state={@server.state} old={not @up} />
      <span :if={@server} class="since">for <.ago at={@server.since_ms} as="span" /></span>
    </div>
    <.notice notice={@notice} />
    <%= if @server do %>
      <.attention reasons={@reasons} base={@base} named={false} />
      <.actions user={@user} server={@server} up={@up} />
      <div class="tabs">
        <.tab :for={{tab, text} <- [overview: "Overview", log: "Log", state: "State"]} tab={tab} at={@live_action} path={path(assigns, tab)}>
          {text}
        </.tab>
      </div>
      <.overview :if={@live_action == :overview} server={@server} crashes={@crashes} base={@base} />
      <.log
        :if={@live_action == :log}
        lines={@streams.lines}
        tail={@tail}
        error={@log_error}
        loading={@log_ref == nil and @up}
        notice={LogTail.notice(@tail)}
      />
      <.tree
        :if={@live_action == :state}
        lines={if @state, do: Browser.tree(@state, search: @state_search), else: []}
        state={@state}
        at={@state_at}
        search={@state_search}
        loading={@state_loading}
        error={@state_error}
      />
    <% end %>
    """
  end

  defp path(%{base: base, node: node, id: id}, :overview), do: Names.server(base, node, id)
  defp path(%{base: base, node: node, id: id}, tab), do: "#{Names.server(base, node, id)}/#{tab}"

  @doc false
  @spec figures(Server.t()) :: [{String.t(), String.t()}]
  def figures(server) do
    status = server.status
    exit = with {reason, _at} <- Server.last_exit(server), do: reason

    [
      {"Players", Format.count(Server.figure(server, :players))},
      {"Frame", Format.unit(Server.figure(server, :frame_ms), "ms")},
      {"Memory", Format.bytes(Server.memory(server))},
      {"CPU", Format.percent(Server.figure(server, :cpu_percent))},
      {"Upload lacks", "#{Format.count(server.lag)} records"},
      {"Process", Format.text(status[:os_pid], 20)},
      {"Tick", Format.count(Server.figure(server, :tick))},
      {"Epoch", Format.count(status[:epoch])},
      {"Restarts", Format.count(Server.restarts(server))},
      {"Last exit", exit || "none"}
    ]
  end
end
