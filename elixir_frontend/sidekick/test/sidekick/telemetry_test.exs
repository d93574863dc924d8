defmodule Sidekick.TelemetryTest do
  # `:telemetry` is no dependency, so a module of that name stands in for it: it only passes on what it is given.
  use ExUnit.Case, async: false

  import Sidekick.Test.Uploads

  alias Sidekick.Store.Backup
  alias Sidekick.Test.{Folder, Instance}

  @listener :sidekick_telemetry_listener

  setup do
    # Where the library is loaded after all, it is the better partner.
    refute Code.ensure_loaded?(:telemetry)
    Process.register(self(), @listener)

    body =
      quote do
        def execute(event, measurements, metadata),
          do: send(unquote(@listener), {:telemetry, event, measurements, metadata})
      end

    Module.create(:telemetry, body, __ENV__)

    on_exit(fn ->
      :code.purge(:telemetry)
      :code.delete(:telemetry)
      :code.purge(:telemetry)
    end)
  end

  test "what the table of Sidekick.Telemetry lists is told" do
    instance = %{store: store} = Instance.start!()
    assert_receive {:telemetry, [:sidekick, :store, :started], %{duration: _}, %{store: _, uuid: uuid, members: [_]}}
    assert {:ok, %{store: ^uuid}} = Instance.call(instance, upload("s", 1, 3))
    assert_receive {:telemetry, [:sidekick, :ingest, :stop], measured, %{procedure: :upload, result: :ok}}
    assert %{records: 3, bytes: bytes, duration: duration} = measured
    assert bytes > 0 and duration > 0
    assert {:error, {:gap, _}} = Instance.call(instance, upload("s", 9, 9))
    assert_receive {:telemetry, [:sidekick, :ingest, :stop], _, %{procedure: :upload, result: :gap}}
    assert {:error, {:bad_request, _}} = Instance.call(instance, :nonsense)
    assert_receive {:telemetry, [:sidekick, :ingest, :refused], %{count: 1}, %{code: :bad_request}}
    assert_receive {:telemetry, [:sidekick, :store, :quorum], %{available: 1}, %{store: ^store}}, 10_000
    file = Path.join(Folder.new!(), "backup")
    {:ok, %{bytes: bytes, nodes: nodes}} = Backup.backup(file, store)
    assert_receive {:telemetry, [:sidekick, :store, :backup], %{bytes: ^bytes, nodes: ^nodes}, %{file: ^file}}
  end

  test "the table lists what the sources tell" do
    {:docs_v1, _, _, _, %{"en" => doc}, _, _} = Code.fetch_docs(Sidekick.Telemetry)
    listed = for [_, name] <- Regex.scan(~r/`\[([^\]]+)\]`/, doc), do: name

    told =
      for path <- Path.wildcard(Path.join(__DIR__, "../../lib/**/*.ex")),
          [_, name] <- Regex.scan(~r/Telemetry\.execute\(\[([^\]]+)\]/, File.read!(path)),
          # The event of a node holds what happened to it.
          name <- if(name =~ ":node", do: [":sidekick, :node, :up", ":sidekick, :node, :down"], else: [name]),
          do: name

    assert Enum.sort(Enum.uniq(told)) == Enum.sort(listed)
    assert length(listed) >= 8
  end
end
