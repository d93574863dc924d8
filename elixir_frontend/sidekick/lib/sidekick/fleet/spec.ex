defmodule Sidekick.Fleet.Spec do
  @moduledoc """
  What should run on a sidekick: one server.

    * `:id` (required) - `[a-z][a-z0-9_]{0,63}`, a binary or an atom
    * `:command` (required) - program and arguments, binaries
    * `:running` - `false` for one that should be there, stopped; default `true`
    * `:restart` - `:permanent` (default), `:transient`, `:temporary`
    * `:shutdown` - ms to stop gracefully, default 10000
    * `:directory`, `:env`, `:session`, `:start_timeout_ms`, `:hang_timeout_ms`, `:max_restarts`, `:max_seconds`, `:on_exit`,
      `:standby`, `:busy_max_ms`, `:memory_warn_bytes`, `:probe`, `:limits`, `:user`, `:no_new_privs`, `:inherit_env`, `:secret_env`,
      `:log_bytes`, `:log_age_ms` - as sidekick has them (docs/PROTOCOL.md); what is not given is sidekick's default

      iex> Sidekick.Fleet.Spec.new!(id: :arena, command: ["godot", "--headless"], max_restarts: 5)
      %Sidekick.Fleet.Spec{id: "arena", command: ["godot", "--headless"], options: %{max_restarts: 5}}

      iex> Sidekick.Fleet.Spec.new!(id: "No Such", command: ["godot"])
      ** (ArgumentError) :id must be [a-z][a-z0-9_]{0,63}, got "No Such"
  """

  @options [:directory, :env, :session, :start_timeout_ms, :hang_timeout_ms, :max_restarts, :max_seconds, :on_exit] ++
             [:standby, :busy_max_ms, :memory_warn_bytes, :probe, :limits, :user, :no_new_privs] ++
             [:inherit_env, :secret_env, :log_bytes, :log_age_ms]

  # sidekick makes less of it this much, so that what it tells would never be what is wanted.
  @least [max_seconds: 1, log_age_ms: 1_000]

  @enforce_keys [:id, :command]
  defstruct [:id, :command, running: true, restart: :permanent, shutdown: 10_000, options: %{}]

  @type t :: %__MODULE__{
          id: binary(),
          command: [binary(), ...],
          running: boolean(),
          restart: :permanent | :transient | :temporary,
          shutdown: pos_integer(),
          options: %{optional(atom()) => term()}
        }

  @doc "Checks what is given; raises `ArgumentError` that names what is wrong. What only sidekick can judge it refuses itself."
  @spec new!(keyword()) :: t()
  def new!(given) do
    {options, given} = Keyword.split(given, @options)

    case Keyword.keys(given) -- [:id, :command, :running, :restart, :shutdown] do
      [] -> :ok
      [key | _] -> raise ArgumentError, "unknown key #{inspect(key)} of a server"
    end

    id = to_string(given[:id])
    command = given[:command]
    spec = struct!(__MODULE__, Keyword.merge(given, id: id, command: command, options: Map.new(options)))

    check(id =~ ~r/\A[a-z][a-z0-9_]{0,63}\z/, ":id must be [a-z][a-z0-9_]{0,63}, got #{inspect(id)}")

    check(
      is_list(command) and command != [] and Enum.all?(command, &is_binary/1),
      ":command must be a list of binaries"
    )

    check(spec.restart in [:permanent, :transient, :temporary], ":restart must be :permanent, :transient or :temporary")
    check(is_integer(spec.shutdown) and spec.shutdown > 0, ":shutdown must be a positive number of ms")
    check(is_boolean(spec.running), ":running must be true or false")

    for {key, least} <- @least,
        do: check(Map.get(spec.options, key, least) >= least, "#{inspect(key)} must be at least #{least}")

    spec
  end

  @doc """
  The child spec for `Supervisor.start_child/2` on `Sidekick.supervisor/1`.

      iex> spec = Sidekick.Fleet.Spec.new!(id: :arena, command: ["godot"], restart: :transient)
      iex> Sidekick.Fleet.Spec.child(spec)
      %{id: "arena", start: {:godot, :start_link, [%{command: ["godot"]}]}, restart: :transient, shutdown: 10000}
  """
  @spec child(t()) :: map()
  def child(%__MODULE__{} = spec) do
    options = Map.put(spec.options, :command, spec.command)
    %{id: spec.id, start: {:godot, :start_link, [options]}, restart: spec.restart, shutdown: spec.shutdown}
  end

  @doc "Names what was applied, environment and all: sidekick does not tell the environment again."
  @spec fingerprint(t()) :: binary()
  def fingerprint(%__MODULE__{} = spec) do
    bytes = :erlang.term_to_binary(child(spec), [:deterministic, minor_version: 2])
    Base.encode16(:crypto.hash(:sha256, bytes), case: :lower)
  end

  @doc """
  Whether a child that sidekick tells of is of this spec, as far as it tells: not the environment, and most other options only where
  they are not its default. `applied` says that the fleet started one of this very spec there; else an option that is not told is not
  as it is wanted.
  """
  @spec matches?(t(), map(), boolean()) :: boolean()
  def matches?(%__MODULE__{} = spec, %{start: {:godot, :start_link, [%{} = told]}} = child, applied) do
    told = Map.put_new(told, :standby, 0)
    wanted = spec.options |> Map.delete(:env) |> Map.put(:command, spec.command)
    same = &same?(&1, told, applied)
    child.restart == spec.restart and child.shutdown == spec.shutdown and Enum.all?(wanted, same)
  end

  def matches?(_spec, _child, _applied), do: false

  # The limits and the probe are told rounded and with defaults: they prove nothing against what was applied.
  defp same?({key, wanted}, told, applied) do
    case {wanted, told} do
      {%{}, %{^key => %{} = told}} ->
        applied or Enum.all?(wanted, &same?(&1, told, false))

      {_, %{^key => told}} when is_list(wanted) and is_list(told) ->
        Enum.map(wanted, &text/1) == Enum.map(told, &text/1)

      {_, %{^key => told}} ->
        text(wanted) == text(told)

      _ ->
        applied
    end
  end

  # `:on_exit` may be given as an atom or a binary.
  defp text(atom) when is_atom(atom) and atom not in [true, false, nil], do: Atom.to_string(atom)
  defp text(other), do: other

  defp check(true, _text), do: :ok
  defp check(false, text), do: raise(ArgumentError, text)
end
