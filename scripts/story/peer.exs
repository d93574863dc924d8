defmodule Story.Peer do
  @moduledoc """
  What the story asks of the running nodes, by stock OTP alone: `GenServer.call/3` on sidekick, `:erpc` on the
  frontend, and sidekick's events as they arrive.
  """

  @sidekick :"sidekick@127.0.0.1"
  @frontend :"frontend@127.0.0.1"

  def sidekick, do: @sidekick
  def frontend, do: @frontend

  @doc "One request to sidekick; a node that is away is an error, not an exit."
  def ask(request, timeout \\ 30_000) do
    GenServer.call({:sidekick, @sidekick}, request, timeout)
  catch
    :exit, reason -> {:error, reason}
  end

  @doc "A call to the frontend's library."
  def frontend(module, function, arguments, timeout \\ 30_000) do
    {:ok, :erpc.call(@frontend, module, function, arguments, timeout)}
  catch
    kind, reason -> {:error, {kind, reason}}
  end

  def connect(node, timeout \\ 15_000) do
    Story.Wait.until("a connection to #{node}", timeout, fn -> Node.connect(node) == true end)
  end

  @doc "The status of the demo's server, or nil."
  def lobby do
    case ask({:server, "lobby"}) do
      {:ok, status} -> status
      {:error, _} -> nil
    end
  end

  @doc "Waits until the game plays; its status."
  def await_running do
    Story.Wait.until("the game to play", 30_000, fn ->
      status = lobby()
      status && status.state == :running && status.session && status
    end)
  end

  @doc "Subscribes this process to everything that happens to the server."
  def subscribe do
    {:ok, _ref} = ask({:subscribe, self(), [{:server, "lobby"}, :crashes]})
    :ok
  end

  @doc "Waits for the next event of this type about the server; returns it with the time of its arrival."
  def event(type, timeout) do
    receive do
      {:sidekick_event, _node, _ref, %{type: ^type} = event} -> Map.put(event, :arrived_us, now_us())
    after
      timeout -> raise "waited #{timeout} ms in vain for sidekick's event #{inspect(type)}"
    end
  end

  @doc "Forgets the events that have arrived."
  def flush do
    receive do
      {:sidekick_event, _, _, _} -> flush()
    after
      0 -> :ok
    end
  end

  @doc "Monotonic microseconds."
  def now_us, do: System.monotonic_time(:microsecond)
end
