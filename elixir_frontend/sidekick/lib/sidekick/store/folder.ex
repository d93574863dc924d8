defmodule Sidekick.Store.Folder do
  @moduledoc """
  The note in a store's folder: whose it is, which store it is a member of, and how far it has come.

      sidekick_store frontend@10.0.0.1
      uuid 0c7e1f0a-...
      standing member

  Ra's identity holds the node's name, and another name would silently start an empty store beside the old one. And whatever
  makes a member forget who it was (trap of `Sidekick.Store.Lifecycle`), a store with another uuid, or none, is not the one that
  the note names: then it is not served.

  | standing | meaning |
  |---|---|
  | `:new` | nothing has been served from here |
  | `:joining` | it was joining a cluster when it ended; it does that again |
  | `:restoring` | a backup was being restored; it is incomplete |
  | `:member` | it has served |
  | `:left` | it left its cluster, and will not serve again |
  """

  alias Sidekick.Options

  @note "sidekick-store"
  @standings %{
    "new" => :new,
    "joining" => :joining,
    "restoring" => :restoring,
    "member" => :member,
    "left" => :left
  }

  @type standing :: :new | :joining | :restoring | :member | :left
  @type note :: %{standing: standing(), uuid: String.t() | nil}

  @doc "The note of this node's own folder; a new one where there is none."
  @spec open(Options.t()) :: {:ok, note()} | {:error, term()}
  def open(%Options{data_dir: dir} = options) do
    case File.read(Path.join(dir, @note)) do
      {:ok, text} -> parse(text, options)
      {:error, :enoent} -> {:ok, %{standing: :new, uuid: nil}}
      {:error, reason} -> {:error, {:data_dir, %{data_dir: dir, reason: reason}}}
    end
  end

  @doc "Writes the note; on disk when it returns."
  @spec write(Options.t(), standing(), String.t() | nil) :: :ok | {:error, term()}
  def write(%Options{data_dir: dir} = options, standing, uuid) do
    note = Path.join(dir, @note)
    text = "#{owner(options)}\n#{if uuid, do: "uuid #{uuid}\n"}standing #{standing}\n"

    with :ok <- File.mkdir_p(dir),
         :ok <- File.write(note <> ".new", text, [:sync]),
         :ok <- File.rename(note <> ".new", note),
         :ok <- sync_directory(dir) do
      :ok
    else
      {:error, reason} -> {:error, {:data_dir, %{data_dir: dir, reason: reason}}}
    end
  end

  @doc """
  Takes away what a start that never came to serve left of Raft: a kill may have left it half made. Only from a folder whose
  note says so, and only files of Ra's names.
  """
  @spec clear(Options.t(), note()) :: :ok | {:error, term()}
  def clear(%Options{data_dir: dir}, %{standing: standing}) when standing in [:new, :joining] do
    if File.exists?(Path.join(dir, @note)) do
      for name <- File.ls!(dir),
          name =~ ~r/\A(meta\.dets|names\.dets|\d+\.wal|[A-Z0-9_]{2,18}[A-Z0-9]{12})\z/,
          do: File.rm_rf!(Path.join(dir, name))
    end

    :ok
  end

  def clear(_options, _note), do: :ok

  @doc "Makes names in a folder durable, where the system can."
  @spec sync_directory(Path.t()) :: :ok | {:error, term()}
  def sync_directory(dir) do
    with {:ok, file} <- :file.open(dir, [:read, :raw, :directory]) do
      synced = :file.sync(file)
      _ = :file.close(file)
      # Some file systems cannot, and then there is nothing to be done about it.
      if synced == {:error, :einval}, do: :ok, else: synced
    end
  end

  defp parse(text, options) do
    lines = String.split(text, "\n", trim: true)

    fields =
      for line <- Enum.drop(lines, 1), [key, value] <- [String.split(line, " ", parts: 2)], into: %{}, do: {key, value}

    case {String.printable?(text) && lines, Map.fetch(@standings, fields["standing"])} do
      # A note of before there were standings.
      {[owner], :error} -> owned(owner, %{standing: :member, uuid: nil}, options)
      {[owner | _], {:ok, standing}} -> owned(owner, %{standing: standing, uuid: fields["uuid"]}, options)
      _ -> damaged(options)
    end
  end

  defp owned(owner, note, options) do
    remedy = "start it as that node with that :store, or choose another :data_dir"
    told = %{data_dir: options.data_dir, owner: owner, node: node(), store: options.store, remedy: remedy}
    if owner == owner(options), do: {:ok, note}, else: {:error, {:data_dir_of_another_node, told}}
  end

  defp damaged(%Options{data_dir: dir}) do
    remedy = "move the folder away, then restore a backup or let the member join again"
    {:error, {:note_damaged, %{file: Path.join(dir, @note), remedy: remedy}}}
  end

  defp owner(%Options{store: store}), do: "#{store} #{node()}"
end
