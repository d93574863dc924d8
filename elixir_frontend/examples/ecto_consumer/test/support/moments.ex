defmodule EctoConsumer.Test.Moments do
  @moduledoc """
  The moments of the consumer's transaction, as its own process passes them: `:goals` and `:watermark` once they are
  written, `:commit` once the database confirmed it. What is to be done then is done before it goes on.
  """

  @doc "Looks at the queries of `MyApp.Repo` until the test ends."
  def watch! do
    table = :ets.new(:moments, [:public, :duplicate_bag])
    id = {__MODULE__, table}
    :ok = :telemetry.attach(id, [:my_app, :repo, :query], &__MODULE__.passed/4, table)
    ExUnit.Callbacks.on_exit(fn -> :telemetry.detach(id) end)
    table
  end

  @doc "Does this when the moment comes for the `nth` time, once."
  def at(table, moment, nth \\ 1, fun), do: :ets.insert(table, {moment, nth, fun})

  @doc "The codes of what the database refused until now."
  def refused(table), do: for({:refused, code} <- :ets.tab2list(table), do: code)

  @doc false
  def passed(_event, _measured, %{query: query, result: result}, table) do
    with {:error, %Postgrex.Error{postgres: %{code: code}}} <- result, do: :ets.insert(table, {:refused, code})
    if moment = moment(query), do: Enum.each(:ets.take(table, moment), &due(&1, table))
  end

  defp due({_moment, 1, fun}, _table), do: fun.()
  defp due({moment, nth, fun}, table), do: at(table, moment, nth - 1, fun)

  defp moment("INSERT INTO \"goals\"" <> _), do: :goals
  defp moment("INSERT INTO \"watermarks\"" <> _), do: :watermark
  defp moment("commit"), do: :commit
  defp moment(_query), do: nil
end
