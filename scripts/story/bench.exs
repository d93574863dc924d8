# Benchmarks of play. Called by scripts/bench with the repository, a directory and the number of rounds.
for file <- ~w(say os peer stage witness figures), do: Code.require_file("#{file}.exs", __DIR__)

[repository, dir, rounds] = System.argv()
Process.flag(:trap_exit, true)
Story.Say.start()
stage = Story.Stage.set(repository, dir)
# Crashes follow each other closely here: no quarantine, no pauses.
config = Path.join(dir, "demo.toml")
often = ~s(max_restarts = 1000\nbackoff = { initial = "1ms", max = "1ms" })
File.write!(config, String.replace(File.read!(config), "max_restarts = 5", often))

outcome =
  try do
    Story.Figures.take(stage, String.to_integer(rounds))
  rescue
    error ->
      Story.Say.bad(Exception.format(:error, error, __STACKTRACE__))
      Story.Stage.show_logs(stage)
      :broken
  end

Story.Stage.strike(stage)
System.halt(if(outcome == :ok, do: 0, else: 1))
