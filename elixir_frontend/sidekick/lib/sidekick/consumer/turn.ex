defmodule Sidekick.Consumer.Turn do
  @moduledoc false
  # Whose turn it is. The same release runs on every node of a cluster, and with it a consumer of the same name on each: one handles
  # records, the others wait for its end. Who has the turn stands in the store (and not in `:global`, which gives each side of a
  # partition its own, and every node one with `-connect_all false`):
  #
  #     [:sidekick, :consumers, name]    %{holder: {pid, vm}}
  #
  # The holder is a process of no other use, so that its end tells those who wait, also where the consumer only gives its turn up. It
  # is taken over where it cannot be reached; one that was only cut off sees that before its next batch.

  alias Sidekick.Store

  require Logger

  @timeout_ms 8_000
  @answer_ms 1_000

  @typep holder :: {pid(), String.t()}
  @type t :: nil | {:mine, pid()} | {:theirs, reference(), holder()}

  @doc "Whether it is the caller's, as far as it knows."
  @spec mine?(t()) :: boolean()
  def mine?(turn), do: match?({:mine, _}, turn)

  @doc "Whether it still is, as this member of the store has it."
  @spec held?(t(), atom(), binary()) :: boolean()
  def held?({:mine, token}, store, name), do: match?({:ok, %{holder: {^token, _}}}, Store.read(store, path(name)))
  def held?(_turn, _store, _name), do: false

  @doc "Takes the turn where nobody has it."
  @spec take(t(), atom(), binary()) :: t()
  def take(nil, store, name), do: claim(store, name, :none)
  def take(turn, _store, _name), do: turn

  @doc "Takes it from a holder that has ended or cannot be reached."
  @spec succeed({:theirs, reference(), holder()}, atom(), binary()) :: t()
  def succeed({:theirs, _ref, gone}, store, name), do: claim(store, name, gone)

  @doc "Gives it up, for another to take."
  @spec leave(t()) :: nil
  def leave({:mine, token}) do
    Process.unlink(token)
    Process.exit(token, :kill)
    nil
  end

  def leave({:theirs, ref, _holder}) do
    Process.demonitor(ref, [:flush])
    nil
  end

  def leave(nil), do: nil

  defp claim(store, name, known) do
    consumer = self()
    token = spawn_link(fn -> token(Process.monitor(consumer)) end)

    case Store.transaction(store, :claim, {name, known, {token, vm()}}, @timeout_ms) do
      {:ok, {^token, _}} ->
        {:mine, token}

      {:ok, holder} ->
        leave({:mine, token})
        wait(holder, store, name)

      # Without an answer it may have it all the same, and with the token's end it is free again.
      {:error, _} ->
        leave({:mine, token})
    end
  end

  # It ends with the consumer, also where that ends normally, and answers so that who comes just then need not wait to be told.
  defp token(consumer) do
    receive do
      {:DOWN, ^consumer, _, _, _} ->
        :ok

      {:there?, ref, asking} ->
        send(asking, ref)
        token(consumer)
    end
  end

  # A node without a name gives the pids of its former life again.
  defp wait({pid, vm} = holder, store, name) do
    if node(pid) == node() and vm != vm(), do: claim(store, name, holder), else: ask(holder, store, name)
  end

  defp ask({pid, _vm} = holder, store, name) do
    ref = Process.monitor(pid)
    send(pid, {:there?, ref, self()})

    receive do
      {:DOWN, ^ref, _, _, _} -> claim(store, name, holder)
      ^ref -> theirs(ref, holder, name)
    after
      # On a node that hangs; its end is told later.
      @answer_ms -> theirs(ref, holder, name)
    end
  end

  defp theirs(ref, {pid, _vm} = holder, name) do
    Logger.info("consumer #{name} waits, for one of that name runs on #{node(pid)}")
    {:theirs, ref, holder}
  end

  defp vm, do: "#{System.pid()} #{:erlang.system_info(:start_time)}"
  defp path(name), do: [:sidekick, :consumers, name]
end
