defmodule Sidekick.Test.Binary do
  @moduledoc "The real sidekick (env SIDEKICK_BIN) as an OS process."

  alias Sidekick.Test.Folder

  defstruct [:node, :dir, :port, :os_pid]

  @doc "Starts it with a sink to this node and one server that only sleeps; done once it answers. Killed after the test."
  def start!(opts \\ []) do
    dir = Keyword.get_lazy(opts, :dir, &Folder.new!/0)
    node = Keyword.get_lazy(opts, :node, fn -> :"sidekick#{System.unique_integer([:positive])}@127.0.0.1" end)
    File.write!(Path.join(dir, "cookie"), Atom.to_string(Node.get_cookie()))
    File.chmod!(Path.join(dir, "cookie"), 0o600)
    File.write!(Path.join(dir, "sidekick.toml"), config(node, Keyword.get(opts, :allow_start, "configured")))

    port =
      Port.open({:spawn_executable, System.fetch_env!("SIDEKICK_BIN")}, [
        :binary,
        :exit_status,
        :stderr_to_stdout,
        args: ["run", "--config", Path.join(dir, "sidekick.toml")]
      ])

    {:os_pid, os_pid} = Port.info(port, :os_pid)
    ExUnit.Callbacks.on_exit(fn -> kill(os_pid) end)
    sidekick = %__MODULE__{node: node, dir: dir, port: port, os_pid: os_pid}
    await_answer(sidekick, System.monotonic_time(:millisecond) + 20_000, "")
    sidekick
  end

  @doc "SIGKILL; done once it is gone."
  def kill!(%__MODULE__{port: port, os_pid: os_pid}) do
    kill(os_pid)

    receive do
      {^port, {:exit_status, _}} -> :ok
    after
      10_000 -> raise "sidekick #{os_pid} outlived SIGKILL"
    end
  end

  defp kill(os_pid), do: System.cmd("sh", ["-c", "kill -9 #{os_pid}"], stderr_to_stdout: true)

  defp await_answer(%{port: port} = sidekick, deadline, said) do
    receive do
      {^port, {:data, text}} -> await_answer(sidekick, deadline, said <> text)
      {^port, {:exit_status, status}} -> raise "sidekick ended with #{status}:\n#{said}"
    after
      50 ->
        cond do
          match?({:ok, _}, Sidekick.info(sidekick.node)) -> :ok
          System.monotonic_time(:millisecond) > deadline -> raise "sidekick does not answer:\n#{said}"
          true -> await_answer(sidekick, deadline, said)
        end
    end
  end

  defp config(node, allow_start) do
    """
    [node]
    name = "#{node}"
    cookie_file = "cookie"
    connect = ["#{node()}"]
    allow_start = "#{allow_start}"

    [run]
    dir = "run"

    [buffer]
    dir = "buffer"

    [[server]]
    id = "lobby"
    command = ["sh", "-c", "echo hello from the lobby; exec sleep 600"]
    session = false
    on_exit = "stop"

    [[sink]]
    name = "khepri"
    kind = "beam"
    nodes = ["#{node()}"]
    streams = ["*"]
    """
  end
end
