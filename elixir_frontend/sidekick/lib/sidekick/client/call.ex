defmodule Sidekick.Client.Call do
  @moduledoc false
  # One gen call to a sidekick, and what its answer means. Everything that can go wrong becomes a `Sidekick.Error`.

  alias Sidekick.Error

  @timeout_ms 5_000
  # Of all functions together: each takes what it knows, and a word that none knows is mistyped.
  @options [:timeout, :deadline, :limit, :after, :producer, :batch, :pid]

  @type answer :: :ok | {:ok, term()} | {:error, Error.t()}

  @doc "Asks the process `sidekick` on a node."
  @spec request(node(), term(), keyword()) :: answer()
  def request(node, request, opts) do
    timeout = timeout!(opts)
    node |> node!() |> answer(GenServer.call({:sidekick, node}, request, timeout))
  catch
    :exit, {reason, {GenServer, :call, _}} -> exited(node, reason, :no_sidekick)
  end

  @doc "Asks the process `sidekick` on many nodes at once."
  @spec multi([node()], term(), keyword()) :: %{node() => answer()}
  def multi(nodes, request, opts) do
    timeout = timeout!(opts)

    nodes
    |> Enum.uniq_by(&node!/1)
    |> Enum.reduce(:gen_server.reqids_new(), &:gen_server.send_request({:sidekick, &1}, request, &1, &2))
    |> collect(if(is_integer(timeout), do: {:abs, System.monotonic_time(:millisecond) + timeout}, else: timeout), %{})
  end

  # Unlike `GenServer.multi_call/4` it tells why a node did not answer. What was asked is given up with the timeout.
  defp collect(requests, until, answers) do
    case :gen_server.receive_response(requests, until, true) do
      {{:reply, given}, node, rest} ->
        collect(rest, until, Map.put(answers, node, answer(node, given)))

      {{:error, {reason, _}}, node, rest} ->
        collect(rest, until, Map.put(answers, node, exited(node, reason, :no_sidekick)))

      :no_request ->
        answers

      :timeout ->
        for {_, node} <- :gen_server.reqids_to_list(requests), into: answers, do: {node, exited(node, :timeout, nil)}
    end
  end

  @doc "Asks the script of a game server; its answer is given as it is, unless it is one of sidekick's own errors."
  @spec game(node(), GenServer.server(), term(), keyword()) :: {:ok, term()} | {:error, Error.t()}
  def game(node, server, term, opts) do
    case GenServer.call(server, term, timeout!(opts)) do
      {:error, {code, %{} = details}} when is_atom(code) -> refused(node, code, details)
      value -> {:ok, value}
    end
  catch
    :exit, {reason, {GenServer, :call, _}} -> exited(node, reason, :not_running)
  end

  @doc "An error in the form of all answers."
  @spec error(node(), atom(), map()) :: {:error, Error.t()}
  def error(node, code, details), do: {:error, %Error{code: code, node: node, details: details}}

  @doc "What an answer holds, or raises."
  @spec value!(answer()) :: term()
  def value!(:ok), do: :ok
  def value!({:ok, value}), do: value
  def value!({:error, %Error{} = error}), do: raise(error)

  defp timeout!(opts) do
    case {Keyword.keys(opts) -- @options, Keyword.get(opts, :timeout, @timeout_ms)} do
      {[], :infinity} -> :infinity
      {[], ms} when is_integer(ms) and ms >= 0 -> ms
      {[], other} -> raise ArgumentError, ":timeout must be milliseconds or :infinity, got #{inspect(other)}"
      {[key | _], _} -> raise ArgumentError, "unknown option #{inspect(key)}; there are #{inspect(@options)}"
    end
  end

  defp node!(node) when is_atom(node) and node not in [nil, true, false], do: node

  defp node!(other),
    do: raise(ArgumentError, "a node is an atom such as :\"sidekick@127.0.0.1\", got #{inspect(other)}")

  defp answer(_node, :ok), do: :ok
  defp answer(_node, {:ok, _value} = ok), do: ok
  defp answer(node, {:error, {code, %{} = details}}) when is_atom(code), do: refused(node, code, details)
  defp answer(node, other), do: error(node, :bad_reply, %{reply: other})

  # Of a game without a session; for who calls it is the node that is connected or not.
  defp refused(node, :not_connected, details), do: error(node, :no_session, details)
  defp refused(node, code, details), do: error(node, code, details)

  defp exited(node, :noproc, absent), do: error(node, absent, %{})
  defp exited(node, :timeout, _absent), do: error(node, :timeout, %{})
  defp exited(node, {:nodedown, _}, _absent), do: error(node, :not_connected, %{})
  defp exited(node, :noconnection, _absent), do: error(node, :not_connected, %{})
  defp exited(node, reason, _absent), do: error(node, :failed, %{reason: reason})
end
