defmodule Story.Os do
  @moduledoc """
  Operating system processes of the story: started detached, so that they outlive this one, and ended by pid.
  """

  @doc "Starts `command` in its own session, output to `log`; its pid is appended to `dir/pids`."
  def start(dir, name, command, opts \\ []) do
    script = ~S(log=$1; shift; setsid "$@" >>"$log" 2>&1 </dev/null & echo $!)
    log = Path.join([dir, "logs", name <> ".log"])

    {out, 0} =
      System.cmd("/bin/sh", ["-c", script, "sh", log | command],
        cd: Keyword.get(opts, :cd, dir),
        env: Keyword.get(opts, :env, [])
      )

    pid = out |> String.trim() |> String.to_integer()
    File.write!(Path.join(dir, "pids"), "#{pid} #{started_at(pid)} #{name}\n", [:append])
    pid
  end

  @doc "Sends a signal; the caller knows the pid to be its own."
  def signal(pid, name) do
    # The shell's own kill: not every machine has the program.
    System.cmd("/bin/sh", ["-c", "kill -\"$1\" \"$2\"", "sh", name, to_string(pid)], stderr_to_stdout: true)
  end

  def alive?(pid), do: state(pid) not in [nil, "Z"]

  @doc "Waits until the process is gone, checking every 5 ms, at most `timeout` ms."
  def await_end(pid, timeout) do
    Story.Wait.until("process #{pid} to end", timeout, fn -> !alive?(pid) end)
  end

  @doc "Start time of a process in clock ticks since boot: with the pid, its identity."
  def started_at(pid) do
    case stat(pid) do
      nil -> 0
      fields -> fields |> Enum.at(19) |> String.to_integer()
    end
  end

  @doc "Resident memory in bytes and CPU time used so far in milliseconds."
  def usage(pid) do
    fields = stat(pid)
    ticks = String.to_integer(Enum.at(fields, 11)) + String.to_integer(Enum.at(fields, 12))
    %{rss_bytes: String.to_integer(Enum.at(fields, 21)) * 4096, cpu_ms: ticks * 10}
  end

  defp state(pid) do
    case stat(pid) do
      nil -> nil
      [state | _] -> state
    end
  end

  # Fields after the parenthesised name, which may itself hold spaces and parentheses.
  defp stat(pid) do
    case File.read("/proc/#{pid}/stat") do
      {:ok, text} -> text |> String.split(") ") |> List.last() |> String.split()
      {:error, _} -> nil
    end
  end
end

defmodule Story.Wait do
  @moduledoc "Waiting for a fact, never for a time."

  @doc "Polls `fun` every 5 ms until it is truthy and returns its value; ends the story after `timeout` ms."
  def until(what, timeout, fun), do: poll(what, Story.Say.now_ms() + timeout, fun)

  defp poll(what, deadline, fun) do
    cond do
      value = fun.() ->
        value

      Story.Say.now_ms() > deadline ->
        raise "waited in vain for #{what}"

      true ->
        receive do
        after
          5 -> poll(what, deadline, fun)
        end
    end
  end
end
