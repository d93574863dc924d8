defmodule Story.Console do
  @moduledoc """
  An operator at a terminal: a real `iex --remsh` under a pseudo-terminal (`script`, which every Debian has), into
  which lines are typed.
  """

  alias Story.{Peer, Stage}

  @patience 20_000

  @doc "Types these lines one after another and leaves; gives what the terminal showed for each, and the exit status."
  def session(stage, lines) do
    port = open(stage)
    await(port, prompt(), "")
    shown = for line <- lines, do: {line, type(port, line)}
    Port.command(port, "exit\r")
    {shown, status(port)}
  end

  # Wide enough that no table wraps; the command line is what a user would type.
  defp open(stage) do
    command = "stty cols 160 rows 50; exec #{Stage.remsh(stage)}"

    Port.open({:spawn_executable, System.find_executable("script")}, [
      :binary,
      :exit_status,
      args: ["-q", "-e", "-c", command, "/dev/null"],
      env: for({name, value} <- [{"TERM", "xterm"} | stage.env], do: {to_charlist(name), to_charlist(value)})
    ])
  end

  # OTP draws the prompt and the line again when Enter is pressed; what the command says comes between that and the
  # next prompt.
  defp type(port, line) do
    Port.command(port, line <> "\r")
    said = ~r/#{Regex.escape(prompt() <> line)}\n(.*)#{Regex.escape(prompt())}\z/su
    [_, text] = Regex.run(said, await(port, said, ""))
    String.trim_trailing(text)
  end

  defp prompt, do: "#{Peer.sidekick()}> "

  # What came, once it fits.
  defp await(port, text, seen) do
    if plain(seen) =~ text do
      plain(seen)
    else
      receive do
        {^port, {:data, data}} -> await(port, text, seen <> data)
        {^port, {:exit_status, status}} -> raise "iex --remsh ended (#{status}) after #{inspect(seen)}"
      after
        @patience -> raise "iex --remsh never showed #{inspect(text)}, but #{inspect(seen)}"
      end
    end
  end

  defp status(port) do
    receive do
      {^port, {:exit_status, status}} -> status
      {^port, {:data, _}} -> status(port)
    after
      @patience -> raise "iex --remsh does not end"
    end
  end

  # Without escape sequences and carriage returns.
  defp plain(text), do: String.replace(text, ~r/\e\[[0-9;?]*[A-Za-z]|\e[()][0-9A-B]|[\r\a]/, "")
end
