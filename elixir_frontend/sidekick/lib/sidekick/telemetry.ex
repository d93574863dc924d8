defmodule Sidekick.Telemetry do
  @moduledoc """
  Events for `:telemetry`, where that library is loaded; it is no dependency.

  | event | measurements | metadata |
  |---|---|---|
  | `[:sidekick, :ingest, :stop]` | `duration` (native), `records`, `bytes` | `procedure`, `result` (`:ok` or an error code) |
  | `[:sidekick, :ingest, :refused]` | `count` | `code` |
  | `[:sidekick, :store, :started]` | `duration` | `store`, `uuid`, `members` |
  | `[:sidekick, :store, :quorum]` | `available` (1 or 0) | `store`, `members` |
  | `[:sidekick, :store, :backup]` | `duration`, `bytes`, `nodes` | `store`, `file` |
  | `[:sidekick, :consumer, :batch]` | `duration`, `records`, `missed` | `consumer`, `origin`, `stream`, `result` (`:ok`, `:retry`, `:error`) |
  | `[:sidekick, :consumer, :poison]` | `count` | `consumer`, `origin`, `stream`, `seq` |
  | `[:sidekick, :node, :up]`, `[:sidekick, :node, :down]` | `count` | `node`, `reason` |
  """

  # It may be there at run time although it was not when this was compiled.
  @compile {:no_warn_undefined, :telemetry}

  @doc false
  @spec execute([atom()], map(), map()) :: :ok
  def execute(event, measurements, metadata) do
    if function_exported?(:telemetry, :execute, 3), do: :telemetry.execute(event, measurements, metadata), else: :ok
  end
end
