defmodule Sidekick.Store.Lock do
  @moduledoc """
  Holds a store's folder for one process of one VM: two that write the same log lose what both have acknowledged.

  That the folder's note names its node does not keep out a second VM of the same name, or of none, or in another container on the
  same volume. The lock is a Unix socket in the folder that somebody listens on: it goes with its owner however that ends, and a socket
  that does not answer is one that was left over. Where the file system cannot hold sockets the folder is not locked, and that is told.

  Between machines (a folder on a network file system) it does not hold.
  """

  alias Sidekick.Options

  require Logger

  @prefix "sidekick-lock-"
  # The address of a Unix socket has 108 bytes, on some systems 104.
  @dir_max 70
  @unsupported [:eopnotsupp, :enotsup, :eperm, :einval, :eafnosupport, :eprotonosupport]

  @opaque t :: {:gen_tcp.socket(), Path.t()} | :none

  @doc "Takes the folder, or says that it is in use; it is free again when the calling process ends."
  @spec take(Options.t()) :: {:ok, t()} | {:error, term()}
  def take(%Options{data_dir: dir}) do
    with :ok <- File.mkdir_p(dir), {:ok, {socket, name}} <- named(dir, &take_at/1) do
      {:ok, {socket, Path.join(dir, name)}}
    else
      {:error, :in_use} ->
        {:error, {:data_dir_in_use, %{data_dir: dir, remedy: "stop the other BEAM that has this store open"}}}

      {:error, reason} when reason in @unsupported ->
        Logger.warning("#{dir} cannot be locked (#{reason}): see to it that no other BEAM opens the same store")
        {:ok, :none}

      {:error, reason} ->
        {:error, {:data_dir, %{data_dir: dir, reason: reason}}}
    end
  end

  @doc "Gives it back."
  @spec release(t()) :: :ok
  def release(:none), do: :ok

  def release({socket, path}) do
    _ = File.rm(path)
    :gen_tcp.close(socket)
  end

  # It listens before it has the name under which others look for it, so that each that is found either answers or is dead; and only
  # who finds no other after its own is there has the folder. Of two at the same moment neither may have it, but never both.
  defp take_at(dir) do
    own = @prefix <> Base.encode32(:crypto.strong_rand_bytes(5))
    path = Path.join(dir, own)

    with :ok <- alone(dir, own),
         {:ok, socket} <- :gen_tcp.listen(0, [:local, {:ifaddr, {:local, path <> ".new"}}, {:active, false}]) do
      with :ok <- File.rename(path <> ".new", path), :ok <- alone(dir, own) do
        {:ok, {socket, own}}
      else
        error ->
          _ = File.rm(path)
          :gen_tcp.close(socket)
          error
      end
    end
  end

  defp alone(dir, own) do
    others = for name <- File.ls!(dir), name != own, name =~ ~r/\A#{@prefix}[A-Z2-7]{8}\z/, do: Path.join(dir, name)
    dead = Enum.reject(others, &answers?/1)
    Enum.each(dead, &File.rm/1)
    if dead == others, do: :ok, else: {:error, :in_use}
  end

  # A full queue, of a process that is stopped, is an answer too.
  defp answers?(path) do
    case :gen_tcp.connect({:local, path}, 0, [:local, {:active, false}], 1_000) do
      {:ok, socket} ->
        :gen_tcp.close(socket)
        true

      {:error, reason} ->
        reason not in [:econnrefused, :enoent]
    end
  end

  # A long path is taken through a short name for its folder.
  defp named(dir, fun) when byte_size(dir) <= @dir_max, do: fun.(dir)

  defp named(dir, fun) do
    short = Path.join(System.tmp_dir!(), "sidekick-#{Base.encode32(:crypto.strong_rand_bytes(5))}")

    with :ok <- File.ln_s(dir, short) do
      try do
        fun.(short)
      after
        File.rm(short)
      end
    end
  end
end
