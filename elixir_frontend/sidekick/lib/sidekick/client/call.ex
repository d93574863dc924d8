defmodule Sidekick.Client.Call do
  @moduledoc false
  # One gen call to a sidekick, and what its answer means. Everything that can go wrong becomes a `Sidekick.Error`.

  alias Sidekick.Error

  @type answer :: :ok | {:ok, term()} | {:error, Error.t()}

  @doc "Asks the process `sidekick` on a node."
  @spec request(node(), term(), timeout()) :: answer()
  def request(node, request, timeout) do
    node |> answer(GenServer.call({:sidekick, node}, request, timeout))
  catch
    :exit, {reason, {GenServer, :call, _}} -> exited(node, reason, :no_sidekick)
  end

  @doc "Asks the process `sidekick` on many nodes at once."
  @spec multi([node()], term(), timeout()) :: %{node() => answer()}
  def multi(nodes, request, timeout) do
    {answers, silent} = GenServer.multi_call(nodes, :sidekick, request, timeout)
    connected = Node.list(:connected)

    missing = fn node ->
      error(node, if(node in connected or node == node(), do: :timeout, else: :not_connected), %{})
    end

    Map.merge(
      Map.new(silent, &{&1, missing.(&1)}),
      Map.new(answers, fn {node, given} -> {node, answer(node, given)} end)
    )
  end

  @doc "Asks the script of a game server; its answer is given as it is, unless it is one of sidekick's own errors."
  @spec game(node(), GenServer.server(), term(), timeout()) :: {:ok, term()} | {:error, Error.t()}
  def game(node, server, term, timeout) do
    case GenServer.call(server, term, timeout) do
      {:error, {code, %{} = details}} when is_atom(code) -> error(node, code, details)
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

  defp answer(_node, :ok), do: :ok
  defp answer(_node, {:ok, _value} = ok), do: ok
  defp answer(node, {:error, {code, %{} = details}}) when is_atom(code), do: error(node, code, details)
  defp answer(node, other), do: error(node, :bad_reply, %{reply: other})

  defp exited(node, :noproc, absent), do: error(node, absent, %{})
  defp exited(node, :timeout, _absent), do: error(node, :timeout, %{})
  defp exited(node, {:nodedown, _}, _absent), do: error(node, :not_connected, %{})
  defp exited(node, :noconnection, _absent), do: error(node, :not_connected, %{})
  defp exited(node, reason, _absent), do: error(node, :failed, %{reason: reason})
end
