defmodule Sidekick.Supervisor do
  @moduledoc false
  # The store first: nothing is registered for uploads before it may be served. If it fails, all behind it start again.

  use Supervisor

  alias Sidekick.{Connector, Ingest, Options, Store}
  alias Sidekick.Store.{Folder, Watch}

  require Logger

  @spec start_link(keyword()) :: Supervisor.on_start() | :ignore
  def start_link(opts) do
    options = Options.new!(opts)

    # A node that has left its cluster serves nothing, and that is no fault of whoever supervises this.
    case Folder.open(options) do
      {:ok, %{standing: :left}} ->
        Logger.warning("#{options.data_dir} has left its cluster; remove the folder to join again")
        :ignore

      _ ->
        Supervisor.start_link(__MODULE__, options, name: options.name)
    end
  end

  @impl Supervisor
  def init(%Options{} = options) do
    children = [
      %{id: Store, start: {Store, :start_link, [options]}, shutdown: 15_000},
      %{id: Watch, start: {Watch, :start_link, [options]}},
      %{id: Ingest, start: {Ingest, :start_link, [options]}},
      %{id: Connector, start: {Connector, :start_link, [options]}}
    ]

    Supervisor.init(children, strategy: :rest_for_one)
  end
end
