defmodule Sidekick.Store.Cluster do
  @moduledoc """
  A store on several nodes: how it forms, and how members come and go.

  Every node is configured with the same `:members`. A node whose folder is empty

    1. joins a member that serves, where one does; if the cluster still lists it (its disk was lost) that entry is removed first;
    2. else, if it is the first of `:members` in the order of names and *all* others are there with empty folders too, it begins
       the cluster, and they join it;
    3. else waits, for `:start_timeout_ms` at most.

  So a cluster begins once, with all of its members up; a node that lost its disk never begins a second one.

  | to | do |
  |---|---|
  | grow | start the new node with the longer `:members`; give it to the others at their next restart |
  | leave | `leave/1` on the node, then shorten `:members` of the others |
  | replace | `remove/2` the dead node from a live one; start the new one with its name in `:members` |
  | replace under the same name | start it on an empty folder |
  | go on where the other of two is lost for good | `go_on_alone/1` |

  Three members survive the loss of one, five of two. Two survive none: if one loses its disk, the other has no majority until
  an operator has it go on alone. One that is killed while it joins a store of one is let go by itself when it comes back.
  """

  alias Sidekick.{Options, Store}
  alias Sidekick.Store.{Folder, Lifecycle}

  require Logger

  @poll_ms 200
  @call_ms 5_000

  @doc "The nodes of the cluster, as its leader has them."
  @spec members(atom()) :: {:ok, [node()]} | {:error, term()}
  def members(store \\ :sidekick_store), do: members_by({store, node()}, @call_ms)

  @doc "The nodes of the cluster as this member knows them, which may be out of date; it needs no leader for that."
  @spec known_members(atom()) :: {:ok, [node()]} | {:error, term()}
  def known_members(store \\ :sidekick_store), do: members_by({:local, {store, node()}}, @call_ms)

  # Of Ra, for Khepri's own function takes a timeout in 0.16 and options later.
  defp members_by(whom, timeout_ms) do
    case :ra.members(whom, timeout_ms) do
      {:ok, members, _leader} -> {:ok, members |> Enum.map(&elem(&1, 1)) |> Enum.sort()}
      {:timeout, _} -> {:error, :timeout}
      {:error, _} = error -> error
    end
  end

  @doc """
  This member: its role in Raft, how far its log is applied, and the last snapshot that Khepri took of itself (it does so
  every few thousand changes, and cuts its log there).
  """
  @spec status(atom()) :: {:ok, map()} | {:error, term()}
  def status(store \\ :sidekick_store) do
    with {:ok, uuid} <- Store.uuid(store), {:ok, members} <- members(store) do
      raft = :ra.key_metrics({store, node()})
      applied = Map.take(raft, [:state, :last_applied, :commit_index, :snapshot_index])
      {:ok, Map.merge(applied, %{uuid: uuid, members: members, connected: connected(members)})}
    end
  end

  @doc """
  Takes a node out of the cluster, one that is dead or one that lives; it will not serve from its folder again. Needs a majority of
  the members as they are now.
  """
  @spec remove(node(), atom()) :: :ok | {:error, term()}
  def remove(gone, store \\ :sidekick_store)
  def remove(gone, _store) when gone == node(), do: {:error, {:is_this_node, %{remedy: "use leave/1"}}}

  def remove(gone, store) do
    with {:ok, members} <- members(store),
         :ok <- if(gone in members, do: :ok, else: {:error, {:not_a_member, %{node: gone, members: members}}}),
         :ok <- raft_remove(store, node(), gone) do
      # Where it lives it must not go on as if it were a member.
      _ = ask(gone, :removed, [store])
      :ok
    end
  end

  @doc """
  Makes this node the only member of its store, where all others are lost for good: of two members the one that is left holds
  everything that was ever acknowledged, for that takes both. Refused where the cluster has more than two members (a majority
  of them may know more than this one does) or while the other is connected.

  The folder of the other must never be served again: remove it, then the node may join anew.
  """
  @spec go_on_alone(atom()) :: :ok | {:error, term()}
  def go_on_alone(store \\ :sidekick_store) do
    with {:ok, members} <- known_members(store) do
      case {members -- [node()], connected(members) -- [node()]} do
        {[], _} ->
          :ok

        {[other], []} ->
          shrink(store, other)

        {[_], [other]} ->
          {:error, {:connected, %{node: other, remedy: "stop it, or use remove/2"}}}

        {_, _} ->
          {:error, {:too_many_members, %{members: members, remedy: "start a majority of them, or restore a backup"}}}
      end
    end
  end

  @doc false
  # Asked by a node that was killed while it joined this store of one and holds nothing. It was never served from, so that no
  # third member can have come through it alone: this one knows all members there are.
  @spec let_go(node(), atom()) :: :ok | {:error, term()}
  def let_go(gone, store) do
    with {:ok, members} <- known_members(store) do
      case members -- [node()] do
        [^gone] -> shrink(store, gone)
        others -> if gone in others, do: {:error, {:too_many_members, %{members: members}}}, else: :ok
      end
    end
  end

  defp shrink(store, gone) do
    Logger.warning("#{gone} is no member of #{store} any more; this node goes on alone")

    case :ra_server_proc.force_shrink_members_to_current_member({store, node()}) do
      :ok -> :ok
      failed -> {:error, {:shrink, %{reason: failed}}}
    end
  end

  @doc "Takes this node out of the cluster, and stops the instance; its folder will not be served again."
  @spec leave(atom()) :: :ok | {:error, term()}
  def leave(store \\ :sidekick_store) do
    with {:ok, members} <- members(store) do
      case connected(members) -- [node()] do
        [] -> {:error, {:no_other_member, %{members: members, remedy: alone(members)}}}
        [other | _] -> with :ok <- raft_remove(store, other, node()), do: removed(store)
      end
    end
  end

  defp alone([_]),
    do: "it is the last member and holds all that is stored; to give that up stop it and remove its folder"

  defp alone(_members), do: "connect another member first"

  @doc false
  # Asked by other members.
  @spec removed(atom()) :: :ok | {:error, term()}
  def removed(store) do
    with {_standing, options} <- :persistent_term.get({__MODULE__, store}, :absent),
         {:ok, note} <- Folder.open(options),
         :ok <- Folder.write(options, :left, note.uuid) do
      Logger.warning("this node has left the cluster of #{store}; #{options.data_dir} will not be served again")
      # The caller may be a process of the instance, or of a node that only asks.
      spawn(fn -> stop_instance(options.name) end)
      :ok
    else
      :absent -> {:error, {:not_started, %{store: store}}}
      error -> error
    end
  end

  @doc false
  @spec standing(atom()) :: :absent | :new | :member | :serving
  def standing(store) do
    case :persistent_term.get({__MODULE__, store}, :absent) do
      {standing, _options} -> standing
      :absent -> :absent
    end
  end

  @doc false
  @spec stand(Options.t(), :absent | :new | :member | :serving) :: :ok
  def stand(%Options{store: store}, :absent) do
    :persistent_term.erase({__MODULE__, store})
    :ok
  end

  def stand(%Options{store: store} = options, standing),
    do: :persistent_term.put({__MODULE__, store}, {standing, options})

  @doc """
  Finds out how this node comes into its cluster, before its own Raft member exists: one that the cluster still lists must not
  be there, for its leader would talk to it as to the former one, which ends a fresh member.
  """
  @spec prepare(Options.t(), Folder.note()) :: {:ok, :begin | {:join, node(), integer()}} | {:error, term()}
  def prepare(_options, %{standing: :member}), do: {:ok, :begin}

  def prepare(%Options{store: store, start_timeout_ms: timeout} = options, note) do
    deadline = System.monotonic_time(:millisecond) + timeout

    case find(options, deadline) do
      {:join, member} ->
        with :ok <- until(deadline, fn -> forget_former(store, member, note) end), do: {:ok, {:join, member, deadline}}

      :begin ->
        {:ok, :begin}

      {:error, _} = error ->
        error
    end
  end

  @doc "Brings a member that has just started into its cluster; nothing to do for one that was there before."
  @spec settle(Options.t(), :begin | {:join, node(), integer()}) :: :ok | {:error, term()}
  def settle(_options, :begin), do: :ok
  def settle(options, {:join, member, deadline}), do: join(options, member, deadline)

  defp find(%Options{members: members} = options, deadline) do
    others = members -- [node()]
    standings = Map.new(others, &{&1, ask(&1, :standing, [options.store])})
    serving = for {member, :serving} <- standings, do: member

    cond do
      serving != [] ->
        {:join, hd(serving)}

      node() == Enum.min(members) and Enum.all?(others, &(standings[&1] == :new)) ->
        :begin

      System.monotonic_time(:millisecond) > deadline ->
        {:error, {:no_cluster, %{members: standings, remedy: "start all members, or correct :members"}}}

      true ->
        # Other machines start when they do, and nothing tells.
        receive do
        after
          @poll_ms -> find(options, deadline)
        end
    end
  end

  # A cluster allows one change of its members at a time, and none before its leader is settled; others may be joining too.
  defp join(%Options{store: store, start_timeout_ms: timeout} = options, member, deadline) do
    with :ok <- Folder.write(options, :joining, nil),
         :ok <- until(deadline, fn -> :khepri_cluster.join({store, member}, timeout) end),
         :ok <- Lifecycle.sync_identity(),
         do: until(deadline, fn -> sync_others(store, member) end)
  end

  # Of two members the other cannot agree to a removal alone.
  defp forget_former(store, member, note) do
    case {ask(member, :known_members, [store]), note.standing} do
      {{:ok, [_, _] = members}, :joining} ->
        if node() in members, do: known(ask(member, :let_go, [node(), store]), member), else: :ok

      {{:ok, _}, _} ->
        with {:ok, members} <- remote_members(store, member),
             do: if(node() in members and length(members) > 2, do: raft_remove(store, member, node()), else: :ok)

      {failed, _} ->
        known(failed, member)
    end
  end

  defp known(failed, member) when failed == :unreachable, do: {:error, {failed, %{member: member}}}
  defp known(answer, _member), do: answer

  defp sync_others(store, member) do
    with {:ok, members} <- remote_members(store, member), do: sync_all(members -- [node()])
  end

  defp remote_members(store, member) do
    known(ask(member, :members, [store]), member)
  end

  defp until(deadline, fun) do
    case fun.() do
      :ok ->
        :ok

      {:error, reason} ->
        if System.monotonic_time(:millisecond) > deadline do
          {:error, {:join, reason}}
        else
          Logger.info("joining is not possible yet: #{inspect(reason)}")

          # Nothing tells when it is.
          receive do
          after
            @poll_ms -> until(deadline, fun)
          end
        end
    end
  end

  # The member's entry in the logs of the others, and theirs in its own, must outlive a kill too.
  defp sync_all(members) do
    Enum.find_value(members, :ok, fn member ->
      case {ask(member, :sync_identity, [], Lifecycle), member in Node.list(:connected)} do
        {:ok, _} -> nil
        # One that is away does not hold up the others; it syncs when it starts.
        {_failed, false} -> nil
        {failed, true} -> {:error, {:identity_not_synced, %{member: member, reason: failed}}}
      end
    end)
  end

  defp raft_remove(store, through, gone) do
    case :ra.remove_member({store, through}, {store, gone}, @call_ms) do
      {:ok, _, _} -> :ok
      {:error, :not_member} -> :ok
      {:timeout, _} -> {:error, {:timeout, %{remedy: "ask members/1 what became of it"}}}
      {:error, _} = error -> error
    end
  end

  defp ask(member, function, arguments, module \\ __MODULE__) do
    :erpc.call(member, module, function, arguments, @call_ms)
  catch
    :error, {:erpc, _reason} -> :unreachable
    :error, {:exception, _, _} -> :unreachable
    :exit, _ -> :unreachable
  end

  defp connected(members), do: Enum.filter(members, &(&1 == node() or &1 in Node.list(:connected)))

  defp stop_instance(name) do
    Supervisor.stop(name, :shutdown)
  catch
    :exit, _ -> :ok
  end
end
