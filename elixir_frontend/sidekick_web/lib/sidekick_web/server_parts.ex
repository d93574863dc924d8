defmodule SidekickWeb.ServerParts do
  @moduledoc "The pieces of a server's page."

  use Phoenix.Component

  import SidekickWeb.Parts

  alias Sidekick.Panel.{Format, Ring}
  alias SidekickWeb.{Names, ServerLive}

  @timeline 30
  @crashes 10
  @at_rest [:stopped, :quarantined]

  attr :user, :map, required: true
  attr :server, :any, required: true
  attr :up, :boolean, required: true

  @doc "What may be done with it now; what cannot be done says why."
  def actions(assigns) do
    {node, id} = assigns.server.key
    assigns = assign(assigns, node: node, id: id, rests: assigns.server.state in @at_rest)

    ~H"""
    <div class="actions" role="group" aria-label="Actions">
      <.act :if={@server.state == :quarantined} user={@user} kind={:release} node={@node} id={@id} disabled={not @up} why="its sidekick is away" />
      <.act
        :if={@server.state != :quarantined}
        user={@user}
        kind={:start}
        node={@node}
        id={@id}
        disabled={not @up or not (@rests or @server.state == :backing_off)}
        why={if @up, do: "it runs already", else: "its sidekick is away"}
      />
      <.act
        :for={kind <- [:drain, :restart, :stop, :kill]}
        user={@user}
        kind={kind}
        node={@node}
        id={@id}
        disabled={not @up or (@rests and kind != :restart)}
        why={if @up, do: "it does not run", else: "its sidekick is away"}
      />
    </div>
    """
  end

  attr :tab, :atom, required: true
  attr :at, :atom, required: true
  attr :path, :string, required: true
  slot :inner_block, required: true

  def tab(assigns) do
    ~H"""
    <.link patch={@path} aria-current={@tab == @at && "page"}>{render_slot(@inner_block)}</.link>
    """
  end

  attr :server, :any, required: true
  attr :crashes, :list, required: true
  attr :base, :string, required: true

  @doc "Figures, charts, what happened, crashes."
  def overview(assigns) do
    assigns =
      assign(assigns,
        timeline: Enum.take(assigns.server.timeline, @timeline),
        shown: Enum.take(assigns.crashes, @crashes)
      )

    ~H"""
    <dl class="facts card">
      <div :for={{name, value} <- ServerLive.figures(@server)}>
        <dt>{name}</dt>
        <dd title={value}>{value}</dd>
      </div>
    </dl>
    <section class="charts card" aria-label="Charts">
      <.chart title="Frame time" samples={Ring.series(@server.samples, :frame_ms)} unit="ms" at_least={20} />
      <.chart title="Players" samples={Ring.series(@server.samples, :players)} unit={:count} at_least={4} />
      <.chart title="Memory" samples={Ring.series(@server.samples, :memory)} unit={:bytes} at_least={1} />
      <.chart title="CPU" samples={Ring.series(@server.samples, :cpu)} unit={:percent} at_least={100} />
    </section>
    <div class="two">
      <section class="card" aria-labelledby="timeline-title">
        <h2 id="timeline-title">What happened</h2>
        <p :if={@timeline == []} class="empty">Nothing since this panel began to look.</p>
        <ol class="timeline">
          <li :for={moment <- @timeline} class={"kind-#{moment.kind}"}>
            <.ago at={moment.at_ms} />
            <span>
              {moment.text}
              <.link :if={moment.kind == :crash and moment.number} navigate={crash(@base, @server.key, moment.number)}>read it</.link>
            </span>
          </li>
        </ol>
      </section>
      <section class="card" aria-labelledby="crashes-title">
        <h2 id="crashes-title">Crashes <small>{Format.count(length(@crashes))}</small></h2>
        <p :if={@crashes == []} class="empty">No crash is known.</p>
        <ol class="timeline">
          <li :for={crash <- @shown}>
            <.ago at={crash.at_ms} />
            <span>
              <.link navigate={crash(@base, @server.key, crash.number)}>#{crash.number} {Format.reason(crash.reason)}</.link>
              <code :if={crash.script_line}>{Format.text(crash.script_line, 200)}</code>
            </span>
          </li>
        </ol>
      </section>
    </div>
    """
  end

  attr :lines, :any, required: true
  attr :tail, :any, required: true
  attr :error, :string, default: nil
  attr :loading, :boolean, required: true
  attr :notice, :string, default: nil

  @doc "The log as it grows."
  def log(assigns) do
    ~H"""
    <section class="card" aria-label="Log">
      <form id="log-search" class="filters" phx-change="search_log" phx-submit="search_log" role="search">
        <label><span>Search</span><input type="search" name="q" value={@tail.search} phx-debounce="150" maxlength="200" /></label>
        <button type="button" phx-click="pause" aria-pressed={to_string(@tail.paused)}>
          {if @tail.paused, do: "Go on", else: "Pause"}
        </button>
        <span class="hint" aria-live="polite">{@notice}</span>
      </form>
      <p :if={@error} class="notice error" role="alert">Its log cannot be read: {@error}</p>
      <p :if={@loading and @error == nil} class="notice loading">The log is being read.</p>
      <div id="lines" class="log" phx-update="stream" phx-hook="Tail" role="log" tabindex="0" aria-label="Lines" aria-live="off">
        <div :for={{dom_id, line} <- @lines} id={dom_id} class={["line", line.source]}>
          <time datetime={Format.iso(line.at_ms)} title={Format.time(line.at_ms)}>{clock(line.at_ms)}</time>
          <span class="source">{Format.text(line.source, 10)}</span><span class="text">{line.line}</span>
        </div>
      </div>
    </section>
    """
  end

  attr :lines, :list, required: true
  attr :state, :any, required: true
  attr :at, :any, required: true
  attr :search, :string, required: true
  attr :loading, :boolean, required: true
  attr :error, :string, default: nil

  @doc "Its state as a tree."
  def tree(assigns) do
    ~H"""
    <section class="card">
      <form id="state-search" class="filters" phx-change="search_state" phx-submit="search_state" role="search">
        <label><span>Search</span><input type="search" name="q" value={@search} phx-debounce="150" maxlength="100" /></label>
        <button type="button" phx-click="load_state" disabled={@loading}>{if @loading, do: "Reading …", else: "Read again"}</button>
        <span :if={@at} class="hint">as of <.ago at={@at} /></span>
      </form>
      <p :if={@error} class="notice error" role="alert">Its state cannot be read: {@error}</p>
      <p :if={@state == %{}} class="notice empty">No state yet: call Sidekick.set_state(key, value) in the game.</p>
      <p :if={@state not in [nil, %{}] and @lines == []} class="notice empty">Nothing fits the search.</p>
      <p :if={@state == nil and @error == nil} class="notice loading">The state is being read.</p>
      <div class="tree" role="region" tabindex="0" aria-label="State as a tree">
        <div :for={line <- @lines} class={["node", "depth-#{min(line.depth, 6)}"]}>
          <span class="label" title={line.label}>{line.label}</span>
          <span class={["value", line.kind]}>{line.text}<small :if={line.more > 0}> {Format.count(line.more)} not shown</small></span>
        </div>
      </div>
    </section>
    """
  end

  defp crash(base, {node, id}, number), do: Names.crash(base, node, id, number)

  # Of a time of day only the time of day; the rest is on hover.
  defp clock(at_ms) do
    case Format.time(at_ms) do
      <<_date::binary-size(11), clock::binary-size(12), _::binary>> -> clock
      other -> other
    end
  end
end
