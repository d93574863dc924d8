defmodule Story.Stage do
  @moduledoc """
  The stage: a directory, a port mapper of the story's own (so that nothing else on the machine is touched), the
  frontend (a BEAM node with the Elixir library and Khepri) and sidekick, which starts the game.
  """

  alias Story.{Os, Peer, Say, Wait}

  defstruct [:repository, :dir, :cookie, :epmd_port, :env, :binary]

  def set(repository, dir) do
    cookie = Base.encode16(:crypto.strong_rand_bytes(12))
    write_secret(Path.join(dir, "cookie"), cookie)
    File.ln_s!(Path.join(repository, "godot/demo"), Path.join(dir, "game"))
    config = File.read!(Path.join(repository, "docs/examples/demo.toml"))
    File.write!(Path.join(dir, "demo.toml"), String.replace(config, "DEMO_DIR", dir))

    port = "ERL_EPMD_PORT" |> System.fetch_env!() |> String.to_integer()
    env = [{"ERL_EPMD_PORT", to_string(port)}]
    binary = System.get_env("SIDEKICK_BIN") || Path.join(repository, "target/release/sidekick")
    stage = %__MODULE__{repository: repository, dir: dir, cookie: cookie, epmd_port: port, env: env, binary: binary}
    start_epmd(stage)
    join(stage)
    stage
  end

  def start_frontend(stage) do
    pid =
      Os.start(
        stage.dir,
        "frontend",
        ~w(elixir --name frontend@127.0.0.1 --cookie #{stage.cookie} -S mix) ++ frontend_task(),
        cd: Path.join([stage.repository, "elixir_frontend", if(panel(), do: "sidekick_web", else: "sidekick")]),
        env:
          stage.env ++
            [
              {"MIX_ENV", "prod"},
              {"SIDEKICK_DATA_DIR", Path.join(stage.dir, "khepri")},
              {"SIDEKICK_NODES", "sidekick@127.0.0.1"},
              {"SIDEKICK_PANEL", "1"},
              {"SIDEKICK_RETENTION_RECORDS", "infinity"},
              {"SIDEKICK_RETENTION_BYTES", "infinity"}
            ]
      )

    Peer.connect(Peer.frontend())

    Wait.until("the frontend to serve", 20_000, fn ->
      match?({:ok, pid} when is_pid(pid), Peer.frontend(Process, :whereis, [Sidekick.Ingest]))
    end)

    pid
  end

  # The panel's node is the same frontend with pages; scripts/demo says whether there is one.
  defp frontend_task, do: if(panel(), do: ~w(phx.server --no-compile), else: ~w(run --no-halt --no-compile))
  defp panel, do: System.get_env("SIDEKICK_WEB_PORT")

  defp print_panel(stage) do
    if panel() do
      password = File.read!(Path.join(stage.dir, "panel.password"))
      IO.puts("  The panel: http://127.0.0.1:#{panel()}    name: operator    password: #{password}\n")
    end
  end

  def start_sidekick(stage) do
    pid = Os.start(stage.dir, "sidekick", [stage.binary, "run", "--config", "demo.toml"], env: stage.env)
    Peer.connect(Peer.sidekick())
    Wait.until("sidekick to answer", 10_000, fn -> match?({:ok, _}, Peer.ask(:info)) end)
    Peer.subscribe()
    pid
  end

  @doc "Writes the fleet as one page, as an operator would: by the mix task, from the frontend."
  def report(stage) do
    page = Path.join(stage.dir, "report.html")

    arguments =
      ~w(sidekick.report --frontend frontend@127.0.0.1 --cookie-file #{stage.dir}/cookie --out #{page})

    options = [
      cd: Path.join(stage.repository, "elixir_frontend/sidekick"),
      env: stage.env ++ [{"MIX_ENV", "prod"}],
      stderr_to_stdout: true
    ]

    case System.cmd("mix", arguments, options) do
      {_said, 0} -> page
      {said, status} -> raise "mix sidekick.report ended with #{status}: #{said}"
    end
  end

  @doc "Ends what the story started, in order, each by its pid."
  def strike(stage) do
    for line <- stage.dir |> Path.join("pids") |> File.read!() |> String.split("\n", trim: true) |> Enum.reverse() do
      [pid, started, _name] = String.split(line, " ", parts: 3)
      {pid, started} = {String.to_integer(pid), String.to_integer(started)}

      if Os.started_at(pid) == started and Os.alive?(pid) do
        Os.signal(pid, "TERM")
        Os.await_end(pid, 15_000)
      end
    end

    File.rm(Path.join(stage.dir, "pids"))
  end

  @doc "The command line of sidekick's own prompt."
  def remsh(stage),
    do: ~s|iex --name op@127.0.0.1 --cookie "$(cat #{stage.dir}/cookie)" --hidden --remsh #{Peer.sidekick()}|

  @doc "What to type next, for `--keep`."
  def print_next(stage) do
    File.write!(Path.join(stage.dir, "env"), """
    eval "$("#{stage.repository}/scripts/setup" --env 2>/dev/null)"
    export ERL_EPMD_PORT=#{stage.epmd_port}
    export SIDEKICK_RUN_DIR="#{stage.dir}/run"
    export PATH="#{Path.dirname(stage.binary)}:$PATH"
    """)

    IO.puts("\nEverything is still running.\n")
    print_panel(stage)

    IO.puts("""
    Next, in another terminal:

      . #{stage.dir}/env                          # toolchain, port mapper and run directory of this demo
      sidekick ctl status
      sidekick ctl logs lobby
      sidekick ctl crashes lobby

      #{remsh(stage)}
        help                                      # the operator's prompt of sidekick itself; Tab completes
        logs -f lobby

      iex --name me@127.0.0.1 --cookie "$(cat #{stage.dir}/cookie)" --hidden --remsh frontend@127.0.0.1
        GenServer.call({:sidekick, :"sidekick@127.0.0.1"}, :info)
        Supervisor.which_children({:sidekick_sup, :"sidekick@127.0.0.1"})
        GenServer.call({:lobby, :"sidekick@127.0.0.1"}, "status")

    End it with:  #{stage.repository}/scripts/demo --stop
    """)
  end

  @doc "The last lines of every log, where the story broke."
  def show_logs(stage) do
    for log <- Path.wildcard(Path.join(stage.dir, "logs/*.log")) do
      lines = log |> File.stream!() |> Enum.take(-15)
      IO.puts("\n  #{log}:\n" <> Enum.map_join(lines, &("    " <> &1)))
    end
  end

  @doc "The story's own port mapper."
  def start_epmd(stage) do
    Os.start(stage.dir, "epmd", ["epmd", "-address", "127.0.0.1", "-port", to_string(stage.epmd_port)])
    Wait.until("the port mapper", 5_000, fn -> listening?(stage.epmd_port) end)
  end

  # This process joins the cluster under a name of its own, hidden, by the story's own port mapper.
  defp join(stage) do
    {:ok, _} = :net_kernel.start(:"story@127.0.0.1", %{name_domain: :longnames, hidden: true})
    Node.set_cookie(String.to_atom(stage.cookie))
    Say.line("stage set in #{stage.dir}")
  end

  defp write_secret(path, text) do
    File.write!(path, text)
    File.chmod!(path, 0o400)
  end

  defp listening?(port) do
    case :gen_tcp.connect({127, 0, 0, 1}, port, []) do
      {:ok, socket} -> :gen_tcp.close(socket) == :ok
      {:error, _} -> false
    end
  end
end
