defmodule SidekickWeb.CrashesLive do
  @moduledoc "The known crashes of all servers, newest first."

  use SidekickWeb.Page

  @per 50

  @impl Phoenix.LiveView
  def mount(_params, _session, socket), do: {:ok, assign(socket, page: :crashes, page_title: "Crashes")}

  @impl Phoenix.LiveView
  def handle_params(params, _uri, socket) do
    {:noreply, socket |> assign(text: text(params["q"]), at: SidekickWeb.Slice.page(params)) |> refresh(:all)}
  end

  @impl SidekickWeb.Follow
  def refresh(%{assigns: %{hub: hub, text: text}} = socket, changes) do
    if changes == :all or :crashes in changes do
      all = Panel.crashes(hub)
      found = Enum.filter(all || [], &fits?(&1, text))

      notice =
        cond do
          all == nil -> Notice.of(:not_running)
          all == [] -> Notice.of(:no_crashes)
          found == [] -> Notice.of(:no_match)
          true -> nil
        end

      assign(socket, slice: SidekickWeb.Slice.of(found, socket.assigns.at, @per), notice: notice)
    else
      socket
    end
  end

  @impl Phoenix.LiveView
  def handle_event("filter", %{"q" => text}, socket) when is_binary(text) do
    params = if text == "", do: %{}, else: %{"q" => text(text)}
    {:noreply, push_patch(socket, to: Names.with_params(socket.assigns.base <> "/crashes", params))}
  end

  def handle_event(_unknown, _params, socket), do: {:noreply, socket}

  @impl Phoenix.LiveView
  def handle_info(_message, socket), do: {:noreply, socket}

  defp fits?(crash, text) do
    words = "#{crash.id} #{crash.node} #{Format.reason(crash.reason)} #{crash.script_line}"
    String.contains?(String.downcase(words), String.downcase(text))
  end

  defp text(text) when is_binary(text), do: Format.text(text, 100)
  defp text(_), do: ""

  @impl Phoenix.LiveView
  def render(assigns) do
    ~H"""
    <section class="card" aria-labelledby="title">
      <h1 id="title">Crashes</h1>
      <form id="filters" class="filters" phx-change="filter" phx-submit="filter" role="search">
        <label><span>Search</span><input type="search" name="q" value={@text} phx-debounce="150" maxlength="100" /></label>
      </form>
      <.notice notice={@notice} />
      <div :if={@slice.rows != []} class="scroll" role="region" aria-label="Table of crashes" tabindex="0">
        <table>
          <thead>
            <tr>
              <th scope="col">When</th>
              <th scope="col">Server</th>
              <th scope="col">How</th>
              <th scope="col">Script line</th>
              <th scope="col" class="number">Number</th>
            </tr>
          </thead>
          <tbody>
            <tr :for={crash <- @slice.rows} :key={{crash.node, crash.id, crash.number}} id={Names.element("crash", {crash.node, crash.id, crash.number})}>
              <td><.ago at={crash.at_ms} /></td>
              <th scope="row" class="name">
                <.link navigate={Names.server(@base, crash.node, crash.id)} title={crash.id}>{crash.id}</.link>
                <small title={crash.node}>{crash.node}</small>
              </th>
              <td><.link navigate={Names.crash(@base, crash.node, crash.id, crash.number)}>{Format.reason(crash.reason)}</.link></td>
              <td class="code"><code>{Format.text(crash.script_line, 200)}</code></td>
              <td class="number">{crash.number}</td>
            </tr>
          </tbody>
        </table>
      </div>
      <.pages slice={@slice} path={@base <> "/crashes"} params={if @text == "", do: %{}, else: %{"q" => @text}} noun="crashes" />
    </section>
    """
  end
end
