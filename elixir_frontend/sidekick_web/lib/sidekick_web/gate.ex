defmodule SidekickWeb.Gate do
  @moduledoc """
  Keeps guesses at passwords slow, and remembers who logged out.

  In a minute at most #{10} logins are tried for a name from an address, #{20} from an address and #{60} in all; beyond that none is looked at until
  the next minute. So guesses cost this node little, however many come. What an address tries beyond its own share is not counted for the others, so that
  nobody keeps everybody out alone. Behind a proxy all come from its address.
  """

  use GenServer

  @limits %{name: 10, address: 20, all: 60}
  # Of more addresses in a minute than these none is let in: counting them would cost memory without end.
  @counted_max 20_000
  @window_ms 60_000
  @revoked_max 10_000

  @doc false
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @doc "Whether one more login may be tried; counts it."
  @spec try?(String.t(), term()) :: boolean()
  def try?(name, address) do
    :ets.info(__MODULE__, :size) < @counted_max + @revoked_max and
      Enum.all?([{:address, address}, {:name, {name, address}}, {:all, nil}], &below?/1)
  end

  @doc "From now on that session is nobody's."
  @spec revoke(String.t()) :: :ok
  def revoke(id), do: GenServer.call(__MODULE__, {:revoke, id})

  @doc "Whether a session was logged out."
  @spec revoked?(String.t()) :: boolean()
  def revoked?(id), do: :ets.member(__MODULE__, {:revoked, id})

  @doc "Forgets what was counted: the next minute begins."
  @spec next() :: :ok
  def next, do: GenServer.call(__MODULE__, :next)

  @impl GenServer
  def init(_opts) do
    :ets.new(__MODULE__, [:named_table, :public, :set, write_concurrency: true])
    Process.send_after(self(), :next, @window_ms)
    {:ok, []}
  end

  # The oldest go first; a session is over after its time anyway.
  @impl GenServer
  def handle_call({:revoke, id}, _from, revoked) do
    :ets.insert(__MODULE__, {{:revoked, id}, true})
    {kept, gone} = Enum.split([id | revoked], @revoked_max)
    for old <- gone, do: :ets.delete(__MODULE__, {:revoked, old})
    {:reply, :ok, kept}
  end

  def handle_call(:next, _from, revoked), do: {:reply, forget(), revoked}

  @impl GenServer
  def handle_info(:next, revoked) do
    Process.send_after(self(), :next, @window_ms)
    forget()
    {:noreply, revoked}
  end

  defp forget do
    :ets.match_delete(__MODULE__, {{:tried, :_}, :_})
    :ok
  end

  defp below?({kind, _} = key),
    do: :ets.update_counter(__MODULE__, {:tried, key}, 1, {{:tried, key}, 0}) <= @limits[kind]
end
