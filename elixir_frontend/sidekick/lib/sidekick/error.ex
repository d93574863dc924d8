defmodule Sidekick.Error do
  @moduledoc """
  Why a call did not do what it was asked.

  `code` is an atom to match on, `details` a map with atom keys. Codes of a sidekick node are passed on as they are
  (`:not_found`, `:stale_epoch`, `:full`, ...); the library adds those of the way there:

    * `:not_connected` - no connection to the node, or it was lost before the answer: for a request that changes
      something the outcome is unknown
    * `:no_sidekick` - the node is there, but no process `sidekick` runs on it
    * `:no_session` - the server runs, but no game has said `hello` to sidekick (whose own protocol calls this `not_connected`)
    * `:not_running` - the server has no process to be asked
    * `:timeout` - no answer in time; the outcome is unknown
    * `:bad_reply` - the answer has no documented form (another version?)
  """

  defexception [:code, :node, details: %{}]

  @type t :: %__MODULE__{code: atom(), node: node() | nil, details: map()}

  @impl Exception
  def message(%__MODULE__{code: code, node: node, details: details}) do
    where = if node, do: " (#{node})", else: ""
    what = if details == %{}, do: "", else: ": #{inspect(details)}"
    remedy = if text = remedy(code, Node.alive?()), do: "; #{text}", else: ""
    "#{code}#{where}#{what}#{remedy}"
  end

  # Of the codes of the way there, for sidekick's own come with theirs.
  defp remedy(:not_connected, false), do: "this node has no name and reaches no other, start it with --name or --sname"

  defp remedy(:not_connected, true),
    do: "is it up under this very name, with the same cookie, and reachable from #{node()}?"

  defp remedy(:no_sidekick, _), do: "the node is up, but it is no sidekick, or one that is just starting"
  defp remedy(:no_session, _), do: "its game has not said hello; one without the addon (session = false) never does"
  defp remedy(:not_running, _), do: "start the server first"
  defp remedy(:timeout, _), do: "what was asked may have been done; ask again, or with a longer timeout:"
  defp remedy(:bad_reply, _), do: "is sidekick of another version than this library?"
  defp remedy(_code, _alive), do: nil
end
