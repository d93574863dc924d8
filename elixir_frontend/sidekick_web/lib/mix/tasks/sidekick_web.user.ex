defmodule Mix.Tasks.SidekickWeb.User do
  @shortdoc "Prints the line of a user for SIDEKICK_WEB_USERS_FILE"

  @moduledoc """
  Prints a line `name:role:hash` for the file that SIDEKICK_WEB_USERS_FILE names.

      mix sidekick_web.user ann admin >> users

  The password is read from standard input, and hidden where that is a terminal. Without one (an empty line) a random one is made and told
  on standard error. Roles: viewer, operator, admin.
  """

  use Mix.Task

  alias Sidekick.Panel.Access
  alias SidekickWeb.Password

  @impl Mix.Task
  def run([name, role]) do
    {:ok, _} = Application.ensure_all_started(:crypto)

    case Access.parse_users("#{name}:#{role}") do
      {:ok, [_]} -> IO.puts("#{name}:#{role}:#{Password.hash(password(name))}")
      {:error, sentence} -> Mix.raise(sentence)
    end
  end

  def run(_args), do: Mix.raise("usage: mix sidekick_web.user NAME ROLE, with a role of viewer, operator or admin")

  defp password(name) do
    IO.write(:stderr, "password of #{name} (empty for a random one): ")

    case :io.get_password() do
      {:error, _not_a_terminal} -> IO.gets("")
      text -> IO.write(:stderr, "\n") && text
    end
    |> to_string()
    |> String.trim_trailing("\n")
    |> case do
      "" ->
        made = Base.url_encode64(:crypto.strong_rand_bytes(15))
        IO.write(:stderr, "password: #{made}\n")
        made

      short when byte_size(short) < 12 ->
        Mix.raise("the password has fewer than 12 characters; take a longer one, such as four words")

      password ->
        password
    end
  end
end
