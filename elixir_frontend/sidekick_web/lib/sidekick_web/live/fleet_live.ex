defmodule SidekickWeb.FleetLive do
  @moduledoc """
  Every server and sidekick at a glance, what needs attention first, and what to do with several at once.

  What is searched, filtered, sorted and shown of it is in the address. The rows are a comprehension with keys and not a stream: each of
  them changes every few seconds, and so only the figures that did are sent (docs/adr/0024).
  """

  use SidekickWeb.Page

  import SidekickWeb.FleetParts

  alias Sidekick.Panel.Query
  alias SidekickWeb.FleetRow

  @reasons_max 6
  @selected_max 200

  @impl Phoenix.LiveView
  def mount(_params, _session, socket), do: {:ok, assign(socket, page: :fleet, query: %Query{}, all_reasons: false)}

  @impl Phoenix.LiveView
  def handle_params(params, _uri, socket) do
    query = Query.from_params(params)
    title = if socket.assigns.live_action == :servers, do: "Fleet", else: "Sidekicks"
    {:noreply, socket |> assign(query: query, page_title: title) |> refresh(:all)}
  end

  @impl SidekickWeb.Follow
  def refresh(%{assigns: %{hub: hub, query: query, live_action: shown}} = socket, _changes) do
    listed = if shown == :servers, do: Panel.servers(query, hub), else: Panel.sidekicks(query, hub)
    attention = Panel.attention(hub) || []

    assign(socket,
      result: listed && Map.delete(listed, :rows),
      rows: if(listed, do: Enum.map(listed.rows, &FleetRow.of/1), else: []),
      reasons: if(socket.assigns.all_reasons, do: attention, else: Enum.take(attention, @reasons_max)),
      reasons_more: max(0, length(attention) - @reasons_max),
      notice: notice_of(socket.assigns, listed)
    )
  end

  @impl Phoenix.LiveView
  def handle_event("filter", params, socket) do
    given = socket.assigns.query |> Query.to_params() |> Map.merge(Map.take(params, ~w(q state node troubled per)))
    query = Query.from_params(Map.delete(given, "page"))
    {:noreply, push_patch(socket, to: Names.with_params(path(socket.assigns), Query.to_params(query)))}
  end

  def handle_event("select", %{"node" => node, "id" => id}, socket) do
    case Enum.find(socket.assigns.rows, &match?(%{key: {known, ^id}, node: ^node} when is_atom(known), &1)) do
      %{key: key} -> {:noreply, select(socket, [key], not MapSet.member?(socket.assigns.selected, key))}
      nil -> {:noreply, socket}
    end
  end

  def handle_event("select_page", _params, socket) do
    keys = for %{key: {_, _} = key} <- socket.assigns.rows, do: key
    {:noreply, select(socket, keys, not Enum.all?(keys, &MapSet.member?(socket.assigns.selected, &1)))}
  end

  def handle_event("unselect", _params, socket), do: {:noreply, assign(socket, selected: MapSet.new())}
  def handle_event("reasons", _params, socket), do: {:noreply, socket |> update(:all_reasons, &not/1) |> refresh(:all)}
  def handle_event(_unknown, _params, socket), do: {:noreply, socket}

  @impl Phoenix.LiveView
  def handle_info(_message, socket), do: {:noreply, socket}

  defp select(socket, keys, true) do
    selected = MapSet.union(socket.assigns.selected, MapSet.new(keys))

    if MapSet.size(selected) > @selected_max,
      do: put_flash(socket, :error, "At most #{@selected_max} servers at once. Unselect some, or do these first."),
      else: assign(socket, selected: selected)
  end

  defp select(socket, keys, false), do: update(socket, :selected, &MapSet.difference(&1, MapSet.new(keys)))

  defp notice_of(_assigns, nil), do: Notice.of(:not_running)
  defp notice_of(_assigns, %{total: total}) when total > 0, do: nil
  defp notice_of(_assigns, %{of: of}) when of > 0, do: Notice.of(:no_match)
  defp notice_of(%{live_action: :sidekicks}, _listed), do: Notice.of(:no_sidekicks)

  defp notice_of(%{totals: %{sidekicks: sidekicks}}, _listed),
    do: Notice.of(if sidekicks == %{}, do: :no_sidekicks, else: :no_servers)

  defp path(%{base: base, live_action: :servers}), do: base <> "/"
  defp path(%{base: base, live_action: :sidekicks}), do: base <> "/sidekicks"

  @impl Phoenix.LiveView
  def render(assigns) do
    ~H"""
    <h1 class="hidden-text">Fleet</h1>
    <.totals :if={@totals} totals={@totals} />
    <section :if={@reasons != []} aria-labelledby="attention-title" class="card">
      <h2 id="attention-title">Needs attention <small>{Format.count(@totals.attention)}</small></h2>
      <.attention reasons={@reasons} base={@base} />
      <button :if={@reasons_more > 0} class="plain" phx-click="reasons" aria-expanded={to_string(@all_reasons)}>
        {if @all_reasons, do: "Show fewer", else: "Show #{Format.count(@reasons_more)} more"}
      </button>
    </section>
    <section class="card" aria-label={if @live_action == :servers, do: "Servers", else: "Sidekicks"}>
      <div class="tabs">
        <.link patch={@base <> "/"} aria-current={@live_action == :servers && "page"}>Servers</.link>
        <.link patch={@base <> "/sidekicks"} aria-current={@live_action == :sidekicks && "page"}>Sidekicks</.link>
      </div>
      <.filters query={@query} servers={@live_action == :servers} />
      <.bulk :if={@live_action == :servers} user={@user} count={MapSet.size(@selected)} />
      <.notice notice={@notice} />
      <.servers
        :if={@live_action == :servers and @rows != []}
        rows={@rows}
        query={@query}
        path={path(assigns)}
        base={@base}
        selected={@selected}
      />
      <.sidekicks
        :if={@live_action == :sidekicks and @rows != []}
        rows={@rows}
        query={@query}
        path={path(assigns)}
        base={@base}
        user={@user}
      />
      <.pager
        :if={@result && @result.total > 0}
        query={@query}
        result={@result}
        path={path(assigns)}
        noun={if @live_action == :servers, do: "servers", else: "sidekicks"}
      />
    </section>
    """
  end
end
