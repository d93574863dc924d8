defmodule SidekickWeb.LogView do
  @moduledoc """
  The log of a server's page: what is there is read once, what comes is told by events. However fast lines come, they are shown ten times a
  second at most, and of them what `Sidekick.Panel.LogTail` keeps.
  """

  import Phoenix.Component, only: [assign: 2, update: 3]
  import Phoenix.LiveView

  alias Sidekick.Panel.LogTail
  alias SidekickWeb.Told

  @lines_max 500
  @read 300
  @show_ms 100

  @doc "An empty log."
  @spec mount(Phoenix.LiveView.Socket.t()) :: Phoenix.LiveView.Socket.t()
  def mount(socket) do
    socket
    |> assign(
      tail: LogTail.new(@lines_max),
      log_ref: nil,
      log_error: nil,
      log_waits: false,
      log_shown: nil,
      log_asked: false
    )
    |> stream_configure(:lines, dom_id: &"line-#{&1.cursor}")
    |> stream(:lines, [])
  end

  @doc "Begins to follow it, where it is not followed."
  def follow(%{assigns: %{log_ref: nil, log_asked: false, node: node, id: id}} = socket) do
    page = self()

    # Subscribed before it is read: a line that comes in between is told, and not lost.
    socket
    |> assign(log_asked: true)
    |> start_async(:log, fn ->
      with {:ok, ref} <- Sidekick.subscribe(node, {:logs, id}, pid: page),
           {:ok, lines} <- Sidekick.logs(node, id, limit: @read),
           do: {:ok, ref, lines}
    end)
  end

  def follow(socket), do: socket

  @doc "It is looked at no more."
  def leave(%{assigns: %{log_ref: nil}} = socket), do: socket

  def leave(%{assigns: %{log_ref: ref, node: node}} = socket) do
    Task.Supervisor.start_child(SidekickWeb.Tasks, fn -> Sidekick.unsubscribe(node, ref) end)
    assign(socket, log_ref: nil, log_asked: false)
  end

  @doc "The connection to its sidekick was another one: nobody tells anything any more."
  def lost(socket), do: assign(socket, log_ref: nil, log_asked: false)

  @doc "What was there when it was read."
  def read(socket, {:ok, {:ok, ref, lines}}) do
    # What was told meanwhile is newer, and is put behind.
    early = socket.assigns.tail |> LogTail.resume() |> LogTail.lines()
    tail = LogTail.new(@lines_max) |> LogTail.push(lines) |> LogTail.push(early)
    tail = LogTail.search(tail, socket.assigns.tail.search)
    socket |> assign(log_ref: ref, log_error: nil, tail: tail) |> again()
  end

  def read(socket, {_, {:error, error}}), do: assign(socket, log_asked: false, log_error: Told.sentence(error))
  def read(socket, {_, reason}), do: assign(socket, log_asked: false, log_error: Told.sentence(reason))

  @doc "Takes in an event of its subscription."
  def told(socket, {:sidekick_event, _node, _ref, %{type: :line} = line}),
    do: socket |> update(:tail, &LogTail.push(&1, [line])) |> soon()

  def told(socket, {:sidekick_event, _node, _ref, %{type: :lagged, missed: missed}}),
    do: socket |> update(:tail, &LogTail.lagged(&1, missed)) |> soon()

  def told(socket, _other), do: socket

  @doc "Stands still, or goes on."
  def pause(%{assigns: %{tail: %{paused: true} = tail}} = socket),
    do: socket |> assign(tail: LogTail.resume(tail)) |> again()

  def pause(%{assigns: %{tail: tail}} = socket), do: assign(socket, tail: LogTail.pause(tail))

  @doc "Shows only what holds the text."
  def search(%{assigns: %{tail: tail}} = socket, text),
    do: socket |> assign(tail: LogTail.search(tail, text)) |> again()

  @doc "Shows what came since."
  def show(%{assigns: %{tail: tail, log_shown: shown}} = socket) do
    lines = LogTail.lines(tail)
    new = if shown, do: Enum.filter(lines, &(&1.cursor > shown)), else: lines
    socket |> assign(log_waits: false) |> shown(lines) |> stream(:lines, new, at: -1, limit: -@lines_max)
  end

  defp again(%{assigns: %{tail: tail}} = socket) do
    lines = LogTail.lines(tail)
    socket |> assign(log_shown: nil) |> shown(lines) |> stream(:lines, lines, reset: true)
  end

  defp shown(socket, []), do: socket
  defp shown(socket, lines), do: assign(socket, log_shown: List.last(lines).cursor)

  defp soon(%{assigns: %{log_waits: true}} = socket), do: socket

  defp soon(socket) do
    Process.send_after(self(), :show_lines, @show_ms)
    assign(socket, log_waits: true)
  end
end
