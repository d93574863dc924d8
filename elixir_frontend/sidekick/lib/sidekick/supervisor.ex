defmodule Sidekick.Supervisor do
  @moduledoc false
  # The store first: nothing is registered for uploads before it may be served. If it fails, all behind it start again.

  use Supervisor

  alias Sidekick.{Connector, Ingest, Options, Store}

  @spec start_link(keyword()) :: Supervisor.on_start()
  def start_link(opts) do
    options = Options.new!(opts)
    Supervisor.start_link(__MODULE__, options, name: options.name)
  end

  @impl Supervisor
  def init(%Options{} = options) do
    children = [
      %{id: Store, start: {Store, :start_link, [options]}, shutdown: 15_000},
      %{id: Ingest, start: {Ingest, :start_link, [options]}},
      %{id: Connector, start: {Connector, :start_link, [options]}}
    ]

    Supervisor.init(children, strategy: :rest_for_one)
  end
end
