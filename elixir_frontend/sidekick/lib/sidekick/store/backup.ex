defmodule Sidekick.Store.Backup do
  @moduledoc """
  Backup of a store to a file, and restore from it.

      {:ok, %{nodes: 1234, bytes: 5_000_000}} = Sidekick.Store.Backup.backup("/backups/sidekick-0412")

      # Later, on a node on which the store does not run, into an empty folder:
      {:ok, %{uuid: uuid}} = Sidekick.Store.Backup.restore("/backups/sidekick-0412", data_dir: "var/store")

  A backup is one moment of the store: everything that was answered before it began is in it. It is read from memory on this
  member, as a whole, so it takes as much memory again while it is written. It may be made while uploads go on.

  A restored store has a **new uuid**, because it may lack what was stored after the backup: then sidekicks that have
  uploaded to it since halt that sink and tell, instead of going on behind a hole. With `keep_uuid: true` it stays the same
  store for them: for a move where nothing was uploaded since.

  Errors name the file and what to do: `{:backup_file, %{file:, reason:, remedy:}}` where it cannot be read or written,
  `{:backup_damaged, %{file:, at_bytes:, reason:, remedy:}}`; of the folder `:not_empty`, `:data_dir`, `:data_dir_in_use`, `:running`.

  The whole file is verified before anything is written. A restore that was interrupted leaves a folder that is not
  served (`Sidekick.Store.Folder`). To restore a cluster restore one member, with `:members` of this node alone, and let the
  others join with empty folders.
  """

  alias Sidekick.{Options, Store, Telemetry}
  alias Sidekick.Store.Backup.File, as: BackupFile
  alias Sidekick.Store.{Cluster, Folder, Lifecycle, Lock, Paths}

  @everything [:sidekick, {:if_path_matches, :any, :undefined}]
  @part_bytes 1024 * 1024
  @part_nodes 1_000
  @timeout_ms 60_000

  @doc "Writes a backup; the file is complete and on disk once this answers."
  @spec backup(Path.t(), atom()) :: {:ok, %{nodes: non_neg_integer(), bytes: pos_integer()}} | {:error, term()}
  def backup(path, store \\ :sidekick_store) do
    began = System.monotonic_time()

    # The transaction is behind everything that was answered, and this member has applied it when it is answered here.
    with {:ok, _} <- Store.transaction(store, :watermark, {"sidekick", "backup"}, @timeout_ms),
         :ok <- :khepri.fence(store, @timeout_ms),
         {:ok, found} <- :khepri_adv.get_many(store, @everything, %{timeout: @timeout_ms}),
         {:ok, uuid} <- Store.uuid(store) do
      nodes = for {path, %{data: value}} <- found, not own?(path), do: {path, value}
      now_ms = System.os_time(:millisecond)
      header = %{uuid: uuid, at_ms: now_ms, node: node(), version: version()}

      with {:ok, bytes} <- BackupFile.write(path, header, parts(nodes)) do
        measured = %{duration: System.monotonic_time() - began, bytes: bytes, nodes: length(nodes)}
        Telemetry.execute([:sidekick, :store, :backup], measured, %{store: store, file: path})
        {:ok, %{nodes: length(nodes), bytes: bytes}}
      end
    end
  end

  @doc "Checks every byte of a backup; answers when and of which store it was made."
  @spec verify(Path.t()) :: {:ok, map()} | {:error, term()}
  def verify(path), do: BackupFile.verify(path)

  @doc """
  Makes a store of a backup. Takes the options of `Sidekick` that name the store (`:data_dir`, `:store`), and `:keep_uuid`.
  """
  @spec restore(Path.t(), keyword()) :: {:ok, %{uuid: String.t(), parent: String.t()}} | {:error, term()}
  def restore(path, opts) do
    {keep, opts} = Keyword.pop(opts, :keep_uuid, false)
    options = Options.new!(opts)

    with {:ok, %{uuid: parent} = header} <- verify(path),
         :ok <- empty(options),
         {:ok, lock} <- Lock.take(options) do
      uuid = if keep, do: parent, else: Lifecycle.uuid()

      try do
        restore(path, options, %{uuid: uuid, parent: parent, created_ms: header.at_ms})
      after
        Lifecycle.stop(options)
        Lock.release(lock)
      end
    end
  end

  defp restore(path, options, identity) do
    with :ok <- Lifecycle.open(options, %{standing: :restoring, uuid: nil}),
         :ok <- Lifecycle.install_procedures(options.store),
         {:ok, _header, :ok} <- BackupFile.fold(path, :ok, fn nodes, :ok -> put(nodes, options.store) end),
         :ok <- :khepri.put(options.store, Paths.store(), identity),
         :ok <- Folder.write(options, :member, identity.uuid),
         do: {:ok, Map.take(identity, [:uuid, :parent])}
  end

  defp put(nodes, store) do
    # As payload records, for a bare function would be taken for a stored procedure.
    nodes = for {path, value} <- nodes, do: {path, :khepri_payload.data(value)}
    with {:ok, _} <- Store.transaction(store, :restore, {nodes}, @timeout_ms), do: {:ok, :ok}
  end

  defp empty(%Options{data_dir: dir, store: store}) do
    case {Cluster.standing(store), File.ls(dir)} do
      {:absent, {:error, :enoent}} -> :ok
      {:absent, {:ok, []}} -> :ok
      {:absent, {:ok, _}} -> {:error, {:not_empty, %{data_dir: dir, remedy: "restore into an empty folder"}}}
      {:absent, {:error, reason}} -> {:error, {:data_dir, %{data_dir: dir, reason: reason}}}
      {_, _} -> {:error, {:running, %{store: store, remedy: "stop the instance first"}}}
    end
  end

  # The identity is the restored store's own, and procedures come with the code.
  defp own?([:sidekick, :store]), do: true
  defp own?([:sidekick, :procedures | _]), do: true
  defp own?(_path), do: false

  defp parts(nodes) do
    Stream.chunk_while(
      nodes,
      {[], 0},
      fn node, {part, bytes} ->
        bytes = bytes + :erlang.external_size(node)

        if bytes >= @part_bytes or length(part) + 1 >= @part_nodes,
          do: {:cont, Enum.reverse([node | part]), {[], 0}},
          else: {:cont, {[node | part], bytes}}
      end,
      fn
        {[], _} -> {:cont, {[], 0}}
        {part, _} -> {:cont, Enum.reverse(part), {[], 0}}
      end
    )
  end

  defp version, do: to_string(Application.spec(:sidekick, :vsn))
end
