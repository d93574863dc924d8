# What OTP's own supervisor does with groups of children, as JSON lines: who dies of what, whose starts fail, and what follows.
#
#     elixir tests/support/otp_groups.exs > tests/golden/otp_groups.jsonl
#
# `src/supervisor/group/golden_tests.rs` holds the model, the conductor and the machines to it.

defmodule Child do
  use GenServer

  def start_link(number) do
    Log.add("start #{number}")

    if Log.fails?(number),
      do: {:error, :no_start},
      else: GenServer.start_link(__MODULE__, number)
  end

  @impl true
  def init(number) do
    Process.flag(:trap_exit, true)
    {:ok, %{number: number, self: false}}
  end

  @impl true
  def handle_cast({:die, reason}, state), do: {:stop, reason, %{state | self: true}}

  @impl true
  def terminate(_reason, %{self: true}), do: :ok
  def terminate(_reason, %{number: number}), do: Log.add("stop #{number}")
end

defmodule Log do
  def open, do: :ets.new(__MODULE__, [:named_table, :public, :ordered_set])

  def add(line),
    do: :ets.insert(__MODULE__, {{:line, :erlang.unique_integer([:monotonic])}, line})

  def fail(number, times), do: :ets.insert(__MODULE__, {{:fails, number}, times})

  def fails?(number) do
    case :ets.lookup(__MODULE__, {:fails, number}) do
      [{key, times}] when times > 0 -> :ets.insert(__MODULE__, {key, times - 1})
      _ -> false
    end
  end

  def take do
    lines = :ets.match(__MODULE__, {{:line, :_}, :"$1"}) |> List.flatten()
    :ets.match_delete(__MODULE__, {{:line, :_}, :_})
    lines
  end

  def clear, do: :ets.delete_all_objects(__MODULE__)
end

defmodule Stories do
  @reasons ~w(normal shutdown crash)a

  def run(count) do
    Process.flag(:trap_exit, true)
    Log.open()
    :rand.seed(:exsss, {1, 2, 3})
    for _ <- 1..count, do: IO.puts(json(story()))
  end

  defp story do
    Log.clear()
    strategy = Enum.random([:rest_for_one, :one_for_all])

    types =
      for _ <- 1..Enum.random(1..5),
          do: Enum.random([:permanent, :permanent, :transient, :temporary])

    intensity = Enum.random(0..4)
    last = length(types) - 1

    children =
      for {type, number} <- Enum.with_index(types),
          do: %{id: number, start: {Child, :start_link, [number]}, restart: type}

    {:ok, supervisor} =
      Supervisor.start_link(children, strategy: strategy, max_restarts: intensity, max_seconds: 5)

    Log.take()
    events = for _ <- 1..8, do: {Enum.random(0..last), Enum.random(@reasons), fails(last)}
    %{strategy: strategy, types: types, max_restarts: intensity, events: play(events, supervisor)}
  end

  defp fails(last) do
    case Enum.random(1..3) do
      1 -> [[Enum.random(0..last), Enum.random(1..2)]]
      _ -> []
    end
  end

  # Until nobody is left to die, or the supervisor has given up.
  defp play([], supervisor) do
    Process.exit(supervisor, :kill)
    []
  end

  defp play([{number, reason, fails} | rest], supervisor) do
    case pid(supervisor, number) do
      nil ->
        play(rest, supervisor)

      pid ->
        for [number, times] <- fails, do: Log.fail(number, times)
        die(pid, reason)
        gave_up = settle(supervisor, pid)
        alive = if gave_up, do: [], else: alive(supervisor)

        event = %{
          dies: number,
          reason: reason,
          fails: fails,
          log: Log.take(),
          alive: alive,
          gave_up: gave_up
        }

        for [number, _] <- fails, do: Log.fail(number, 0)
        [event | if(gave_up, do: [], else: play(rest, supervisor))]
    end
  end

  defp die(pid, :crash), do: Process.exit(pid, :kill)
  defp die(pid, reason), do: GenServer.cast(pid, {:die, reason})

  # True where the supervisor has ended. It answers between its steps, so that what it says is settled once the dead child is gone
  # and nothing restarts.
  defp settle(supervisor, dead) do
    children = Supervisor.which_children(supervisor)

    if Enum.any?(children, fn {_, pid, _, _} -> pid == dead or pid == :restarting end),
      do: settle(supervisor, dead),
      else: false
  catch
    :exit, _ ->
      receive do
        {:EXIT, ^supervisor, _} -> true
      end
  end

  defp pid(supervisor, number) do
    Enum.find_value(Supervisor.which_children(supervisor), fn {id, pid, _, _} ->
      if id == number and is_pid(pid), do: pid
    end)
  end

  defp alive(supervisor) do
    for({id, pid, _, _} <- Supervisor.which_children(supervisor), is_pid(pid), do: id)
    |> Enum.sort()
  end

  defp json(map) when is_map(map) do
    fields =
      map
      |> Enum.sort()
      |> Enum.map_join(",", fn {key, value} -> "#{json(key)}:#{json(value)}" end)

    "{#{fields}}"
  end

  defp json(list) when is_list(list), do: "[" <> Enum.map_join(list, ",", &json/1) <> "]"
  defp json(bool) when is_boolean(bool), do: "#{bool}"
  defp json(number) when is_integer(number), do: "#{number}"
  defp json(text), do: "\"#{text}\""
end

Logger.configure(level: :none)
Stories.run(200)
