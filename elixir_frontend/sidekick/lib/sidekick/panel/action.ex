defmodule Sidekick.Panel.Action do
  @moduledoc """
  The one way in which a user of the panel changes anything: `run/3` checks the role, asks where it could do harm, does it through the
  client library, and writes into the audit what came of it, what was denied too.

      {:confirm, question} = Action.run(user, {:kill, node, "lobby"})
      :ok = Action.run(user, {:kill, node, "lobby"}, confirm: question.token)

  Actions: `{kind, node, id}` with a kind of `:start`, `:stop`, `:drain`, `:restart`, `:kill`, `:release`;
  `{:rolling_restart, node, group}`; `{:forget_sink, node, sink}`; `{:reload, node}`, `{:drain_sinks, node}`; and
  `{:bulk, kind, [{node, id}]}` of `:start`, `:stop`, `:drain` or `:restart`, at most #{200} at once, #{16} at the same time.

  A confirmation holds for #{60} s, for that user and that very action, on this node. Where the audit cannot be written a destructive
  action is not done (`:audit_unavailable`), for who did it could not be told later; what helps play (`:start`, `:release`) is done all the
  same. Architecture Invariant: nothing else of the panel calls a function that changes something.
  """

  alias Sidekick.Error
  alias Sidekick.Panel.{Access, Audit, Format}

  require Logger

  @per_server [:start, :stop, :drain, :restart, :kill, :release]
  @bulk [:start, :stop, :drain, :restart]
  @bulk_max 200
  @at_once 16
  @valid_ms 60_000
  @mild [:start, :release]

  @type target :: {node(), binary()}
  @type t ::
          {atom(), node(), binary()} | {:reload | :drain_sinks, node()} | {:bulk, atom(), [target()]}
  @type question :: %{token: binary(), question: String.t(), expires_ms: integer()}
  @type outcome :: :ok | {:ok, term()} | {:error, Error.t()} | {:error, {:incomplete, [{target(), Error.t()}]}}

  @doc """
  Does it. Options: `confirm:` (a token), `store:` (for the audit, default `:sidekick_store`), `deadline:` (ms, of one server),
  `told:` (a function that is given `(node, id, text)` of what was done, for the timeline).
  """
  @spec run(Access.user() | nil, t(), keyword()) :: outcome() | {:confirm, question()}
  def run(user, action, opts \\ []) do
    case known(action) do
      {:ok, kind} -> permitted(user, kind, action, opts)
      :error -> {:error, %Error{code: :unknown_action, details: %{action: Format.text(inspect(action, limit: 5), 100)}}}
    end
  end

  @doc "Whether an action has to be confirmed: everything that ends play, or gives something up."
  @spec destructive?(t()) :: boolean()
  def destructive?({:bulk, kind, _}), do: kind != :start
  def destructive?(action), do: elem(action, 0) not in [:start, :release, :drain_sinks]

  @doc "What it is done to, in words."
  @spec target(t()) :: String.t()
  def target({:bulk, _kind, targets}), do: Enum.map_join(targets, ", ", &target/1)
  def target({_kind, node, name}), do: "#{name} on #{node}"
  def target({node, id}) when is_binary(id), do: "#{id} on #{node}"
  def target({_kind, node}), do: Atom.to_string(node)

  @doc "How many, in words."
  @spec servers([target()]) :: String.t()
  def servers([_]), do: "1 server"
  def servers(targets), do: "#{Format.count(length(targets))} servers"

  defp known({:bulk, kind, [_ | _] = targets} = _action) when kind in @bulk and length(targets) <= @bulk_max,
    do: if(Enum.all?(targets, &target?/1), do: {:ok, kind}, else: :error)

  defp known({kind, node, id}) when kind in @per_server, do: if(target?({node, id}), do: {:ok, kind}, else: :error)

  defp known({kind, node, name}) when kind in [:rolling_restart, :forget_sink],
    do: if(target?({node, name}), do: {:ok, kind}, else: :error)

  defp known({kind, node}) when kind in [:reload, :drain_sinks] and is_atom(node), do: {:ok, kind}
  defp known(_), do: :error

  defp target?({node, id}), do: is_atom(node) and is_binary(id) and byte_size(id) in 1..255
  defp target?(_), do: false

  defp permitted(user, kind, action, opts) do
    cond do
      not Access.may?(user, kind) ->
        note(user, kind, action, :denied, "needs #{Access.needed(kind)}", opts)
        {:error, %Error{code: :denied, details: %{action: kind, needs: Access.needed(kind)}}}

      destructive?(action) and not valid?(opts[:confirm], user, action) ->
        {:confirm, question(user, kind, action)}

      true ->
        noted(user, kind, action, opts)
    end
  end

  # Noted before, too, where it does harm: the node that did it may end before it could tell.
  defp noted(user, kind, action, opts) do
    began = if kind in @mild, do: :ok, else: note(user, kind, action, :unknown, "begun", opts)

    case began do
      :ok ->
        outcome = perform(action, opts)
        {result, detail} = told(outcome)
        _ = note(user, kind, action, result, detail, opts)
        tell(user, kind, action, result, opts)
        outcome

      {:error, reason} ->
        {:error,
         %Error{code: :audit_unavailable, details: %{reason: reason, remedy: "bring back the store's majority"}}}
    end
  end

  defp perform({:bulk, kind, targets}, opts) do
    failed =
      targets
      |> Enum.uniq()
      |> Task.async_stream(fn {node, id} -> {{node, id}, perform({kind, node, id}, opts)} end,
        max_concurrency: @at_once,
        timeout: :infinity
      )
      |> Enum.flat_map(fn
        {:ok, {_target, :ok}} -> []
        {:ok, {target, {:error, error}}} -> [{target, error}]
      end)

    if failed == [], do: :ok, else: {:error, {:incomplete, failed}}
  end

  defp perform({:start, node, id}, opts), do: Sidekick.start_server(node, id, deadline(opts))
  defp perform({:release, node, id}, opts), do: Sidekick.start_server(node, id, deadline(opts))
  defp perform({:stop, node, id}, opts), do: Sidekick.stop_server(node, id, deadline(opts))
  defp perform({:drain, node, id}, opts), do: Sidekick.drain_server(node, id, deadline(opts))
  defp perform({:restart, node, id}, opts), do: Sidekick.restart_server(node, id, deadline(opts))
  defp perform({:kill, node, id}, opts), do: Sidekick.kill_server(node, id, deadline(opts))
  defp perform({:rolling_restart, node, group}, opts), do: Sidekick.rolling_restart(node, group, deadline(opts))
  defp perform({:forget_sink, node, sink}, _opts), do: Sidekick.forget_sink(node, sink)
  defp perform({:reload, node}, opts), do: Sidekick.reload(node, deadline(opts))
  defp perform({:drain_sinks, node}, opts), do: Sidekick.drain_sinks(node, deadline(opts))

  defp deadline(opts), do: Keyword.take(opts, [:deadline])

  defp told(:ok), do: {:ok, ""}
  defp told({:ok, value}), do: {:ok, inspect(value, limit: 20, printable_limit: 200)}

  # Without an answer it may have been done, and may still be. A sidekick uses the same code for a server without a session, with a detail.
  defp told({:error, %Error{code: code, details: details} = error})
       when code in [:timeout, :not_connected] and not is_map_key(details, :detail),
       do: {:unknown, Exception.message(error)}

  defp told({:error, %Error{} = error}), do: {:failed, Exception.message(error)}

  defp told({:error, {:incomplete, failed}}) do
    {:failed, Enum.map_join(failed, "; ", fn {target, error} -> "#{target(target)}: #{Exception.message(error)}" end)}
  end

  defp tell(user, kind, action, result, opts) do
    text = "#{Format.words(kind)} by #{user.name}" <> if(result == :ok, do: "", else: ": #{Format.words(result)}")

    with told when is_function(told, 3) <- opts[:told] do
      for {node, id} <- targets(action), do: told.(node, id, text)
    end

    :ok
  end

  defp targets({:bulk, _kind, targets}), do: targets
  defp targets({kind, node, id}) when kind in @per_server, do: [{node, id}]
  defp targets(_action), do: []

  # A bulk action has an entry for each server, so that the history of one is whole.
  defp note(user, kind, {:bulk, kind, targets}, result, detail, opts) when result != :denied,
    do:
      Enum.find_value(targets, :ok, fn {node, id} -> bad(note(user, kind, {kind, node, id}, result, detail, opts)) end)

  defp note(user, kind, action, result, detail, opts) do
    who = with %{name: name} when is_binary(name) <- user, do: name, else: (_ -> "nobody")
    role = with %{role: role} when is_atom(role) <- user, do: role, else: (_ -> nil)
    entry = %{who: who, role: role, action: kind, target: target(action), outcome: result, detail: detail}

    Logger.info(
      "panel: #{who} (#{role}) #{kind} #{Format.text(entry.target, 200)}: #{result} #{Format.text(detail, 200)}"
    )

    Audit.write(entry, Keyword.get(opts, :store, :sidekick_store))
  catch
    # The store is not running on this node.
    :exit, reason -> {:error, reason}
    :error, reason -> {:error, reason}
  end

  defp bad(:ok), do: nil
  defp bad(error), do: error

  defp question(user, kind, action) do
    expires_ms = System.os_time(:millisecond) + @valid_ms
    token = Base.url_encode64(<<expires_ms::64>> <> seal(user, action, expires_ms), padding: false)
    %{token: token, question: ask(kind, action), expires_ms: expires_ms}
  end

  defp ask(kind, {:bulk, _, targets}), do: "#{verb(kind)} #{servers(targets)}? #{harm(kind)}"
  defp ask(kind, action), do: "#{verb(kind)} #{Format.text(target(action), 200)}? #{harm(kind)}"

  defp verb(kind), do: kind |> Format.words() |> String.capitalize()

  defp harm(:stop), do: "Its players are sent away, and it stays stopped."
  defp harm(:drain), do: "No new players come; it ends once play has."
  defp harm(:restart), do: "Play stops for a moment and goes on with its state."
  defp harm(:rolling_restart), do: "The servers of the group restart one after the other."
  defp harm(:kill), do: "What is not acknowledged yet is lost; its restart policy applies."
  defp harm(:reload), do: "Servers whose configuration changed are restarted."
  defp harm(:forget_sink), do: "What that sink lacks may be trimmed, and cannot be sent to it any more."

  defp valid?(token, user, action) when is_binary(token) and byte_size(token) < 200 do
    with {:ok, <<expires_ms::64, seal::binary-size(32)>>} <- Base.url_decode64(token, padding: false) do
      expires_ms > System.os_time(:millisecond) and :crypto.hash_equals(seal, seal(user, action, expires_ms))
    else
      _ -> false
    end
  end

  defp valid?(_token, _user, _action), do: false

  defp seal(user, action, expires_ms) do
    said = :erlang.term_to_binary({user.name, user.role, action, expires_ms}, [:deterministic])
    :crypto.mac(:hmac, :sha256, secret(), said)
  end

  # Of this node's life: a confirmation does not outlive it.
  defp secret do
    with nil <- :persistent_term.get({__MODULE__, :secret}, nil) do
      :global.trans({{__MODULE__, :secret}, self()}, &make_secret/0, [node()])
    end
  end

  defp make_secret do
    with nil <- :persistent_term.get({__MODULE__, :secret}, nil) do
      secret = :crypto.strong_rand_bytes(32)
      :persistent_term.put({__MODULE__, :secret}, secret)
      secret
    end
  end
end
