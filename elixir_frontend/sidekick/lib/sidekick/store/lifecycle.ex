defmodule Sidekick.Store.Lifecycle do
  @moduledoc """
  Starts and stops Khepri so that a member keeps its identity.

  `kill -9` shortly after the very first start, or after a join, loses what Ra wrote of the member's identity, for it stands in
  dets tables that are synced lazily; the member would come back as a fresh, empty cluster. So all dets tables are synced on
  every member, and members and the store's uuid are checked, before anything is served (`Sidekick.Store.Folder`).

  How a member with an empty folder gets into its cluster is in `Sidekick.Store.Cluster`.
  """

  alias Sidekick.{Options, Telemetry}
  alias Sidekick.Store.{Cluster, Folder, Paths, Procedures, Projections}

  require Logger

  # The first in which a member does not apply what it wrote as a leader and the others never agreed to.
  @ra_sound [2, 16, 2]

  @doc "Starts the store; answers its uuid once it may be served."
  @spec start(Options.t()) :: {:ok, String.t()} | {:error, term()}
  def start(%Options{} = options) do
    began = System.monotonic_time()

    with {:ok, note} <- Folder.open(options),
         :ok <- may_start(note.standing, options),
         :ok <- Cluster.stand(options, if(note.standing == :member, do: :member, else: :new)),
         {:ok, way} <- Cluster.prepare(options, note),
         :ok <- Folder.clear(options, note),
         :ok <- open(options, note),
         :ok <- Cluster.settle(options, way),
         {:ok, members} <- expect_members(options),
         {:ok, uuid} <- identity(options.store, note),
         :ok <- install_procedures(options.store),
         :ok <- Folder.write(options, :member, uuid),
         :ok <- Projections.install(options) do
      Cluster.stand(options, :serving)
      duration = System.monotonic_time() - began
      metadata = %{store: options.store, uuid: uuid, members: members}
      Telemetry.execute([:sidekick, :store, :started], %{duration: duration}, metadata)
      {:ok, uuid}
    else
      {:error, _} = error ->
        stop(options)
        error
    end
  end

  @doc "Starts Khepri on a folder and waits for a leader; for nobody's use but this module's and a restore's."
  @spec open(Options.t(), Folder.note()) :: :ok | {:error, term()}
  def open(%Options{store: store, start_timeout_ms: timeout} = options, note) do
    quiet()

    with :ok <- Folder.write(options, note.standing, note.uuid),
         {:ok, _} <- Application.ensure_all_started(:khepri),
         :ok <- warn_of_ra(options),
         :ok <- start_system(options),
         {:ok, _} <- :khepri.start(store, store, timeout),
         :ok <- :khepri_cluster.wait_for_leader(store, timeout),
         do: sync_identity()
  end

  @doc "Stops the store and its Raft system; the folder keeps everything."
  @spec stop(Options.t()) :: :ok
  def stop(%Options{store: store} = options) do
    Cluster.stand(options, :absent)
    _ = :khepri.stop(store)
    _ = :ra_system.stop(store)
    :ok
  end

  @doc "Syncs what Ra keeps of this node's members, so that none forgets who it is."
  @spec sync_identity() :: :ok | {:error, term()}
  def sync_identity do
    Enum.find_value(:dets.all(), :ok, fn table ->
      case sync(table) do
        :ok -> nil
        {:error, reason} -> {:error, {:identity_not_synced, %{table: table, reason: reason}}}
      end
    end)
  end

  @doc "Stores the procedures of this version of the code. Their names hold its checksum: versions may share a store."
  @spec install_procedures(atom()) :: :ok | {:error, term()}
  def install_procedures(store) do
    Enum.find_value(Procedures.all(), :ok, fn {name, procedure} ->
      path = procedure_path(name)

      case :khepri.exists(store, path) || :khepri.put(store, path, procedure) do
        true -> nil
        :ok -> nil
        error -> error
      end
    end)
  end

  @doc "Where a procedure of this version of the code is stored."
  @spec procedure_path(atom()) :: Paths.path()
  def procedure_path(name),
    do: Paths.procedure("#{name}-#{Base.encode16(Procedures.module_info(:md5), case: :lower)}")

  @doc "A new uuid."
  @spec uuid() :: String.t()
  def uuid do
    <<a::48, _::4, b::12, _::2, c::62>> = :crypto.strong_rand_bytes(16)
    <<d::32, e::16, f::16, g::16, h::48>> = <<a::48, 4::4, b::12, 2::2, c::62>>
    Enum.map_join([{d, 8}, {e, 4}, {f, 4}, {g, 4}, {h, 12}], "-", fn {n, width} -> hex(n, width) end)
  end

  defp hex(number, width), do: number |> Integer.to_string(16) |> String.downcase() |> String.pad_leading(width, "0")

  defp may_start(:restoring, options),
    do: {:error, {:restore_incomplete, %{data_dir: options.data_dir, remedy: "remove the folder and restore again"}}}

  defp may_start(:left, options),
    do: {:error, {:left_cluster, %{data_dir: options.data_dir, remedy: "remove the folder to join again"}}}

  defp may_start(_standing, _options), do: :ok

  defp warn_of_ra(%Options{members: [_]}), do: :ok

  defp warn_of_ra(_options) do
    version = to_string(Application.spec(:ra, :vsn))

    unless ra_sound?(version) do
      Logger.error(
        "Ra #{version} may lose what a store of several members acknowledged, when members are killed: " <>
          "use Ra 2.16.2 or later, which comes with Khepri 0.17"
      )
    end

    :ok
  end

  @doc "Whether a version of Ra keeps what several members acknowledged."
  @spec ra_sound?(String.t()) :: boolean()
  def ra_sound?(version) do
    numbers = ~r/\A(\d+)\.(\d+)\.(\d+)/ |> Regex.run(version, capture: :all_but_first)
    numbers == nil or Enum.map(numbers, &String.to_integer/1) >= @ra_sound
  end

  # Raft tells each of its steps at debug, and much at info and notice.
  defp quiet do
    for application <- [:ra, :khepri, :horus, :aten, :seshat, :gen_batch_server] do
      _ = Application.load(application)
      :logger.set_application_level(application, :warning)
    end

    _ = :logger.add_primary_filter(:sidekick_replay, {&__MODULE__.drop_replayed/2, []})
    :ok
  end

  @doc false
  # When Ra replays its log after a kill it answers former callers again, of this node's former life; the emulator tells
  # an error for each.
  def drop_replayed(%{msg: {format, [text | _]}, meta: %{error_logger: %{emulator: true}}}, _)
      when is_list(format) and is_list(text),
      do: if(:lists.prefix(~c"Discarding message", text), do: :stop, else: :ignore)

  # Ra warns of the workers that end with their store.
  def drop_replayed(%{msg: {~c"~ts: worker exited with ~w", [_, :shutdown]}, meta: %{domain: [:ra | _]}}, _), do: :stop
  def drop_replayed(_event, _), do: :ignore

  # As `:khepri.start/2` does with a folder, but named after the store, so that one VM may hold several.
  defp start_system(%Options{store: name, data_dir: dir}) do
    dir = String.to_charlist(dir)
    names = :ra_system.derive_names(name)
    config = Map.merge(:ra_system.default_config(), %{name: name, data_dir: dir, wal_data_dir: dir, names: names})

    case :ra_system.start(config) do
      {:ok, _} -> :ok
      {:error, {:already_started, _}} -> :ok
      {:error, _} = error -> error
    end
  end

  # Tables of others may close meanwhile; that syncs them.
  defp sync(table) do
    :dets.sync(table)
  rescue
    ArgumentError -> if table in :dets.all(), do: {:error, :badarg}, else: :ok
  end

  # Fewer than configured may serve: the others join one by one. A stranger may not be there.
  defp expect_members(%Options{store: store, members: expected}) do
    with {:ok, found} <- Cluster.members(store) do
      if node() in found and found -- expected == [],
        do: {:ok, found},
        else: {:error, {:unexpected_members, %{found: found, expected: Enum.sort(expected)}}}
    end
  end

  # A folder that has served must hold the same store again; only one that never has may make a new one.
  defp identity(store, %{uuid: nil}) do
    fresh = %{uuid: uuid(), created_ms: System.os_time(:millisecond)}

    case :khepri.create(store, Paths.store(), fresh) do
      :ok -> {:ok, fresh.uuid}
      {:error, {:khepri, :mismatching_node, _}} -> known(store)
      {:error, _} = error -> error
    end
  end

  defp identity(store, %{uuid: uuid}) do
    case known(store) do
      {:ok, ^uuid} -> {:ok, uuid}
      {:ok, other} -> {:error, {:identity_lost, %{expected: uuid, found: other}}}
      {:error, {:khepri, :node_not_found, _}} -> {:error, {:identity_lost, %{expected: uuid, found: nil}}}
      {:error, _} = error -> error
    end
  end

  # Through the leader: a member that has just joined may not have it yet.
  defp known(store) do
    with {:ok, %{uuid: uuid}} <- :khepri.get(store, Paths.store(), %{favor: :consistency}), do: {:ok, uuid}
  end
end
