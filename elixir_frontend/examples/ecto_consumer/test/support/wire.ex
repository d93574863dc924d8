defmodule EctoConsumer.Test.Wire do
  @moduledoc "Stands between a client and a database: withholds what the database answers, and cuts them apart."

  defstruct [:port, :held, :sockets]

  @doc "Passes on to that address; the calling process is told `:withheld` of each answer that does not get through."
  def start!(host, port) do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    {:ok, here} = :inet.port(listener)
    wire = %__MODULE__{port: here, held: :atomics.new(1, []), sockets: :ets.new(:wire, [:public])}
    test = self()
    spawn_link(fn -> accept(listener, String.to_charlist(host), port, wire, test) end)
    wire
  end

  @doc "Nothing that the database says gets through any more."
  def withhold(%__MODULE__{held: held}), do: :atomics.put(held, 1, 1)

  @doc "Ends all connections; what connects after this gets through again."
  def cut(%__MODULE__{held: held, sockets: sockets}) do
    for {socket} <- :ets.tab2list(sockets), do: :gen_tcp.close(socket)
    :atomics.put(held, 1, 0)
  end

  defp accept(listener, host, port, wire, test) do
    {:ok, client} = :gen_tcp.accept(listener)
    {:ok, server} = :gen_tcp.connect(host, port, [:binary, active: false])
    :ets.insert(wire.sockets, [{client}, {server}])
    spawn_link(fn -> pass(client, server, fn -> true end) end)
    spawn_link(fn -> pass(server, client, fn -> through?(wire, test) end) end)
    accept(listener, host, port, wire, test)
  end

  defp through?(wire, test) do
    held = :atomics.get(wire.held, 1) == 1
    if held, do: send(test, :withheld)
    not held
  end

  defp pass(from, to, through?) do
    with {:ok, bytes} <- :gen_tcp.recv(from, 0),
         :ok <- if(through?.(), do: :gen_tcp.send(to, bytes), else: :ok) do
      pass(from, to, through?)
    else
      {:error, _} -> for socket <- [from, to], do: :gen_tcp.close(socket)
    end
  end
end
