defmodule SidekickWeb.Access do
  @moduledoc """
  Who asks: for each page, and before each of its events. Who may not see it sees nothing of it; when a session ends, its pages do.
  """

  import Phoenix.Component, only: [assign: 2]
  import Phoenix.LiveView

  alias Sidekick.Panel.Access

  @doc false
  def on_mount(:default, _params, %{"sidekick_mounted" => mounted} = session, socket) do
    %{user: {module, function}} = mounted
    identify = fn -> apply(module, function, [session]) end
    user = identify.()

    if Access.may?(user, :view) do
      socket = assign(socket, user: user, base: mounted.base, hub: mounted.hub, store: mounted.store, mounted: mounted)
      if connected?(socket), do: end_later(user)
      {:cont, watch(socket, identify)}
    else
      refuse(socket, mounted)
    end
  end

  @doc "Whether the page's user may do that."
  @spec may?(map(), atom()) :: boolean()
  def may?(%{user: user}, kind), do: Access.may?(user, kind)

  defp watch(socket, identify) do
    socket
    |> attach_hook(:access, :handle_event, fn _event, _params, socket -> again(socket, identify.()) end)
    |> attach_hook(:access_params, :handle_params, fn _params, uri, socket ->
      with {:cont, socket} <- again(socket, identify.()), do: {:cont, assign(socket, uri: URI.parse(uri))}
    end)
    |> attach_hook(:access_end, :handle_info, fn
      :session_over, socket -> {:halt, away(socket, socket.assigns.mounted)}
      _other, socket -> {:cont, socket}
    end)
  end

  defp again(socket, user) do
    if Access.may?(user, :view),
      do: {:cont, assign(socket, user: user)},
      else: {:halt, away(socket, socket.assigns.mounted)}
  end

  # A timer has 32 bits; a session of more than 46 days is looked at by then.
  defp end_later(%{expires_ms: expires_ms}) when is_integer(expires_ms) do
    left_ms = expires_ms - System.os_time(:millisecond)
    Process.send_after(self(), :session_over, left_ms |> max(0) |> min(4_000_000_000))
  end

  defp end_later(_user), do: :ok

  # Another application knows where its users log in, and says so by its own plugs; who comes past them sees a plain refusal.
  defp refuse(_socket, %{login: nil}), do: raise(SidekickWeb.Forbidden)
  defp refuse(socket, mounted), do: {:halt, away(socket, mounted)}

  defp away(socket, %{login: nil, base: base}), do: redirect(socket, to: base <> "/")

  defp away(socket, %{login: login}) do
    back = with %URI{path: path, query: query} <- address(socket), do: "?" <> URI.encode_query(back: back(path, query))
    redirect(socket, to: "#{login}#{back}")
  end

  # A first request is not handled yet, but holds its address.
  defp address(%{assigns: %{uri: uri}}), do: uri
  defp address(socket), do: if(connected?(socket), do: nil, else: get_connect_info(socket, :uri))

  defp back(path, none) when none in [nil, ""], do: path
  defp back(path, query), do: "#{path}?#{query}"
end

defmodule SidekickWeb.Forbidden do
  @moduledoc false
  defexception message: "this session may not see the panel: its `user:` function answered nobody", plug_status: 403
end
