defmodule Sidekick.GoldenTest do
  # The bytes that sidekick's own tests hold their requests against: both sides read the same files.
  use ExUnit.Case, async: true

  alias Sidekick.Ingest.Request
  alias Sidekick.{Options, Store}

  @origin "07070707-0707-0707-0707-070707070707"

  defp parse(name) do
    bytes = File.read!(Path.join([__DIR__, "../../../../tests/golden", name]))
    Request.parse(:erlang.binary_to_term(bytes), :"sidekick@127.0.0.1", Options.new!(data_dir: "x"))
  end

  test "an upload" do
    assert {:ok, :upload, argument} = parse("upload.etf")
    assert {@origin, :"sidekick@127.0.0.1", "events", 6, [{3, 4}], records, {_, _}, _now} = argument
    assert records == [{5, 1005, Store.external(%{hp: 3})}, {6, 1006, Store.external(:x)}]
  end

  test "a question for the watermark" do
    assert {:ok, :watermark, {@origin, "events"}} == parse("watermark.etf")
  end

  test "a state upload" do
    assert {:ok, :upload_state, argument} = parse("upload_state.etf")
    payload = :khepri_payload.data([1])
    assert {@origin, :"sidekick@127.0.0.1", "lobby", 2, 3, 9, [{"a", ^payload}], ["b"], _now} = argument
  end
end
