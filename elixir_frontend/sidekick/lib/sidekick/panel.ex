defmodule Sidekick.Panel do
  @moduledoc """
  The model of an operator's panel: everything but how it looks. `sidekick_web` renders it and passes events on; `mix sidekick.report`
  makes a page of it; another panel may be built on it as well.

      children = [{Sidekick, data_dir: "var/store", nodes: [...]}, Sidekick.Panel]

      {:ok, ref} = Sidekick.Panel.subscribe()
      receive do
        {:sidekick_panel, ^ref, %{changes: _}} -> :ok
      end

      query = Sidekick.Panel.Query.from_params(%{"troubled" => "1", "sort" => "memory"})
      %{rows: rows, total: total} = Sidekick.Panel.servers(query)
      Sidekick.Panel.ready(ref)                     # taken in; the next change may come

  | module | what it is |
  |---|---|
  | `Sidekick.Panel.Hub` | the one process that knows the fleet; pages read its table and keep only their query |
  | `Sidekick.Panel.Model` | the pure reducer: what sidekicks tell and answer → view models |
  | `Sidekick.Panel.Server`, `Sidekick.Panel.Host` | a server, a sidekick, as seen |
  | `Sidekick.Panel.Attention` | what needs an operator first, why, and what to do |
  | `Sidekick.Panel.Query` | search, sort, filter, page; to and from a URL |
  | `Sidekick.Panel.Access`, `Sidekick.Panel.Action`, `Sidekick.Panel.Audit` | who may what; the one way to do it; who did what |
  | `Sidekick.Panel.Memory` | what the store remembers of sidekicks that are away |
  | `Sidekick.Panel.Notice` | what to say where there is nothing to show |
  | `Sidekick.Panel.Crash`, `Sidekick.Panel.LogTail`, `Sidekick.Panel.Browser` | a crash bundle, a log's end, state: readable and bounded |
  | `Sidekick.Panel.Format`, `Sidekick.Panel.Chart`, `Sidekick.Panel.Ring` | numbers for people, lines as data, samples |
  | `Sidekick.Panel.Report` | all of it as one page of HTML |

  ## Options

    * `:name` - of the process and its table, default `Sidekick.Panel.Hub`
    * `:connector`, `:store` - default those of `Sidekick.Options`
    * `:sample_ms` - how often figures are sampled, default 2000; what happens is told by events, whatever this is
    * `:flush_ms` - pages are told of changes at most this often, default 250
    * `:remember_ms` - how often the store is given what to remember, default 60000
    * `:limits` - of `Sidekick.Panel.Attention`, such as `[lag_records: 50_000]`

  Each function takes the hub's name as its last argument. Where the hub does not run, lists are nil: show `Notice.of(:not_running)`.
  """

  alias Sidekick.Panel.{Action, Attention, Hub, Query, Totals}
  alias Sidekick.Panel.Hub.Tables

  @type listed :: %{optional(atom()) => term(), rows: [{struct(), struct(), [Attention.reason()]}]}

  @doc false
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(opts), do: %{id: Keyword.get(opts, :name, Hub), start: {Hub, :start_link, [opts]}}

  @doc "Tells a process of changes; see `Sidekick.Panel.Hub.subscribe/2`."
  @spec subscribe(pid(), atom()) :: {:ok, reference()}
  defdelegate subscribe(pid \\ self(), hub \\ Hub), to: Hub

  @doc "The last change was taken in."
  @spec ready(reference(), atom()) :: :ok
  defdelegate ready(ref, hub \\ Hub), to: Hub

  @doc "A page of servers: what `Sidekick.Panel.Query.run/2` gives, each row as `{row, server, reasons}`."
  @spec servers(Query.t(), atom()) :: listed() | nil
  def servers(query \\ %Query{}, hub \\ Hub), do: Tables.list(hub, :server, query)

  @doc "A page of sidekicks, each as `{row, host, reasons}`."
  @spec sidekicks(Query.t(), atom()) :: listed() | nil
  def sidekicks(query \\ %Query{}, hub \\ Hub), do: Tables.list(hub, :host, query)

  @doc "One server as `{row, server, reasons}`; nil where it is not known."
  @spec server(node(), binary(), atom()) :: {struct(), struct(), [Attention.reason()]} | nil
  def server(node, id, hub \\ Hub), do: Tables.one(hub, {:server, {node, id}})

  @doc "One sidekick as `{row, host, reasons}`; nil where it is not known."
  @spec sidekick(node(), atom()) :: {struct(), struct(), [Attention.reason()]} | nil
  def sidekick(node, hub \\ Hub), do: Tables.one(hub, {:host, node})

  @doc "What needs attention, the most urgent first."
  @spec attention(atom()) :: [Attention.reason()] | nil
  def attention(hub \\ Hub), do: Tables.get(hub, :attention)

  @doc "The known crashes of all servers, newest first."
  @spec crashes(atom()) :: [map()] | nil
  def crashes(hub \\ Hub), do: Tables.get(hub, :crashes)

  @doc "The store; see `Sidekick.Panel.StoreView`."
  @spec store(atom()) :: map() | nil
  def store(hub \\ Hub), do: Tables.get(hub, :store)

  @doc "The fleet in a few numbers."
  @spec totals(atom()) :: Totals.t() | nil
  def totals(hub \\ Hub), do: Tables.get(hub, :totals)

  @doc """
  Does something in a user's name: `Sidekick.Panel.Action.run/3`, and what was done comes onto the timeline of the server. Options as
  there, and `hub:`.
  """
  @spec act(map() | nil, Action.t(), keyword()) :: Action.outcome() | {:confirm, Action.question()}
  def act(user, action, opts \\ []) do
    {hub, opts} = Keyword.pop(opts, :hub, Hub)
    Action.run(user, action, Keyword.put(opts, :told, fn node, id, text -> Hub.acted(node, id, text, hub) end))
  end
end
