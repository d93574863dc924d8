defmodule SidekickWeb.CrashLive do
  @moduledoc "One crash bundle, readable; and as Markdown for a ticket."

  use SidekickWeb.Page

  alias Sidekick.Panel.Crash

  @same_max 5

  @impl Phoenix.LiveView
  def mount(%{"node" => named, "id" => id, "number" => number}, _session, socket) do
    number = with {number, ""} when number > 0 <- Integer.parse(number), do: number, else: (_ -> nil)

    socket =
      assign(socket,
        page: :crashes,
        node: Names.node(named),
        named: named,
        id: id,
        number: number,
        crash: nil,
        loading: true
      )

    title = "Crash #{number} of #{Format.text(id, 64)}"
    {:ok, socket |> assign(page_title: title, error: nil, same: []) |> load()}
  end

  @impl Phoenix.LiveView
  def handle_params(_params, _uri, socket), do: {:noreply, socket}

  @impl SidekickWeb.Follow
  def refresh(%{assigns: %{crash: nil, loading: false, node: node}} = socket, changes) do
    # Its sidekick came back, or the panel heard of it only now.
    if changes == :all or {:host, node} in changes, do: load(socket), else: socket
  end

  def refresh(socket, changes), do: if(changes == :all or :crashes in changes, do: same(socket), else: socket)

  defp load(%{assigns: %{number: nil}} = socket), do: missing(socket)

  defp load(%{assigns: %{named: named, id: id, number: number}} = socket) do
    case Names.node(named) do
      nil ->
        missing(socket)

      node ->
        socket = assign(socket, node: node)
        if connected?(socket), do: start_async(socket, :crash, fn -> Sidekick.crash(node, id, number) end), else: socket
    end
  end

  defp missing(socket) do
    todo = "Go to the list of crashes; it may be of a sidekick that this panel does not know."
    assign(socket, loading: false, error: "No such crash is known. " <> todo)
  end

  @impl Phoenix.LiveView
  def handle_async(:crash, {:ok, {:ok, bundle}}, socket),
    do:
      {:noreply, socket |> assign(crash: Crash.read(bundle, socket.assigns.node), loading: false, error: nil) |> same()}

  def handle_async(:crash, {:ok, {:error, %{code: :not_found}}}, socket) do
    sentence =
      "Its bundle is not there any more: old ones are removed so that the disk does not fill. Read a newer one."

    {:noreply, assign(socket, loading: false, error: sentence)}
  end

  def handle_async(:crash, {_, outcome}, socket) do
    error = with {:error, error} <- outcome, do: error

    {:noreply,
     assign(socket,
       loading: false,
       error: "The bundle lies on the game's machine and cannot be read now: " <> Told.sentence(error)
     )}
  end

  # The same crash is one that ended in the same way on the same line.
  defp same(%{assigns: %{crash: nil}} = socket), do: socket

  defp same(%{assigns: %{hub: hub, crash: crash, node: node, id: id, number: number}} = socket) do
    same =
      for other <- Panel.crashes(hub) || [],
          Format.reason(other.reason) == crash.reason and other.script_line == crash.script_line,
          {other.node, other.id, other.number} != {node, id, number},
          do: other

    assign(socket, same: same)
  end

  @impl Phoenix.LiveView
  def handle_event(_unknown, _params, socket), do: {:noreply, socket}

  @impl Phoenix.LiveView
  def handle_info(_message, socket), do: {:noreply, socket}

  @impl Phoenix.LiveView
  def render(assigns) do
    assigns = assign(assigns, same_max: @same_max)

    ~H"""
    <nav class="crumbs" aria-label="Where this is">
      <.link navigate={@base <> "/crashes"}>Crashes</.link> ›
      <.link :if={@node} navigate={Names.server(@base, @node, @id)}>{Format.text(@id, 64)} on {@node}</.link> ›
    </nav>
    <div class="title">
      <h1>Crash {@number}</h1>
      <span :if={@crash} class="since"><.ago at={@crash.at_ms} /></span>
      <button :if={@crash} type="button" id="copy" phx-hook="Copy" data-from="markdown">Copy as Markdown</button>
    </div>
    <p :if={@loading} class="notice loading">The bundle is being read from its sidekick.</p>
    <p :if={@error} class="notice error" role="alert">{@error}</p>
    <%= if @crash do %>
      <section class="card verdict" aria-label="What happened">
        <p class="sentence">{@crash.sentence}</p>
        <p :if={@crash.script_line} class="script">Script line <code>{@crash.script_line}</code></p>
        <div :if={@same != []} class="same">
          The same happened {Format.count(length(@same))} more {if length(@same) == 1, do: "time", else: "times"}:
          <.link :for={other <- Enum.take(@same, @same_max)} navigate={Names.crash(@base, other.node, other.id, other.number)}>
            #{other.number} of {other.id}, <.ago at={other.at_ms} />
          </.link>
        </div>
      </section>
      <dl class="facts card">
        <div :for={{name, value} <- @crash.facts}>
          <dt>{name}</dt>
          <dd title={value}>{value}</dd>
        </div>
      </dl>
      <.block title="Script backtrace" lines={@crash.script_backtrace} />
      <.block title="Engine backtrace" lines={@crash.engine_backtrace} />
      <.block title="Last lines" lines={Enum.map(@crash.log, &"#{Format.time(&1.at_ms)}  #{&1.source}  #{&1.line}")} />
      <.block title="Last heartbeats" lines={Enum.map(@crash.beats, &beat/1)} />
      <.block title="Streams when it ended" lines={Enum.map(@crash.streams, fn {name, told} -> "#{name}  #{told}" end)} />
      <.block title="Else in the bundle" lines={Enum.map(@crash.others, &"#{String.duplicate("  ", &1.depth)}#{&1.label}: #{&1.text}")} />
      <details class="card">
        <summary>Markdown</summary>
        <textarea id="markdown" readonly rows="12" aria-label="The bundle as Markdown">{Crash.to_markdown(@crash)}</textarea>
      </details>
    <% end %>
    """
  end

  attr :title, :string, required: true
  attr :lines, :list, required: true

  defp block(assigns) do
    ~H"""
    <section :if={@lines != []} class="card">
      <h2>{@title} <small>{Format.count(length(@lines))}</small></h2>
      <pre class="block" tabindex="0" role="region" aria-label={@title}>{Enum.join(@lines, "\n")}</pre>
    </section>
    """
  end

  defp beat(beat) do
    figures =
      for {name, value} <- beat |> Map.delete(:at_ms) |> Enum.sort(),
          is_number(value),
          do: "#{name} #{Format.text(value, 30)}"

    "#{Format.time(beat[:at_ms])}  #{Enum.join(figures, "  ")}"
  end
end
