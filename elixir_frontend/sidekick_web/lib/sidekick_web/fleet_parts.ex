defmodule SidekickWeb.FleetParts do
  @moduledoc "The pieces of the fleet's page."

  use Phoenix.Component

  import SidekickWeb.Parts

  alias Sidekick.Panel.{Format, Query}
  alias SidekickWeb.Names

  @server_states [
    :running,
    :starting,
    :stopping,
    :draining,
    :backing_off,
    :unresponsive,
    :quarantined,
    :standby,
    :stopped
  ]
  @host_states [:up, :loading, :silent, :offline]

  attr :totals, :map, required: true

  @doc "The fleet in a few numbers."
  def totals(assigns) do
    ~H"""
    <dl class="totals">
      <div>
        <dt>Players</dt>
        <dd>{Format.count(@totals.players)}</dd>
      </div>
      <div>
        <dt>Servers running</dt>
        <dd>{Format.count(@totals.servers[:running] || 0)} <small>of {Format.count(sum(@totals.servers))}</small></dd>
      </div>
      <div>
        <dt>Sidekicks up</dt>
        <dd>{Format.count(@totals.sidekicks[:up] || 0)} <small>of {Format.count(sum(@totals.sidekicks))}</small></dd>
      </div>
      <div>
        <dt>Records</dt>
        <dd>{Format.rate(@totals.rate)}</dd>
      </div>
      <div>
        <dt>Slowest upload lacks</dt>
        <dd>{Format.count(@totals.lag)} <small>records</small></dd>
      </div>
      <div>
        <dt>Memory</dt>
        <dd>{Format.bytes(@totals.memory)}</dd>
      </div>
    </dl>
    """
  end

  attr :query, :any, required: true
  attr :servers, :boolean, required: true

  @doc "Search and filters; what they hold is in the address."
  def filters(assigns) do
    assigns = assign(assigns, states: if(assigns.servers, do: @server_states, else: @host_states))

    ~H"""
    <form id="filters" class="filters" phx-change="filter" phx-submit="filter" role="search">
      <label>
        <span>Search</span>
        <input type="search" name="q" value={@query.text} placeholder="name, machine, state …" phx-debounce="150" maxlength="100" />
      </label>
      <label>
        <span>State</span>
        <select name="state">
          <option value="">all</option>
          <option :for={state <- @states} value={state} selected={@query.state == state}>{Format.words(state)}</option>
        </select>
      </label>
      <label class="check">
        <input type="hidden" name="troubled" value="0" />
        <input type="checkbox" name="troubled" value="1" checked={@query.troubled} /> <span>needs attention</span>
      </label>
      <label>
        <span>Rows</span>
        <select name="per"><option :for={per <- Query.per()} value={per} selected={@query.per == per}>{per}</option></select>
      </label>
      <label :if={@query.node}>
        <span>Machine</span>
        <select name="node">
          <option value={@query.node} selected>{@query.node}</option>
          <option value="">all</option>
        </select>
      </label>
    </form>
    """
  end

  attr :user, :map, required: true
  attr :count, :integer, required: true

  @doc "What may be done with all that are selected."
  def bulk(assigns) do
    ~H"""
    <div class="bulk" role="group" aria-label="Selected servers">
      <span aria-live="polite">{Format.count(@count)} selected</span>
      <.act :for={kind <- [:restart, :drain, :stop, :start]} user={@user} kind={kind} bulk disabled={@count == 0} why="select servers first" />
      <button :if={@count > 0} class="plain" phx-click="unselect">Unselect all</button>
    </div>
    """
  end

  attr :rows, :list, required: true
  attr :query, :any, required: true
  attr :path, :string, required: true
  attr :base, :string, required: true
  attr :selected, :any, required: true

  @doc "The table of servers."
  def servers(assigns) do
    ~H"""
    <div class="scroll" role="region" aria-label="Table of servers" tabindex="0">
      <table>
        <thead>
          <tr>
            <th scope="col" class="pick">
              <input
                type="checkbox"
                aria-label="Select all of this page"
                phx-click="select_page"
                checked={Enum.all?(@rows, &MapSet.member?(@selected, &1.key))}
              />
            </th>
            <.heading query={@query} by={:name} path={@path}>Server</.heading>
            <.heading query={@query} by={:state} path={@path}>State</.heading>
            <.heading query={@query} by={:players} path={@path} class="number">Players</.heading>
            <.heading query={@query} by={:frame_ms} path={@path} class="number">Frame</.heading>
            <.heading query={@query} by={:lag} path={@path} class="number">Upload lag</.heading>
            <.heading query={@query} by={:memory} path={@path} class="number">Memory</.heading>
            <.heading query={@query} by={:restarts} path={@path} class="number">Restarts</.heading>
            <.heading query={@query} by={:since} path={@path}>In it for</.heading>
            <.heading query={@query} by={:attention} path={@path}>Attention</.heading>
          </tr>
        </thead>
        <tbody>
          <tr :for={row <- @rows} :key={row.key} id={Names.element("server", row.key)} class={row.old && "old"}>
            <td class="pick">
              <input
                type="checkbox"
                aria-label={"Select #{row.name} on #{row.node}"}
                phx-click="select"
                phx-value-node={row.node}
                phx-value-id={row.name}
                checked={MapSet.member?(@selected, row.key)}
              />
            </td>
            <th scope="row" class="name">
              <.link navigate={Names.server(@base, elem(row.key, 0), row.name)} title={row.name}>{row.name}</.link>
              <small title={row.node}>{row.node}</small>
            </th>
            <td><.state state={row.state} old={row.old} /></td>
            <td class="number">{row.players}</td>
            <td class="number"><.spark samples={row.frames} label="frame time" /> {row.frame}</td>
            <td class="number"><.spark samples={row.lags} label="upload lag" /> {row.lag}</td>
            <td class="number">{row.memory}</td>
            <td class="number">{row.restarts}</td>
            <td><.ago at={row.since_ms} as="span" /></td>
            <td class="reason"><.reason reason={row.reason} /></td>
          </tr>
        </tbody>
      </table>
    </div>
    """
  end

  attr :rows, :list, required: true
  attr :query, :any, required: true
  attr :path, :string, required: true
  attr :base, :string, required: true
  attr :user, :map, required: true

  @doc "The table of sidekicks."
  def sidekicks(assigns) do
    ~H"""
    <div class="scroll" role="region" aria-label="Table of sidekicks" tabindex="0">
      <table>
        <thead>
          <tr>
            <.heading query={@query} by={:name} path={@path}>Sidekick</.heading>
            <.heading query={@query} by={:state} path={@path}>State</.heading>
            <th scope="col">Seen</th>
            <th scope="col">Version</th>
            <.heading query={@query} by={:servers} path={@path} class="number">Servers</.heading>
            <th scope="col" class="number">Records</th>
            <.heading query={@query} by={:lag} path={@path} class="number">Upload lag</.heading>
            <.heading query={@query} by={:memory} path={@path} class="number">Buffer</.heading>
            <.heading query={@query} by={:attention} path={@path}>Attention</.heading>
            <th scope="col">Do</th>
          </tr>
        </thead>
        <tbody>
          <tr :for={row <- @rows} :key={row.key} id={Names.element("sidekick", row.key)} class={row.old && "old"}>
            <th scope="row" class="name">
              <.link patch={Names.with_params(@base <> "/", %{"node" => row.name})} title={row.name}>{row.name}</.link>
            </th>
            <td><.state state={row.state} /></td>
            <td><.ago at={row.seen_ms} /></td>
            <td>{row.version}</td>
            <td class="number">{row.servers}</td>
            <td class="number">{row.rate}</td>
            <td class="number"><.spark samples={row.lags} label="upload lag" /> {row.lag}</td>
            <td class="number">{row.buffer} <small>{row.share}</small></td>
            <td class="reason"><.reason reason={row.reason} /></td>
            <td class="acts">
              <.act user={@user} kind={:reload} node={row.name} disabled={row.state != :up} why="it is not up" />
              <.act user={@user} kind={:drain_sinks} node={row.name} disabled={row.state != :up} why="it is not up" />
            </td>
          </tr>
        </tbody>
      </table>
    </div>
    """
  end

  attr :reason, :any, required: true

  defp reason(assigns) do
    ~H"""
    <span title={@reason && elem(@reason, 1)}>{@reason && elem(@reason, 0)}</span>
    """
  end

  defp sum(counts), do: counts |> Map.values() |> Enum.sum()
end
