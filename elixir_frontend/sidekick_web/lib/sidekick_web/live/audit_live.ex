defmodule SidekickWeb.AuditLive do
  @moduledoc "Who did what, when, and what came of it; read again when the store tells that something was written, on whichever member."

  use SidekickWeb.Page

  alias Sidekick.Panel.Audit
  alias Sidekick.Store.Watch
  alias SidekickWeb.Slice

  @per 50
  @read_max 2_000
  @outcomes [:ok, :failed, :unknown, :denied]

  @impl Phoenix.LiveView
  def mount(_params, _session, socket) do
    socket = assign(socket, page: :audit, page_title: "Audit", entries: nil, error: nil, reading: false, again: false)
    if connected?(socket), do: watch(socket.assigns.store)
    {:ok, socket}
  end

  @impl Phoenix.LiveView
  def handle_params(params, _uri, socket) do
    filter = %{
      who: text(params["who"]),
      target: text(params["target"]),
      outcome: Enum.find(@outcomes, &(Atom.to_string(&1) == params["outcome"]))
    }

    {:noreply, socket |> assign(filter: filter, at: Slice.page(params)) |> read()}
  end

  # What is read here lies in the store, and not in the hub.
  @impl SidekickWeb.Follow
  def refresh(socket, _changes), do: socket

  @impl Phoenix.LiveView
  def handle_event("filter", params, socket) do
    filter =
      for {name, text} <- Map.take(params, ~w(who target outcome)),
          is_binary(text),
          text != "",
          into: %{},
          do: {name, text}

    {:noreply, push_patch(socket, to: Names.with_params(socket.assigns.base <> "/audit", filter))}
  end

  def handle_event(_unknown, _params, socket), do: {:noreply, socket}

  @impl Phoenix.LiveView
  def handle_info({:sidekick_store, _store, {:changed, :audit}}, socket), do: {:noreply, read(socket)}
  def handle_info({:sidekick_store, _store, {:quorum, _}}, socket), do: {:noreply, read(socket)}

  def handle_info(:watch, socket) do
    watch(socket.assigns.store)
    {:noreply, read(socket)}
  end

  def handle_info({:DOWN, _ref, :process, _pid, _reason}, socket) do
    Process.send_after(self(), :watch, 1_000)
    {:noreply, read(socket)}
  end

  def handle_info(_message, socket), do: {:noreply, socket}

  @impl Phoenix.LiveView
  def handle_async(:audit, outcome, socket) do
    socket = assign(socket, reading: false)

    socket =
      case outcome do
        {:ok, {:ok, entries}} -> assign(socket, entries: entries, error: nil)
        {_, {:error, reason}} -> assign(socket, error: Format.text(inspect(reason), 200))
        {:exit, reason} -> assign(socket, error: Format.text(inspect(reason), 200))
      end

    {:noreply, if(socket.assigns.again, do: read(assign(socket, again: false)), else: socket)}
  end

  # One at a time: what is written while it is read is read after that.
  defp read(%{assigns: %{reading: true}} = socket), do: assign(socket, again: true)

  defp read(%{assigns: %{user: user, store: store, filter: filter}} = socket) do
    cond do
      not Access.may?(%{user: user}, :view_audit) -> assign(socket, entries: nil)
      not connected?(socket) -> socket
      true -> socket |> assign(reading: true) |> start_async(:audit, fn -> list(filter, store) end)
    end
  end

  defp list(filter, store) do
    Audit.list([limit: @read_max] ++ for({key, value} <- filter, value != nil, do: {key, value}), store)
  catch
    _kind, reason -> {:error, reason}
  end

  defp watch(store) do
    Process.monitor(Watch.name(store))
    Watch.subscribe(self(), store)
  catch
    # The monitor tells that it is not there, and then it is tried again.
    :exit, _ -> :ok
  end

  defp text(text) when is_binary(text) and text != "", do: Format.text(text, 100)
  defp text(_), do: nil

  @impl Phoenix.LiveView
  def render(assigns) do
    assigns = assign(assigns, slice: Slice.of(assigns.entries || [], assigns.at, @per), outcomes: @outcomes)

    ~H"""
    <section class="card" aria-labelledby="title">
      <h1 id="title">Audit</h1>
      <%= if Access.may?(%{user: @user}, :view_audit) do %>
        <form id="filters" class="filters" phx-change="filter" phx-submit="filter" role="search">
          <label><span>Who</span><input type="search" name="who" value={@filter.who} phx-debounce="150" maxlength="64" /></label>
          <label><span>What it was done to</span><input type="search" name="target" value={@filter.target} phx-debounce="150" maxlength="100" /></label>
          <label>
            <span>Outcome</span>
            <select name="outcome">
              <option value="">all</option>
              <option :for={outcome <- @outcomes} value={outcome} selected={@filter.outcome == outcome}>{outcome}</option>
            </select>
          </label>
        </form>
        <p :if={@error} class="notice error" role="alert">
          <strong>The audit cannot be read: {@error}</strong> Bring back the store's majority; it is read again by itself.
        </p>
        <.notice notice={notice(@entries, @filter, @error)} />
        <div :if={@slice.rows != []} class="scroll" role="region" aria-label="Table of the audit" tabindex="0">
          <table>
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col">Who</th>
                <th scope="col">Did</th>
                <th scope="col">To</th>
                <th scope="col">Outcome</th>
                <th scope="col">Detail</th>
              </tr>
            </thead>
            <tbody>
              <tr :for={entry <- @slice.rows}>
                <td><.ago at={entry.at_ms} /></td>
                <td>{entry.who} <small>{entry.role}</small></td>
                <td>{Format.words(entry.action)}</td>
                <td class="name" title={entry.target}>{entry.target}</td>
                <td><span class={["outcome", entry.outcome]}>{entry.outcome}</span></td>
                <td class="reason" title={entry.detail}>{entry.detail}</td>
              </tr>
            </tbody>
          </table>
        </div>
        <.pages slice={@slice} path={@base <> "/audit"} params={params(@filter)} noun="entries" />
      <% else %>
        <p class="notice error" role="alert">The audit needs the role operator. Ask an admin for it.</p>
      <% end %>
    </section>
    """
  end

  defp notice(nil, _filter, nil), do: %{kind: :loading, text: "The audit is being read.", todo: "Wait a moment."}
  defp notice([], %{who: nil, target: nil, outcome: nil}, _error), do: Notice.of(:no_audit)
  defp notice([], _filter, _error), do: Notice.of(:no_match)
  defp notice(_entries, _filter, _error), do: nil

  defp params(filter),
    do: for({key, value} <- filter, value != nil, into: %{}, do: {Atom.to_string(key), to_string(value)})
end
