defmodule Sidekick.Ingest.Worker do
  @moduledoc """
  The process of one request: it holds the request from its arrival, checks it and runs its transaction once it may, and
  ends with `{:result, result, facts}` or `{:refused, refusal}`.
  """

  alias Sidekick.Ingest.Request
  alias Sidekick.{Options, Store}

  @typedoc "What `Sidekick.Ingest` tells of a transaction when it is over."
  @type facts :: %{
          change: {:stream | :state, binary(), binary()} | nil,
          node: node() | nil,
          records: non_neg_integer(),
          bytes: non_neg_integer()
        }

  @doc "A process that holds the request, monitored by the caller, and does nothing before `go/1`."
  @spec start(term(), GenServer.from(), Options.t()) :: {pid(), reference()}
  def start(request, {caller, _tag}, options) do
    ingest = self()
    from = node(caller)
    spawn_monitor(fn -> wait(ingest, request, from, options) end)
  end

  @doc "Lets it begin."
  @spec go(pid()) :: :ok
  def go(pid) do
    send(pid, :go)
    :ok
  end

  @doc "Where nothing is known of what was stored."
  @spec no_facts() :: facts()
  def no_facts, do: %{change: nil, node: nil, records: 0, bytes: 0}

  defp wait(ingest, request, node, options) do
    ref = Process.monitor(ingest)

    receive do
      :go -> exit(run(request, node, options))
      {:DOWN, ^ref, _, _, _} -> :ok
    end
  end

  defp run(request, node, options) do
    case Request.parse(request, node, options) do
      {:ok, procedure, argument} ->
        result = Store.transaction(options.store, procedure, argument, options.timeout_ms)
        {:result, result, facts(procedure, argument)}

      refusal ->
        {:refused, refusal}
    end
  end

  defp facts(:upload, {origin, node, stream, _last, _dropped, records, _window, _now}) do
    bytes = Enum.reduce(records, 0, fn {_, _, payload}, sum -> sum + byte_size(payload) end)
    %{change: {:stream, origin, stream}, node: node, records: length(records), bytes: bytes}
  end

  defp facts(:upload_state, {origin, node, scope, _epoch, _before, _rev, put, delete, _now}),
    do: %{no_facts() | change: {:state, origin, scope}, node: node, records: length(put) + length(delete)}

  defp facts(:watermark, _argument), do: no_facts()
end
