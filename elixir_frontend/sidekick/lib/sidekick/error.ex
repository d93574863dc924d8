defmodule Sidekick.Error do
  @moduledoc """
  Why a call did not do what it was asked.

  `code` is an atom to match on, `details` a map with atom keys. Codes of a sidekick node are passed on as they are
  (`:not_found`, `:stale_epoch`, `:full`, ...); the library adds those of the way there:

    * `:not_connected` - no connection to the node, or it was lost before the answer: for a request that changes
      something the outcome is unknown
    * `:no_sidekick` - the node is there, but no process `sidekick` runs on it
    * `:timeout` - no answer in time; the outcome is unknown
    * `:bad_reply` - the answer has no documented form (another version?)
  """

  defexception [:code, :node, details: %{}]

  @type t :: %__MODULE__{code: atom(), node: node() | nil, details: map()}

  @impl Exception
  def message(%__MODULE__{code: code, node: node, details: details}) do
    where = if node, do: " (#{node})", else: ""
    what = if details == %{}, do: "", else: ": #{inspect(details)}"
    "#{code}#{where}#{what}"
  end
end
