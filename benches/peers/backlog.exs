# What sidekick itself takes of memory with a backlog of 1 GiB that a BEAM appended. Called by scripts/bench, which says where everything is.
for file <- ~w(say os), do: Code.require_file("../../scripts/story/#{file}.exs", __DIR__)

alias Story.{Os, Wait}

defmodule Backlog do
  @moduledoc "Starts the binary with a sink that nobody serves, appends, and looks at its resident memory."

  @node :"backlog@127.0.0.1"
  @appends 512

  def take(repository, dir) do
    config = configure(dir)
    pid = start(repository, dir, "first", config)
    {:ok, _} = Node.start(:"writer@127.0.0.1")
    Node.set_cookie(:backlog)
    Wait.until("the node to answer", 10_000, fn -> Node.connect(@node) end)
    idle = rss(pid)
    append()
    written = rss(pid)
    # The index follows the last change by at most 5 s.
    later = 1..80 |> Enum.map(fn _ -> sleep_and(100, fn -> rss(pid) end) end) |> Enum.max()
    stop(pid)
    pid = start(repository, dir, "second", config)
    Wait.until("the node to answer", 10_000, fn -> Node.connect(@node) end)
    reopened = rss(pid)
    stop(pid)

    IO.puts("\n| memory of `sidekick run` (RSS, MiB) | |\n|---|---|")
    IO.puts("| idle, without servers | #{idle} |")
    IO.puts("| right after 1 GiB was appended by 8 callers (256 records of 1 KiB each time) | #{written} |")
    IO.puts("| at most in the 8 s after that | #{later} |")
    IO.puts("| killed and started again with that backlog | #{reopened} |")
  end

  defp append do
    records = for _ <- 1..256, do: :binary.copy(<<7>>, 1024)

    1..8
    |> Enum.map(fn n ->
      Task.async(fn ->
        for _ <- 1..@appends do
          {:ok, _} = GenServer.call({:sidekick, @node}, {:append, "log#{n}", records}, 60_000)
        end
      end)
    end)
    |> Task.await_many(:infinity)
  end

  defp configure(dir) do
    cookie = Path.join(dir, "cookie")
    File.write!(cookie, "backlog")
    File.chmod!(cookie, 0o600)
    config = Path.join(dir, "sidekick.toml")

    File.write!(config, """
    [node]
    name = "#{@node}"
    cookie_file = "#{cookie}"
    [run]
    dir = "#{dir}/run"
    [buffer]
    dir = "#{dir}/buffer"
    [[sink]]
    name = "nobody"
    kind = "beam"
    nodes = ["nobody@127.0.0.1"]
    """)

    config
  end

  defp start(repository, dir, name, config) do
    pid = Os.start(dir, name, ["#{repository}/target/release/sidekick", "run", "--config", config])
    log = Path.join([dir, "logs", "#{name}.log"])
    Wait.until("sidekick to run", 20_000, fn -> File.read!(log) =~ "sidekick runs" end)
    pid
  end

  defp stop(pid) do
    Os.signal(pid, "KILL")
    Os.await_end(pid, 10_000)
  end

  defp sleep_and(ms, fun) do
    Process.sleep(ms)
    fun.()
  end

  defp rss(pid), do: Float.round(Os.usage(pid).rss_bytes / 1_048_576, 1)
end

[repository, dir] = System.argv()
Story.Say.start()
Backlog.take(repository, dir)
