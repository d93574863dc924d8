defmodule SidekickWeb.StoreParts do
  @moduledoc "The pieces of the page of streams and store."

  use Phoenix.Component

  import SidekickWeb.Parts

  alias Sidekick.Panel.Format
  alias SidekickWeb.Names

  attr :store, :map, required: true

  @doc "The store: majority, members, leader."
  def store(assigns) do
    ~H"""
    <section class="card" aria-labelledby="store-title">
      <h2 id="store-title">Store</h2>
      <dl class="facts">
        <div>
          <dt>Majority</dt>
          <dd class={["quorum", @store.quorum]}>{quorum(@store.quorum)}</dd>
        </div>
        <div>
          <dt>Members</dt>
          <dd>
            <span :if={@store.members == []}>–</span>
            <ul :if={@store.members != []} class="members">
              <li :for={member <- @store.members}>
                {member.node}{if member.leader, do: ", leads"}{if not member.connected, do: ", not connected"}
              </li>
            </ul>
          </dd>
        </div>
        <div>
          <dt>Identity</dt>
          <dd title={@store.uuid}>{Format.text(@store.uuid, 40)}</dd>
        </div>
        <div>
          <dt>Commits applied</dt>
          <dd>{Format.count(@store.applied)}</dd>
        </div>
      </dl>
    </section>
    """
  end

  attr :sinks, :list, required: true
  attr :more, :integer, required: true
  attr :notice, :any, required: true
  attr :text, :string, required: true
  attr :user, :map, required: true

  @doc "The sinks that lag most."
  def sinks(assigns) do
    ~H"""
    <section class="card" aria-labelledby="sinks-title">
      <h2 id="sinks-title">Sinks</h2>
      <form id="filters" class="filters" phx-change="filter" phx-submit="filter" role="search">
        <label><span>Search sinks and streams</span><input type="search" name="q" value={@text} phx-debounce="150" maxlength="100" /></label>
      </form>
      <.notice notice={@notice} />
      <div :if={@sinks != []} class="scroll" role="region" aria-label="Table of sinks" tabindex="0">
        <table>
          <thead>
            <tr>
              <th scope="col">Sink</th>
              <th scope="col">State</th>
              <th scope="col" class="number">Lacks</th>
              <th scope="col" class="number">Bytes</th>
              <th scope="col" class="number" title="since the oldest record that it lacks">For</th>
              <th scope="col" class="number">Dead letters</th>
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
              <td class="number">{sink.behind_for}</td>
              <td class={["number", sink.dead not in [nil, 0] && "bad"]}>{Format.count(sink.dead)}</td>
              <td class="reason">
                <span :if={sink.refused != ""} class="refused">
                  State of {sink.refused}{if sink.refused_more > 0, do: " and #{sink.refused_more} more"} waits.
                </span>
                {sink.error}
              </td>
              <td class="acts">
                <.act :if={sink.gone} user={@user} kind={:forget_sink} node={sink.node} id={sink.name} disabled={sink.old} why="its sidekick is away" text="Forget" />
              </td>
            </tr>
          </tbody>
        </table>
      </div>
      <p :if={@more > 0} class="hint">{Format.count(@more)} more that lag less; search for them.</p>
    </section>
    """
  end

  attr :slice, :map, required: true
  attr :notice, :any, required: true
  attr :text, :string, required: true
  attr :base, :string, required: true
  attr :left_out, :integer, required: true

  @doc "The streams of sidekicks."
  def streams(assigns) do
    ~H"""
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
      <p :if={@left_out > 0} class="hint">{Format.count(@left_out)} more {if @left_out == 1, do: "stream that lags less is", else: "streams that lag less are"} not listed; ask their sidekick.</p>
    </section>
    """
  end

  attr :streams, :list, required: true

  @doc "What the store keeps of streams."
  def kept(assigns) do
    ~H"""
    <section :if={@streams != []} class="card" aria-labelledby="stored-title">
      <h2 id="stored-title">Kept in the store <small>{Format.number_of(length(@streams), "stream")}</small></h2>
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
            <tr :for={stream <- @streams} :key={{stream.origin, stream.stream}}>
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
