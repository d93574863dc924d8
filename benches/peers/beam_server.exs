# A GenServer that does what benches/node_server.rs does.
defmodule Echo do
  use GenServer

  @impl true
  def init(casts), do: {:ok, casts}

  @impl true
  def handle_call({:echo, value}, _from, casts), do: {:reply, value, casts}
  def handle_call(:count, _from, casts), do: {:reply, casts, casts}

  @impl true
  def handle_cast(_message, casts), do: {:noreply, casts + 1}
end

{:ok, _} = GenServer.start(Echo, 0, name: :echo)
IO.puts("serving")
:timer.sleep(:infinity)
