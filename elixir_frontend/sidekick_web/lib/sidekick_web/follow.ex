defmodule SidekickWeb.Follow do
  @moduledoc """
  Keeps a page at the hub: it is told of changes, calls the page's `refresh(socket, changes)`, and says that it is ready for the next. So a
  page is never told more than it takes in. Where the hub is not there (it starts, or starts again) the page says so and comes back to it.
  """

  import Phoenix.Component, only: [assign: 2]
  import Phoenix.LiveView

  alias Sidekick.Panel
  alias Sidekick.Panel.Notice

  @again_ms 250

  @doc "Takes in changes of the fleet; `:all` where everything may have changed."
  @callback refresh(Phoenix.LiveView.Socket.t(), :all | [Panel.Hub.change()]) :: Phoenix.LiveView.Socket.t()

  @doc false
  def on_mount(:default, _params, _session, socket) do
    socket = socket |> assign(hub_ref: nil, hub_monitor: nil) |> shared()
    socket = if connected?(socket), do: follow(socket), else: socket
    {:cont, attach_hook(socket, :follow, :handle_info, &told/2)}
  end

  defp told({:sidekick_panel, ref, %{changes: changes}}, %{assigns: %{hub_ref: ref}} = socket) do
    socket = socket |> shared() |> socket.view.refresh(changes)
    Panel.ready(ref, socket.assigns.hub)
    {:halt, socket}
  end

  defp told({:sidekick_panel, _old, _told}, socket), do: {:halt, socket}

  defp told({:DOWN, monitor, :process, _pid, _reason}, %{assigns: %{hub_monitor: monitor}} = socket),
    do: {:halt, socket |> assign(hub_ref: nil, hub_monitor: nil) |> follow() |> shared() |> socket.view.refresh(:all)}

  defp told(:follow, socket), do: {:halt, follow(socket)}
  defp told(_message, socket), do: {:cont, socket}

  # What the head of every page shows.
  defp shared(%{assigns: %{hub: hub}} = socket) do
    assign(socket, totals: Panel.totals(hub), store_notice: store_notice(Panel.store(hub)))
  end

  # Where a panel runs without a store of its own that is no trouble; a store that was lost is.
  defp store_notice(nil), do: nil
  defp store_notice(store), do: Notice.of_store(store)

  defp follow(%{assigns: %{hub: hub}} = socket) do
    with pid when is_pid(pid) <- Process.whereis(hub), {:ok, ref} <- subscribe(pid) do
      assign(socket, hub_ref: ref, hub_monitor: Process.monitor(pid))
    else
      _not_there ->
        Process.send_after(self(), :follow, @again_ms)
        socket
    end
  end

  defp subscribe(pid) do
    Panel.subscribe(self(), pid)
  catch
    :exit, _gone -> :gone
  end
end
