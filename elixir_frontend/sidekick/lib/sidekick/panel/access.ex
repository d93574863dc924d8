defmodule Sidekick.Panel.Access do
  @moduledoc """
  Who may do what. Three roles, each may all that the one before may:

  | role | may |
  |---|---|
  | `:viewer` | see servers, logs, crashes, streams, the store, and state |
  | `:operator` | see the audit; start, stop, drain, restart, kill, release; several at once |
  | `:admin` | reload a configuration, drain sinks, give up a sink's cursors |

  A user is `%{name: binary, role: role}`. How it proved who it is belongs to whoever shows the panel; this module only reads the lines
  in which users are configured:

      iex> Sidekick.Panel.Access.parse_users("ann:admin, bo:viewer")
      {:ok, [%{name: "ann", role: :admin}, %{name: "bo", role: :viewer}]}

      iex> Sidekick.Panel.Access.parse_users("ann:root")
      {:error, "user \\"ann\\" has the role \\"root\\"; it may be viewer, operator or admin"}
  """

  @roles [:viewer, :operator, :admin]
  @needed %{
    view: :viewer,
    view_state: :viewer,
    view_audit: :operator,
    start: :operator,
    stop: :operator,
    drain: :operator,
    restart: :operator,
    rolling_restart: :operator,
    kill: :operator,
    release: :operator,
    reload: :admin,
    drain_sinks: :admin,
    forget_sink: :admin
  }

  @type role :: :viewer | :operator | :admin
  @type user :: %{name: String.t(), role: role()}

  @doc "The roles, the least first."
  @spec roles() :: [role()]
  def roles, do: @roles

  @doc "Everything that needs a permission."
  @spec kinds() :: [atom()]
  def kinds, do: Map.keys(@needed)

  @doc """
  The role that a kind of action needs.

      iex> Enum.map([:view, :kill, :forget_sink, :rm], &Sidekick.Panel.Access.needed/1)
      [:viewer, :operator, :admin, nil]
  """
  @spec needed(atom()) :: role() | nil
  def needed(kind), do: @needed[kind]

  @doc """
  Whether a user may; what is not known nobody may.

      iex> viewer = %{name: "bo", role: :viewer}
      iex> Enum.map([:view, :kill, :rm], &Sidekick.Panel.Access.may?(viewer, &1))
      [true, false, false]
      iex> Sidekick.Panel.Access.may?(nil, :view)
      false
  """
  @spec may?(user() | term(), atom()) :: boolean()
  def may?(%{name: name, role: role}, kind) when is_binary(name) and role in @roles do
    case needed(kind) do
      nil -> false
      needed -> level(role) >= level(needed)
    end
  end

  def may?(_user, _kind), do: false

  @doc "Users as `name:role`, separated by commas or spaces."
  @spec parse_users(String.t()) :: {:ok, [user()]} | {:error, String.t()}
  def parse_users(text) do
    text |> String.split([",", " ", "\n"], trim: true) |> Enum.reduce_while({:ok, []}, &parse/2) |> in_order()
  end

  defp in_order({:ok, users}), do: {:ok, Enum.reverse(users)}
  defp in_order(error), do: error

  defp parse(text, {:ok, users}) do
    with [name, role] <- String.split(text, ":"),
         true <- name =~ ~r/\A[A-Za-z0-9._@-]{1,64}\z/,
         {:role, known} when known != nil <- {:role, Enum.find(@roles, &(Atom.to_string(&1) == role))},
         false <- Enum.any?(users, &(&1.name == name)) do
      {:cont, {:ok, [%{name: name, role: known} | users]}}
    else
      {:role, nil} ->
        [name, role] = String.split(text, ":")
        {:halt, {:error, "user #{inspect(name)} has the role #{inspect(role)}; it may be viewer, operator or admin"}}

      true ->
        {:halt, {:error, "#{inspect(text)} names a user a second time; give each one role"}}

      _ ->
        {:halt, {:error, "#{inspect(text)} is no user; write name:role, the name of letters, digits and . _ @ -"}}
    end
  end

  defp level(role), do: Enum.find_index(@roles, &(&1 == role))
end
