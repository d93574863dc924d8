defmodule Sidekick.Test.Beam do
  @moduledoc "Another BEAM as an OS process, to be killed."

  @doc "Starts it under a name; `hidden: true` as a sidekick is. It is killed after the test."
  def start!(name, opts \\ []) do
    hidden = if opts[:hidden], do: [~c"-hidden"], else: []
    paths = Enum.flat_map(:code.get_path(), &[~c"-pa", &1])
    cookie = [~c"-setcookie", Atom.to_charlist(Node.get_cookie())]

    {:ok, pid, node} =
      :peer.start(%{
        name: name,
        host: ~c"127.0.0.1",
        longnames: true,
        connection: :standard_io,
        args: hidden ++ cookie ++ [~c"-connect_all", ~c"false"] ++ paths
      })

    {:ok, _} = :peer.call(pid, :application, :ensure_all_started, [:logger])
    :peer.call(pid, Logger, :configure, [[level: :error]])
    os_pid = pid |> :peer.call(:os, :getpid, []) |> to_string()
    ExUnit.Callbacks.on_exit(fn -> System.cmd("sh", ["-c", "kill -9 #{os_pid}"], stderr_to_stdout: true) end)
    %{pid: pid, node: node, os_pid: os_pid}
  end

  @doc "A name no other test uses."
  def name, do: :"peer#{System.pid()}x#{System.unique_integer([:positive])}"

  @doc "Calls a function there."
  def call(beam, module, function, args), do: :peer.call(beam.pid, module, function, args, 60_000)

  @doc "Starts the library there."
  def start_sidekick!(beam, opts) do
    {:ok, _} = try_start_sidekick(beam, opts)
    :ok
  end

  @doc "Starts the library there, or answers why not."
  def try_start_sidekick(beam, opts) do
    {:ok, _} = call(beam, Application, :ensure_all_started, [:sidekick])
    call(beam, Supervisor, :start_child, [Sidekick.ApplicationSupervisor, {Sidekick, opts}])
  end

  @doc "SIGKILL; done once the process is gone."
  def kill!(beam) do
    ref = Process.monitor(beam.pid)
    {_, 0} = System.cmd("sh", ["-c", "kill -9 #{beam.os_pid}"])

    receive do
      {:DOWN, ^ref, _, _, _} -> :ok
    after
      10_000 -> raise "the BEAM #{beam.os_pid} outlived SIGKILL"
    end
  end
end
