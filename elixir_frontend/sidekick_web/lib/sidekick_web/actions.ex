defmodule SidekickWeb.Actions do
  @moduledoc """
  What a user does on any page: the events `act`, `confirm` and `cancel`. Everything goes through `Sidekick.Panel.act/3`, which checks the
  role, asks, and audits; here is only how a page sends it there and tells what came of it.

  The work runs in a task of its own that does not end with the page: a bulk restart is not left half done because a window was closed.
  """

  import Phoenix.Component, only: [assign: 2]
  import Phoenix.LiveView

  alias Sidekick.Panel
  alias Sidekick.Panel.{Access, Action, Format}
  alias SidekickWeb.{Names, Told}

  @of_server [:start, :stop, :drain, :restart, :kill, :release]
  @of_name [:rolling_restart, :forget_sink]
  @of_node [:reload, :drain_sinks]

  @doc false
  def on_mount(:default, _params, _session, socket) do
    socket =
      socket
      |> assign(confirm: nil, working: %{}, selected: MapSet.new())
      |> attach_hook(:actions, :handle_event, &event/3)
      |> attach_hook(:actions_told, :handle_info, &info/2)

    {:cont, socket}
  end

  defp event("act", params, socket) do
    case action(params, socket) do
      {:ok, action} -> {:halt, run(socket, action, nil)}
      :error -> {:halt, put_flash(socket, :error, "That is no action of this panel. Load the page again.")}
    end
  end

  defp event("confirm", _params, %{assigns: %{confirm: %{action: action, token: token}}} = socket),
    do: {:halt, socket |> assign(confirm: nil) |> run(action, token)}

  defp event(event, _params, socket) when event in ["confirm", "cancel"], do: {:halt, assign(socket, confirm: nil)}
  defp event("close_flash", _params, socket), do: {:halt, clear_flash(socket)}
  defp event(_event, _params, socket), do: {:cont, socket}

  defp run(%{assigns: %{user: user, hub: hub, store: store}} = socket, action, token) do
    opts = [hub: hub, store: store, confirm: token]
    task = Task.Supervisor.async_nolink(SidekickWeb.Tasks, fn -> Panel.act(user, action, opts) end)
    socket |> clear_flash() |> assign(working: Map.put(socket.assigns.working, task.ref, action))
  end

  defp info({ref, outcome}, %{assigns: %{working: working}} = socket) when is_map_key(working, ref) do
    Process.demonitor(ref, [:flush])
    {action, working} = Map.pop(working, ref)
    {:halt, socket |> assign(working: working) |> told(action, outcome)}
  end

  defp info({:DOWN, ref, :process, _pid, reason}, %{assigns: %{working: working}} = socket)
       when is_map_key(working, ref) do
    {action, working} = Map.pop(working, ref)
    sentence = "#{what(action)} ended without an answer: #{Format.text(inspect(reason), 200)}. Look at this node's log."
    {:halt, socket |> assign(working: working) |> put_flash(:error, sentence)}
  end

  defp info(_message, socket), do: {:cont, socket}

  defp told(socket, action, {:confirm, %{token: token, question: question}}) do
    listed = with {:bulk, _, targets} <- action, do: Enum.map(targets, &Action.target/1), else: (_ -> [])
    assign(socket, confirm: %{action: action, token: token, question: question, kind: kind(action), listed: listed})
  end

  defp told(socket, action, :ok), do: socket |> unselect(action) |> put_flash(:info, "#{what(action)}: done.")

  defp told(socket, action, {:ok, value}),
    do: put_flash(socket, :info, "#{what(action)}: #{Format.text(inspect(value, limit: 20), 300)}")

  defp told(socket, {:bulk, _, targets} = action, {:error, {:incomplete, failed}}),
    do: put_flash(socket, :error, "#{what(action)}: #{Told.incomplete(failed, length(targets))}")

  defp told(socket, action, {:error, error}), do: put_flash(socket, :error, "#{what(action)}: #{Told.sentence(error)}")

  defp unselect(socket, {:bulk, _, _}), do: assign(socket, selected: MapSet.new())
  defp unselect(socket, _action), do: socket

  defp action(%{"kind" => kind} = params, socket) do
    kind = Enum.find(Access.kinds(), &(Atom.to_string(&1) == kind))
    node = Names.node(params["node"])
    id = params["id"]

    cond do
      params["bulk"] == "1" and MapSet.size(socket.assigns.selected) > 0 ->
        {:ok, {:bulk, kind, Enum.sort(socket.assigns.selected)}}

      node == nil ->
        :error

      kind in @of_server and is_binary(id) ->
        {:ok, {kind, node, id}}

      kind in @of_name and is_binary(id) ->
        {:ok, {kind, node, id}}

      kind in @of_node ->
        {:ok, {kind, node}}

      true ->
        :error
    end
  end

  defp action(_params, _socket), do: :error

  defp kind({:bulk, kind, _}), do: kind
  defp kind(action), do: elem(action, 0)

  @doc "An action in words, as a heading."
  @spec what(Action.t()) :: String.t()
  def what({:bulk, kind, targets}), do: "#{verb(kind)} #{Action.servers(targets)}"
  def what(action), do: "#{verb(elem(action, 0))} #{Format.text(Action.target(action), 120)}"

  defp verb(kind), do: kind |> Format.words() |> String.capitalize()
end
