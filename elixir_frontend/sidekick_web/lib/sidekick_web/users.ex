defmodule SidekickWeb.Users do
  @moduledoc """
  Who may log in to the stand-alone panel: lines `name:role:hash`, as `mix sidekick_web.user NAME ROLE` prints them, in the file that
  SIDEKICK_WEB_USERS_FILE names. They are read at the start.

  A session holds the name, when it began, and a print of the hash: it ends after its time, when its user logs out, and for all who have
  another hash than at the login. The role is that of now. Without users nobody may see anything, but in development on this machine.
  """

  alias Sidekick.Panel.Access
  alias SidekickWeb.{Gate, Password}

  @type user :: %{name: String.t(), role: Access.role(), expires_ms: integer() | nil}

  @doc "Takes the users from their lines. Raises `ArgumentError` that tells what to mend, without the hash."
  @spec load!(String.t()) :: :ok
  def load!(text) do
    lines = text |> String.split("\n") |> Enum.map(&String.trim/1)
    users = for line <- lines, line != "", not String.starts_with?(line, "#"), do: parse!(line)
    roles = Enum.map_join(users, ",", fn {name, role, _hash} -> "#{name}:#{role}" end)

    case Access.parse_users(roles) do
      {:ok, known} ->
        hashes = Map.new(users, fn {name, _role, hash} -> {name, hash} end)
        :persistent_term.put(__MODULE__, Map.new(known, &{&1.name, Map.put(&1, :hash, hashes[&1.name])}))

      {:error, sentence} ->
        raise ArgumentError, "SIDEKICK_WEB_USERS: #{sentence}"
    end
  end

  @doc "Whether anybody may log in."
  @spec configured?() :: boolean()
  def configured?, do: all() != %{}

  @doc "Whether it is open without a login: in development, on this machine, while there are no users."
  @spec open?() :: boolean()
  def open?, do: not configured?() and Application.get_env(:sidekick_web, :open, false)

  @doc "Whether it is this user's password; takes as long for one that is not known."
  @spec login(String.t(), String.t()) :: {:ok, user()} | :error
  def login(name, password) do
    user = all()[name]
    if Password.verify(password, user && user.hash), do: {:ok, Map.take(user, [:name, :role])}, else: :error
  end

  @doc "What a session holds of a user who has just logged in."
  @spec begin(String.t()) :: map()
  def begin(name) do
    id = Base.url_encode64(:crypto.strong_rand_bytes(16), padding: false)
    %{"name" => name, "id" => id, "at_ms" => System.os_time(:millisecond), "print" => print(all()[name])}
  end

  @doc "Who a session is of; nil where it holds nobody, or has ended."
  @spec of_session(map()) :: user() | nil
  def of_session(%{"panel" => %{"name" => name, "id" => id, "at_ms" => at_ms, "print" => print}}) do
    user = all()[name]
    expires_ms = at_ms + Application.get_env(:sidekick_web, :session_minutes, 720) * 60_000

    if user != nil and print == print(user) and System.os_time(:millisecond) < expires_ms and not Gate.revoked?(id),
      do: %{name: name, role: user.role, expires_ms: expires_ms}
  end

  def of_session(_session), do: if(open?(), do: %{name: "developer", role: :admin, expires_ms: nil})

  defp all, do: :persistent_term.get(__MODULE__, %{})

  defp parse!(line) do
    with [name, role, hash] <- String.split(line, ":", parts: 3), true <- Password.valid?(hash) do
      {name, role, hash}
    else
      _ ->
        name = line |> String.split(":") |> hd() |> String.slice(0, 64)

        raise ArgumentError,
              "SIDEKICK_WEB_USERS: the line of #{inspect(name)} is not name:role:hash; make it with `mix sidekick_web.user`"
    end
  end

  # A changed password ends the sessions that began with the old one.
  defp print(%{hash: hash}), do: :sha256 |> :crypto.hash(hash) |> Base.url_encode64() |> binary_part(0, 16)
end
