defmodule SidekickWeb.Parts do
  @moduledoc """
  The pieces of which pages are made.

  Those that stand in rows of a keyed list have no conditional element within: LiveViewTest (not the browser's part) fails on a row that moves
  and gains one in the same render, until the fix of Phoenix LiveView's pull request 4440 is in every release that is supported here.
  """

  use Phoenix.Component

  alias Phoenix.LiveView.JS
  alias Sidekick.Panel.{Access, Chart, Format, Query}
  alias SidekickWeb.Names

  # What a state looks like: never by its colour alone.
  @looks %{
    running: "good",
    up: "good",
    standby: "good",
    starting: "busy",
    loading: "busy",
    stopping: "busy",
    draining: "busy",
    stopped: "still",
    backing_off: "warn",
    silent: "warn",
    unresponsive: "bad",
    quarantined: "bad",
    offline: "bad"
  }
  @harmful [:kill, :stop]

  attr :state, :atom, required: true
  attr :old, :boolean, default: false, doc: "whether this was so when it was last seen"

  @doc "A state, by word, shape and colour."
  def state(assigns) do
    assigns = assign(assigns, look: Map.get(@looks, assigns.state, "still"))

    ~H"""
    <span class={["state", @look, @old && "old"]} title={@old && "as last seen"}>
      <span class="dot" aria-hidden="true"></span>{Format.words(@state)}{if @old, do: "?"}
    </span>
    """
  end

  attr :at, :any, required: true, doc: "wall clock in ms"

  attr :as, :string,
    default: "ago",
    values: ~w(ago span),
    doc: "whether it is said how long ago it was, or how long it lasts"

  @doc "A time: how long ago, and when on hover. app.js makes the age of it, and keeps it right."
  def ago(assigns) do
    ~H"""
    <time datetime={Format.iso(@at)} title={Format.time(@at)} data-ago={is_integer(@at) && @as}>{Format.time(@at)}</time>
    """
  end

  attr :notice, :map, default: nil

  @doc "What to say where there is nothing to show, or where it may not be so any more."
  def notice(assigns) do
    ~H"""
    <div :if={@notice} class={["notice", @notice.kind]} role={if @notice.kind in [:error, :stale], do: "status"}>
      <strong>{@notice.text}</strong> <span>{@notice.todo}</span>
    </div>
    """
  end

  attr :samples, :list, required: true
  attr :label, :string, required: true

  @doc "A line without axes."
  def spark(assigns) do
    assigns = assign(assigns, line: Chart.sparkline(assigns.samples, 72, 18))

    ~H"""
    <svg class="spark" viewBox="-1 -1 74 20" width="72" height="18" role="img" aria-label={@label}>
      <path class="line" d={@line.path} />
    </svg>
    """
  end

  attr :title, :string, required: true
  attr :samples, :list, required: true
  attr :unit, :any, required: true
  attr :at_least, :any, default: 0

  @doc "A chart with axes; what it says is in its name for who cannot see it."
  def chart(assigns) do
    options = [width: 480, height: 150, unit: assigns.unit, at_least: assigns.at_least]
    assigns = assign(assigns, chart: Chart.chart(assigns.samples, options))

    ~H"""
    <figure class="chart">
      <figcaption>{@title} <small>{@chart.summary}</small></figcaption>
      <svg viewBox={"0 0 #{@chart.width} #{@chart.height}"} role="img" aria-label={"#{@title}: #{@chart.summary}"}>
        <g :for={tick <- @chart.y}>
          <line class="grid" x1={@chart.plot.x} x2={@chart.plot.x + @chart.plot.width} y1={tick.at} y2={tick.at} />
          <text x={@chart.plot.x - 6} y={tick.at + 4} text-anchor="end">{tick.label}</text>
        </g>
        <text
          :for={{tick, index} <- Enum.with_index(@chart.x)}
          x={tick.at}
          y={@chart.height - 4}
          text-anchor={if index == 0, do: "start", else: if(index == length(@chart.x) - 1, do: "end", else: "middle")}
        >
          {tick.label}
        </text>
        <path class="area" d={@chart.area} /><path class="line" d={@chart.path} />
        <text :if={@chart.empty} x={@chart.width / 2} y={@chart.height / 2} text-anchor="middle">no samples yet</text>
      </svg>
    </figure>
    """
  end

  attr :query, :any, required: true
  attr :by, :atom, required: true
  attr :path, :string, required: true
  attr :class, :string, default: nil
  slot :inner_block, required: true

  @doc "The heading of a column that may be sorted by; the order is in the address."
  def heading(assigns) do
    ~H"""
    <th scope="col" class={@class} aria-sort={sorted(@query, @by)}>
      <.link patch={Names.with_params(@path, @query |> Query.sort_by(@by) |> Query.to_params())}>{render_slot(@inner_block)}</.link>
    </th>
    """
  end

  attr :query, :any, required: true
  attr :result, :map, required: true
  attr :path, :string, required: true
  attr :noun, :string, required: true

  @doc "Which part of a list is shown, and the way to the others."
  def pager(assigns) do
    ~H"""
    <nav class="pager" aria-label={"Pages of #{@noun}"}>
      <span>
        {Format.count(@result.from)}–{Format.count(@result.to)} of {Format.count(@result.total)} {@noun}<span :if={
          @result.total < @result.of
        }>, of {Format.count(@result.of)} in all</span>
      </span>
      <.link :if={@result.page > 1} patch={turn(@path, @query, @result.page - 1)} rel="prev">← before</.link>
      <span :if={@result.pages > 1}>page {@result.page} of {Format.count(@result.pages)}</span>
      <.link :if={@result.page < @result.pages} patch={turn(@path, @query, @result.page + 1)} rel="next">after →</.link>
    </nav>
    """
  end

  attr :slice, :map, required: true
  attr :path, :string, required: true
  attr :params, :map, default: %{}
  attr :noun, :string, required: true

  @doc "The same for a list that is whole in memory, a `SidekickWeb.Slice`."
  def pages(assigns) do
    ~H"""
    <nav :if={@slice.total > 0} class="pager" aria-label={"Pages of #{@noun}"}>
      <span>{Format.count(@slice.from)}–{Format.count(@slice.to)} of {Format.count(@slice.total)} {@noun}</span>
      <.link :if={@slice.page > 1} patch={Names.with_params(@path, Map.put(@params, "page", @slice.page - 1))} rel="prev">← before</.link>
      <span :if={@slice.pages > 1}>page {@slice.page} of {Format.count(@slice.pages)}</span>
      <.link :if={@slice.page < @slice.pages} patch={Names.with_params(@path, Map.put(@params, "page", @slice.page + 1))} rel="next">after →</.link>
    </nav>
    """
  end

  attr :user, :map, required: true
  attr :kind, :atom, required: true
  attr :node, :any, default: nil
  attr :id, :string, default: nil
  attr :bulk, :boolean, default: false
  attr :disabled, :boolean, default: false
  attr :why, :string, default: nil, doc: "why it cannot be done just now"
  attr :text, :string, default: nil

  @doc "The button of an action. Who may not do it sees why; that it is refused all the same is the server's part."
  def act(assigns) do
    may = Access.may?(assigns.user, assigns.kind)
    why = if may, do: assigns.why, else: "needs the role #{Access.needed(assigns.kind)}"
    assigns = assign(assigns, why: why, off: assigns.disabled or not may, harmful: assigns.kind in @harmful)

    ~H"""
    <button
      type="button"
      class={["act", @harmful && "harmful"]}
      phx-click="act"
      phx-value-kind={@kind}
      phx-value-node={@node}
      phx-value-id={@id}
      phx-value-bulk={@bulk && "1"}
      disabled={@off}
      title={@off && @why}
    >
      {@text || String.capitalize(Format.words(@kind))}
    </button>
    """
  end

  attr :confirm, :map, required: true

  @doc "Asks before something is done that may do harm."
  def question(assigns) do
    ~H"""
    <dialog id="question" phx-hook="Modal" phx-mounted={JS.ignore_attributes(["open"])} aria-labelledby="question-text">
      <form phx-submit="confirm">
        <p id="question-text">{@confirm.question}</p>
        <details :if={@confirm.listed != []}>
          <summary>Which {Format.count(length(@confirm.listed))}</summary>
          <ul><li :for={target <- @confirm.listed}>{target}</li></ul>
        </details>
        <p class="buttons">
          <button type="button" phx-click="cancel" autofocus>Cancel</button>
          <button class="harmful primary">{String.capitalize(Format.words(@confirm.kind))}</button>
        </p>
      </form>
    </dialog>
    """
  end

  attr :reasons, :list, required: true
  attr :base, :string, required: true
  attr :named, :boolean, default: true, doc: "whether it says whom it is about"

  @doc "What needs attention, why, and what to do."
  def attention(assigns) do
    ~H"""
    <ul class="attention">
      <li :for={reason <- @reasons} class={severity(reason.code)}>
        <span class="code">{Format.words(reason.code)}</span>
        <.subject :if={@named} base={@base} subject={reason.subject} />
        <span class="why">{reason.sentence} <span class="todo">{reason.remedy}</span></span>
      </li>
    </ul>
    """
  end

  defp subject(%{subject: {:server, {node, id}}} = assigns) do
    assigns = assign(assigns, node: node, id: id)

    ~H"""
    <.link navigate={Names.server(@base, @node, @id)} class="name">{@id} <small>{@node}</small></.link>
    """
  end

  defp subject(%{subject: {:host, node}} = assigns) do
    assigns = assign(assigns, node: node)

    ~H"""
    <.link navigate={Names.with_params(@base <> "/", %{"node" => @node})} class="name">{@node}</.link>
    """
  end

  defp subject(assigns) do
    ~H"""
    <.link navigate={@base <> "/store"} class="name">the store</.link>
    """
  end

  defp severity(code) when code in [:no_quorum, :quarantined, :unresponsive, :offline, :silent, :start_failed],
    do: "bad"

  defp severity(:crashed), do: "note"
  defp severity(_code), do: "warn"

  defp sorted(%{sort: by, order: :asc}, by), do: "ascending"
  defp sorted(%{sort: by, order: :desc}, by), do: "descending"
  defp sorted(_query, _by), do: nil

  defp turn(path, query, page), do: Names.with_params(path, Query.to_params(%{query | page: page}))
end
