# The demo's story. Called by scripts/demo with the repository, the demo's directory and perhaps "keep".
for file <- ~w(say os peer stage witness verdict console chapters), do: Code.require_file("#{file}.exs", __DIR__)

[repository, dir | options] = System.argv()
keep = "keep" in options

# A pipe that closes must not leave the processes behind: the story ends through `finish/1` alone.
Process.flag(:trap_exit, true)
Story.Say.start()
stage = Story.Stage.set(repository, dir)

outcome =
  try do
    Story.Chapters.tell(stage)
  rescue
    error ->
      Story.Say.bad(Exception.message(error))
      IO.puts("\n  #{Exception.format_stacktrace(__STACKTRACE__) |> String.trim()}")
      Story.Stage.show_logs(stage)
      :broken
  end

if keep, do: Story.Stage.print_next(stage), else: Story.Stage.strike(stage)
System.halt(if(outcome == :holds, do: 0, else: 1))
