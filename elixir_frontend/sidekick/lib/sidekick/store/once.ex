defmodule Sidekick.Store.Once do
  @moduledoc """
  Runs a stored procedure by one commit of the Raft log instead of two.

  Khepri repeats a command where a leader is lost on the way, and so that it is not applied twice, notes the answer of each
  transaction in the store and commits a second command (`dedup_ack`) that lets the note go. The procedures of
  `Sidekick.Store.Procedures` need no such note: each looks at a watermark or a revision first and answers a repetition as it
  answered the first time. `:khepri.transaction/5` has an option for that, `protect_against_dups`, and fails where it is given;
  so this sends the command itself, through the function below it.

  That function is no promise of Khepri's. With a version that was not tried the transaction goes the public way.
  """

  # In these the function and the form of the command were tried, by `test/sidekick/once_test.exs`.
  @tried ["0.16.", "0.18."]

  @doc "As `:khepri.transaction/5`, for a procedure that may be applied again with the same request."
  @spec run(atom(), [atom() | binary()], [term()], timeout()) :: {:ok, term()} | {:error, term()}
  def run(store, path, arguments, timeout_ms) do
    if tried?(version()),
      do: command(store, path, arguments, timeout_ms),
      else: :khepri.transaction(store, path, arguments, :rw, %{timeout: timeout_ms})
  end

  @doc "Whether the short way was tried with this version of Khepri."
  @spec tried?(String.t()) :: boolean()
  def tried?(version), do: String.starts_with?(version, @tried)

  defp version, do: to_string(Application.spec(:khepri, :vsn))

  defp command(store, path, arguments, timeout_ms) do
    case :khepri_machine.process_command(store, {:tx, path, arguments}, %{timeout: timeout_ms}) do
      {:exception, class, reason, stacktrace} -> :erlang.raise(class, reason, stacktrace)
      result -> {:ok, result}
    end
  end
end
