defmodule Sidekick.Store.Backup.File do
  @moduledoc """
  The file of a backup: a line that says what it is, then frames `<<size::32, crc::32, bytes>>` of external terms.

  The first frame is `{:header, map}`, the next are `{:nodes, [{path, value}]}`, the last is
  `{:end, %{nodes: count, sha256: hash}}`, with the hash of all that stands before it; nothing follows. A file that was cut,
  or of which one bit is another, is damaged; it says where.

  It is written under another name of its own, synced and then given its name: a file of that name is complete, even where two are
  written to it at once.
  """

  alias Sidekick.Store.Folder

  @magic "sidekick backup 1\n"
  @frame_max 256 * 1024 * 1024

  # What an operator can do about it, where the reason alone does not say.
  @remedies %{
    enoent: "the folder or the file is not there",
    eacces: "this user may not read or write there",
    enospc: "the device is full",
    eisdir: "this is a folder; name a file in it"
  }

  @type damage ::
          {:error,
           {:backup_damaged, %{file: Path.t(), at_bytes: non_neg_integer(), reason: atom(), remedy: String.t()}}}

  @doc "Writes a file of these frames; answers its size."
  @spec write(Path.t(), map(), Enumerable.t([{list(), term()}])) :: {:ok, non_neg_integer()} | {:error, term()}
  def write(path, header, parts) do
    temporary = "#{path}.#{System.pid()}-#{System.unique_integer([:positive])}.new"

    with {:ok, file} <- opened(temporary, path, [:write, :raw, :binary, :delayed_write, :exclusive]) do
      written =
        try do
          :ok = :file.write(file, @magic)
          start = {:crypto.hash_update(:crypto.hash_init(:sha256), @magic), byte_size(@magic)}
          written = put(file, {:header, header}, start)

          {{hash, _} = written, count} =
            Enum.reduce(parts, {written, 0}, fn nodes, {written, count} ->
              {put(file, {:nodes, nodes}, written), count + length(nodes)}
            end)

          {_, size} = put(file, {:end, %{nodes: count, sha256: :crypto.hash_final(hash)}}, written)
          :ok = :file.sync(file)
          {:ok, size}
        rescue
          error in MatchError -> error.term
        after
          :file.close(file)
        end

      with {:error, reason} <- finish(written, temporary, path) do
        _ = :file.delete(temporary)
        failed(path, reason)
      end
    end
  end

  @doc "The header of a file, once every byte of it has been checked."
  @spec verify(Path.t()) :: {:ok, map()} | damage() | {:error, term()}
  def verify(path), do: fold(path, nil, fn _nodes, acc -> {:ok, acc} end) |> header()

  @doc """
  Goes through the nodes of a file, part by part. Damage behind the parts that were given is found only at the end: verify
  first.
  """
  @spec fold(Path.t(), acc, ([{list(), term()}], acc -> {:ok, acc} | {:error, term()})) ::
          {:ok, map(), acc} | damage() | {:error, term()}
        when acc: term()
  def fold(path, acc, fun) do
    with {:ok, file} <- opened(path, path, [:read, :raw, :binary, :read_ahead]) do
      try do
        with {:ok, hash, at} <- magic(file, path),
             {:ok, {:header, %{} = header}, hash, at} <- frame(file, path, hash, at),
             {:ok, acc} <- nodes(file, path, hash, at, 0, acc, fun) do
          {:ok, header, acc}
        else
          {:ok, _other, _hash, at} -> damaged(path, at, :no_header)
          error -> error
        end
      after
        :file.close(file)
      end
    end
  end

  defp finish({:ok, size}, temporary, path) do
    with :ok <- :file.rename(temporary, path),
         :ok <- Folder.sync_directory(Path.dirname(path)),
         do: {:ok, size}
  end

  defp finish({:error, _} = error, _temporary, _path), do: error

  defp opened(file, path, modes) do
    with {:error, reason} <- :file.open(file, modes), do: failed(path, reason)
  end

  defp failed(path, reason) do
    remedy = Map.get(@remedies, reason, to_string(:file.format_error(reason)))
    {:error, {:backup_file, %{file: path, reason: reason, remedy: remedy}}}
  end

  defp put(file, term, {hash, size}) do
    bytes = :erlang.term_to_binary(term, minor_version: 2)
    frame = [<<byte_size(bytes)::32, :erlang.crc32(bytes)::32>>, bytes]
    :ok = :file.write(file, frame)
    {:crypto.hash_update(hash, frame), size + 8 + byte_size(bytes)}
  end

  defp header({:ok, header, _acc}), do: {:ok, header}
  defp header(error), do: error

  defp magic(file, path) do
    case :file.read(file, byte_size(@magic)) do
      {:ok, @magic} -> {:ok, :crypto.hash_update(:crypto.hash_init(:sha256), @magic), byte_size(@magic)}
      {:ok, _} -> damaged(path, 0, :not_a_backup)
      :eof -> damaged(path, 0, :not_a_backup)
      {:error, reason} -> failed(path, reason)
    end
  end

  defp nodes(file, path, hash, at, count, acc, fun) do
    case frame(file, path, hash, at) do
      {:ok, {:nodes, nodes}, hash, next} ->
        with {:ok, acc} <- fun.(nodes, acc), do: nodes(file, path, hash, next, count + length(nodes), acc, fun)

      {:ok, {:end, %{nodes: ^count, sha256: sha256}}, _hash, next} ->
        cond do
          :crypto.hash_final(hash) != sha256 -> damaged(path, at, :checksum)
          :file.read(file, 1) != :eof -> damaged(path, next, :trailing_bytes)
          true -> {:ok, acc}
        end

      {:ok, _other, _hash, _next} ->
        damaged(path, at, :unexpected_frame)

      error ->
        error
    end
  end

  defp frame(file, path, hash, at) do
    with {:ok, <<size::32, crc::32>> = head} <- exactly(file, path, at, 8),
         {:size, true} <- {:size, size <= @frame_max},
         {:ok, bytes} <- exactly(file, path, at, size),
         {:crc, ^crc} <- {:crc, :erlang.crc32(bytes)} do
      {:ok, :erlang.binary_to_term(bytes), :crypto.hash_update(hash, [head, bytes]), at + 8 + size}
    else
      {:error, _} = error -> error
      _ -> damaged(path, at, :checksum)
    end
  end

  # A frame that ends early was cut.
  defp exactly(file, path, at, size) do
    case :file.read(file, size) do
      {:ok, bytes} when byte_size(bytes) == size -> {:ok, bytes}
      {:error, reason} -> failed(path, reason)
      _ -> damaged(path, at, :cut)
    end
  end

  defp damaged(path, at, reason) do
    remedy = if reason == :not_a_backup, do: "name a file that backup/2 wrote", else: "use another backup"
    {:error, {:backup_damaged, %{file: path, at_bytes: at, reason: reason, remedy: remedy}}}
  end
end
