defmodule EctoConsumer.Test.Postgres do
  @moduledoc "A real PostgreSQL on loopback, made for a run of the tests and gone with it."

  import Sidekick.Test.Eventually

  alias Sidekick.Test.Folder

  # It lives as long as its input is open, so that it ends with this BEAM, however that ends.
  @run ~S"""
  "$@" >/dev/null 2>&1 </dev/null & pid=$!
  cat >/dev/null
  kill -QUIT $pid; wait $pid
  """

  # The server refuses to run as root, so root runs it as nobody.
  @nobody 65_534

  @doc "Starts one; the answer says how to reach its database `postgres`."
  def start! do
    data = Path.join(Folder.new!(), "data")
    File.mkdir!(data)
    if root?(), do: :ok = File.chown(data, @nobody)
    {_, 0} = run("initdb", ["-D", data, "-U", "sidekick", "-A", "trust", "--no-sync", "-E", "UTF8"])
    port = free_port()
    lines = "listen_addresses = '127.0.0.1'\nport = #{port}\nunix_socket_directories = ''\n"
    File.write!(Path.join(data, "postgresql.auto.conf"), lines)
    {program, args} = program("postgres", ["-D", data])

    shell =
      Port.open({:spawn_executable, System.find_executable("sh")}, [
        :exit_status,
        args: ["-c", @run, "postgres", program | args],
        env: [{~c"LC_ALL", ~c"C.UTF-8"}]
      ])

    ask = ["-h", "127.0.0.1", "-p", "#{port}", "-U", "sidekick", "-c", "select 1", "postgres"]
    eventually(fn -> Port.info(shell) && match?({_, 0}, run("psql", ask)) end)
    [hostname: "127.0.0.1", port: port, username: "sidekick", database: "postgres"]
  end

  defp run(name, args) do
    {program, args} = program(name, args)
    System.cmd(program, args, stderr_to_stdout: true, env: [{"LC_ALL", "C.UTF-8"}])
  end

  defp program(name, args) do
    bin =
      System.get_env("SIDEKICK_PG_BIN") ||
        raise ~S|SIDEKICK_PG_BIN is not set; run: eval "$(./scripts/setup --env)"|

    program = Path.join(bin, name)

    if root?() do
      as_nobody = ["--reuid=#{@nobody}", "--regid=#{@nobody}", "--clear-groups"]
      {System.find_executable("setpriv"), as_nobody ++ [program | args]}
    else
      {program, args}
    end
  end

  defp root?, do: match?({"0\n", 0}, System.cmd("id", ["-u"]))

  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :ok = :gen_tcp.close(socket)
    port
  end
end
