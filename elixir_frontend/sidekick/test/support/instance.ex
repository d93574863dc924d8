defmodule Sidekick.Test.Instance do
  @moduledoc "An isolated instance of the library for one test: own folder, own names, gone afterwards."

  import ExUnit.Callbacks

  alias Sidekick.Test.Folder

  defstruct [:store, :ingest, :connector, :dir, :opts]

  @doc "Starts an instance under the test's supervisor."
  def start!(opts \\ []) do
    instance = new(opts)
    start_again!(instance)
    instance
  end

  @doc "Names and a folder for an instance, not started."
  def new(opts \\ []) do
    unique = System.unique_integer([:positive])
    dir = Folder.new!()

    names = [
      store: :"store_#{unique}",
      name: :"instance_#{unique}",
      ingest: :"ingest_#{unique}",
      connector: :"connector_#{unique}"
    ]

    opts = Keyword.merge(names ++ [data_dir: dir], opts)
    %__MODULE__{store: opts[:store], ingest: opts[:ingest], connector: opts[:connector], dir: dir, opts: opts}
  end

  @doc "Starts a stopped instance on what it left."
  def start_again!(instance), do: start_supervised!({Sidekick, instance.opts})

  @doc "Stops an instance."
  def stop!(instance), do: stop_supervised!(instance.opts[:name])

  @doc "As a sidekick calls it."
  def call(instance, request), do: GenServer.call(instance.ingest, request, 15_000)
end
