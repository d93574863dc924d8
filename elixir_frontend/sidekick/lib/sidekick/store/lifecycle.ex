defmodule Sidekick.Store.Lifecycle do
  @moduledoc """
  Starts and stops Khepri so that a member keeps its identity.

  `kill -9` shortly after the very first start loses what Ra wrote of the member's identity, for it stands in dets tables that
  are synced lazily; the member would come back as a fresh, empty cluster. So all dets tables are synced, and the members
  checked, before anything is served. A note in the folder says whose it is: Ra's identity holds the node's name, and
  another name would silently start an empty store beside the old one.
  """

  alias Sidekick.{Options, Store}
  alias Sidekick.Store.{Paths, Procedures}

  @note "sidekick-store"
  @start_timeout_ms 30_000

  @doc "Starts the store; answers its uuid once it may be served."
  @spec start(Options.t()) :: {:ok, String.t()} | {:error, term()}
  def start(%Options{} = options) do
    quiet()

    with :ok <- own_folder(options),
         {:ok, _} <- Application.ensure_all_started(:khepri),
         :ok <- start_system(options),
         {:ok, _} <- :khepri.start(options.store, options.store, @start_timeout_ms),
         :ok <- :khepri_cluster.wait_for_leader(options.store, @start_timeout_ms),
         :ok <- sync_identity(),
         :ok <- expect_members(options),
         :ok <- install_procedures(options.store),
         do: identity(options.store)
  end

  @doc "Stops the store and its Raft system; the folder keeps everything."
  @spec stop(Options.t()) :: :ok
  def stop(%Options{store: store}) do
    _ = :khepri.stop(store)
    _ = :ra_system.stop(store)
    :ok
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

  def drop_replayed(_event, _), do: :ignore

  defp own_folder(%Options{data_dir: dir, store: store}) do
    note = Path.join(dir, @note)
    owner = "#{store} #{node()}\n"

    case File.read(note) do
      {:ok, ^owner} -> :ok
      {:ok, other} -> {:error, {:data_dir_of_another_node, %{data_dir: dir, owner: String.trim(other), node: node()}}}
      {:error, :enoent} -> write_note(dir, note, owner)
      {:error, reason} -> {:error, {:data_dir, %{data_dir: dir, reason: reason}}}
    end
  end

  defp write_note(dir, note, owner) do
    with :ok <- File.mkdir_p(dir),
         :ok <- File.write(note <> ".new", owner, [:sync]),
         :ok <- File.rename(note <> ".new", note) do
      :ok
    else
      {:error, reason} -> {:error, {:data_dir, %{data_dir: dir, reason: reason}}}
    end
  end

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

  defp sync_identity do
    Enum.find_value(:dets.all(), :ok, fn table ->
      case sync(table) do
        :ok -> nil
        {:error, reason} -> {:error, {:identity_not_synced, %{table: table, reason: reason}}}
      end
    end)
  end

  # Tables of others may close meanwhile; that syncs them.
  defp sync(table) do
    :dets.sync(table)
  rescue
    ArgumentError -> if table in :dets.all(), do: {:error, :badarg}, else: :ok
  end

  defp expect_members(%Options{store: store, members: expected}) do
    with {:ok, members} <- :khepri_cluster.members(store) do
      found = members |> Enum.map(&elem(&1, 1)) |> Enum.sort()

      if found == Enum.sort(expected),
        do: :ok,
        else: {:error, {:unexpected_members, %{found: found, expected: Enum.sort(expected)}}}
    end
  end

  # The name holds the code's checksum: nodes of different versions may share a store.
  defp install_procedures(store) do
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

  defp identity(store) do
    fresh = %{uuid: uuid(), created_ms: System.os_time(:millisecond)}

    case :khepri.create(store, Paths.store(), fresh) do
      :ok -> {:ok, fresh.uuid}
      {:error, {:khepri, :mismatching_node, _}} -> Store.uuid(store)
      {:error, _} = error -> error
    end
  end

  defp uuid do
    <<a::48, _::4, b::12, _::2, c::62>> = :crypto.strong_rand_bytes(16)
    <<d::32, e::16, f::16, g::16, h::48>> = <<a::48, 4::4, b::12, 2::2, c::62>>
    Enum.map_join([{d, 8}, {e, 4}, {f, 4}, {g, 4}, {h, 12}], "-", fn {n, width} -> hex(n, width) end)
  end

  defp hex(number, width), do: number |> Integer.to_string(16) |> String.downcase() |> String.pad_leading(width, "0")
end
