defmodule Sidekick.Panel.Totals do
  @moduledoc """
  The fleet in a few numbers, for the head of a page.

  `servers` and `sidekicks` count by state; `players`, `memory` and `rate` are sums over what is known, nil where nothing is.
  """

  alias Sidekick.Panel.{Host, Model, Server}

  @type t :: %{
          servers: %{atom() => non_neg_integer()},
          sidekicks: %{atom() => non_neg_integer()},
          players: number() | nil,
          memory: number() | nil,
          rate: number() | nil,
          lag: non_neg_integer() | nil,
          attention: non_neg_integer()
        }

  @doc "Of a model, where so many things need attention."
  @spec of(Model.t(), non_neg_integer()) :: t()
  def of(%Model{} = model, attention) do
    servers = Map.values(model.servers)
    hosts = Map.values(model.hosts)
    # What the store remembers is not so now.
    fresh = Enum.filter(servers, &(&1.remembered_ms == nil))

    %{
      servers: Enum.frequencies_by(servers, & &1.state),
      sidekicks: Enum.frequencies_by(hosts, & &1.state),
      players: sum(fresh, &Server.figure(&1, :players)),
      memory: sum(fresh, &Server.memory/1),
      rate: sum(hosts, &Host.rate/1),
      lag: hosts |> Enum.map(&Host.lag/1) |> Enum.reject(&is_nil/1) |> Enum.max(fn -> nil end),
      attention: attention
    }
  end

  defp sum(list, figure) do
    case for item <- list, number = figure.(item), do: number do
      [] -> nil
      numbers -> Enum.sum(numbers)
    end
  end
end
