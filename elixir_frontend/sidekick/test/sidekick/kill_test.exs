defmodule Sidekick.KillTest do
  # What was answered survives SIGKILL of the BEAM at any moment, from the very first on.
  use ExUnit.Case, async: false

  import Sidekick.Test.Uploads

  alias Sidekick.Store
  alias Sidekick.Test.{Beam, Folder}

  @moduletag timeout: 120_000

  defp start(name, dir) do
    beam = Beam.start!(name)
    Beam.start_sidekick!(beam, data_dir: dir)
    beam
  end

  defp ask(beam, request), do: Beam.call(beam, GenServer, :call, [Sidekick.Ingest, request])

  test "right after the first start: the store comes back as itself" do
    for _ <- 1..3 do
      {name, dir} = {Beam.name(), Folder.new!()}
      beam = start(name, dir)
      {:ok, %{store: uuid, watermark: 10}} = ask(beam, upload("s", 1, 10))
      Beam.kill!(beam)
      beam = start(name, dir)
      assert {:ok, %{store: ^uuid, watermark: 10}} = ask(beam, {:watermark, origin(), "s"})
      Beam.kill!(beam)
    end
  end

  test "again and again while uploads are under way: nothing missing, nothing twice" do
    seed = :rand.uniform(1_000_000_000)
    IO.puts("seed of the kill rounds: #{seed}")
    _ = :rand.seed(:exsss, seed)
    {name, dir} = {Beam.name(), Folder.new!()}

    {acknowledged, beam} =
      Enum.reduce(1..5, {0, start(name, dir)}, fn _, {acknowledged, beam} ->
        test = self()
        pump = spawn(fn -> pump(beam, acknowledged, test) end)
        acknowledged = await(acknowledged, acknowledged + :rand.uniform(400))
        Beam.kill!(beam)
        Process.exit(pump, :kill)
        acknowledged = drain(acknowledged)
        beam = start(name, dir)
        {:ok, %{watermark: watermark}} = ask(beam, {:watermark, origin(), "s"})
        assert watermark >= acknowledged
        {watermark, beam}
      end)

    {:ok, records} = Beam.call(beam, Store, :records, [origin(), "s", 1, 1_000_000])
    assert Enum.map(records, & &1.seq) == Enum.to_list(1..acknowledged)
    {:ok, %{hash: hash}} = Beam.call(beam, Store, :stream, [origin(), "s"])
    assert hash == Enum.reduce(records, Store.hash_zero(), &Store.hash(&2, &1))
  end

  # Every upload overlaps the one before, as after an answer that was lost.
  defp pump(beam, stored, test) do
    {:ok, %{watermark: watermark}} = ask(beam, upload("s", max(1, stored - 3), stored + 7))
    send(test, {:acknowledged, watermark})
    pump(beam, watermark, test)
  catch
    :exit, _ -> :ok
  end

  defp await(acknowledged, goal) when acknowledged >= goal, do: acknowledged

  defp await(acknowledged, goal) do
    receive do
      {:acknowledged, watermark} -> await(max(watermark, acknowledged), goal)
    after
      20_000 -> flunk("no upload was acknowledged for 20 s, at #{acknowledged}")
    end
  end

  defp drain(acknowledged) do
    receive do
      {:acknowledged, watermark} -> drain(max(watermark, acknowledged))
    after
      0 -> acknowledged
    end
  end
end
