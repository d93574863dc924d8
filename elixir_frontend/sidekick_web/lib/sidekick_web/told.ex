defmodule SidekickWeb.Told do
  @moduledoc "Errors as sentences, each with what to do."

  alias Sidekick.Error
  alias Sidekick.Panel.{Action, Format}

  @shown_max 3

  @doc "What came of an action on several servers: the same failure is told once, with whom it befell."
  @spec incomplete([{Action.target(), Error.t()}], pos_integer()) :: String.t()
  def incomplete(failed, total) do
    told =
      failed
      |> Enum.group_by(fn {_target, error} -> sentence(error) end, fn {target, _error} -> Action.target(target) end)
      |> Enum.sort_by(fn {_sentence, targets} -> -length(targets) end)

    shown =
      Enum.map_join(Enum.take(told, @shown_max), " ", fn {sentence, targets} -> "#{some(targets)}: #{sentence}" end)

    more = if length(told) > @shown_max, do: " The audit has the others.", else: ""
    "#{Format.count(length(failed))} of #{Format.count(total)} failed. #{shown}#{more}"
  end

  defp some(targets) do
    {shown, more} = Enum.split(targets, @shown_max)
    Enum.join(shown, ", ") <> if(more == [], do: "", else: " and #{Format.count(length(more))} more")
  end

  @doc "A sentence for an outcome of `Sidekick.Panel.act/3` or an error of a request."
  @spec sentence(term()) :: String.t()
  def sentence(%Error{code: :denied, details: %{needs: needs}}),
    do: "needs the role #{needs}. Ask an admin to do it, or for the role."

  # Sidekick's own sentence knows more than a code.
  def sentence(%Error{details: %{detail: text}}) when is_binary(text), do: "#{Format.text(text, 300)}."

  def sentence(%Error{code: :not_connected, node: node}),
    do:
      "#{node} is not connected; whether it was done is unknown. Look whether sidekick runs there, then look at the server."

  def sentence(%Error{code: :timeout, node: node}),
    do: "#{node} did not answer in time; it may still be done. Look at the server before you try again."

  def sentence(%Error{code: :no_sidekick, node: node}),
    do: "#{node} is connected but runs no sidekick. Start it there."

  def sentence(%Error{code: :audit_unavailable}),
    do: "nothing was done, as it could not be written into the audit. Bring back the store's majority, then try again."

  def sentence(%Error{code: :not_found}), do: "it is not there any more. Load the page again."
  def sentence(%Error{code: :unknown_action}), do: "that is no action of this panel, or more than 200 servers at once."

  def sentence(%Error{code: code, details: details}),
    do: "#{Format.words(code)}#{details(details)}. Look at the log of its sidekick."

  def sentence(other), do: "#{Format.text(inspect(other), 200)}. Look at this node's log."

  defp details(details) when details == %{}, do: ""
  defp details(details), do: ": #{Format.text(inspect(details, limit: 10, printable_limit: 200), 300)}"
end
