defmodule Sidekick.Panel.Server do
  @moduledoc """
  One server as the panel sees it: its status as last told, what happened to it, and the last samples of its figures.

  Everything that a sidekick tells is read tolerantly: a key that is missing or of another kind is nil, one that is unknown stays in
  `:status` and breaks nothing.

    * `:key` - `{node, id}`
    * `:state` - as its sidekick told last; nil before the first answer
    * `:since_ms` - since when it is in that state
    * `:status` - the whole status map, without its pid
    * `:timeline` - what happened, newest first, at most #{100}
    * `:samples` - `Sidekick.Panel.Ring` of `:frame_ms`, `:memory`, `:cpu`, `:players` and `:lag` (records behind)
    * `:lag` - records of its streams that the slowest sink lacks; nil where it has no stream
    * `:crash` - the newest crash, `%{number:, at_ms:, reason:, script_line:}`
    * `:remembered_ms` - set where this is what the store remembers, and of when
    * `:touched_ms` - when an event of it arrived last, by this node's clock
  """

  alias Sidekick.Panel.{Format, Ring}

  @timeline_max 100
  @samples_max 120
  @columns [:frame_ms, :memory, :cpu, :players, :lag]
  # A state of a later sidekick is shown as it is, but takes part in nothing.
  @quiet_events [:added, :hello, :ready, :state, :other]

  @enforce_keys [:key, :samples]
  defstruct [:key, :state, :since_ms, :lag, :crash, :remembered_ms, :samples, touched_ms: 0, status: %{}, timeline: []]

  @type key :: {node(), binary()}
  @type moment :: %{at_ms: integer(), kind: atom(), text: String.t(), number: pos_integer() | nil}
  @type t :: %__MODULE__{
          key: key(),
          state: atom() | nil,
          since_ms: integer() | nil,
          status: map(),
          timeline: [moment()],
          samples: Ring.t(),
          lag: non_neg_integer() | nil,
          crash: map() | nil,
          remembered_ms: integer() | nil,
          touched_ms: integer()
        }

  @doc "A server of which nothing is known yet."
  @spec new(node(), binary()) :: t()
  def new(node, id), do: %__MODULE__{key: {node, id}, samples: Ring.new(@columns, @samples_max)}

  @doc "The figures that are sampled."
  @spec columns() :: [atom()]
  def columns, do: @columns

  @doc """
  Takes in a status, as `:servers` answers it to who asked at `asked_ms`; it is a sample too. What an event told since then is
  newer than the answer, so the state stays as the event has it.
  """
  @spec told(t(), map(), non_neg_integer() | nil, integer(), integer()) :: t()
  def told(server, status, lag, asked_ms, now_ms) do
    status = Map.delete(status, :pid)
    server = if server.touched_ms < asked_ms, do: settle(server, status), else: server
    server = %{server | status: status, lag: lag, remembered_ms: nil}
    values = [figure(server, :frame_ms), memory(server), figure(server, :cpu_percent), figure(server, :players), lag]

    if Ring.due?(server.samples, now_ms),
      do: %{server | samples: Ring.push(server.samples, now_ms, values)},
      else: server
  end

  defp settle(server, status), do: %{server | state: status[:state], since_ms: status[:since_ms]}

  @doc "Takes in an event of the topic `:servers`."
  @spec happened(t(), map(), integer()) :: t()
  def happened(server, %{type: type, at_ms: at_ms} = event, now_ms) do
    server = change(%{server | touched_ms: now_ms}, type, event)

    case moment(type, event) do
      nil -> server
      text -> note(server, %{at_ms: at_ms, kind: type, text: text, number: event[:number]})
    end
  end

  @doc "Puts something onto the timeline: an action of an operator, too."
  @spec note(t(), moment()) :: t()
  def note(server, moment), do: %{server | timeline: Enum.take([moment | server.timeline], @timeline_max)}

  @doc "A crash is known of it; one that no event told of comes onto the timeline where it belongs."
  @spec crashed(t(), map()) :: t()
  def crashed(server, %{number: number, at_ms: at_ms} = crash) do
    server = if number > number_of(server.crash), do: %{server | crash: crash}, else: server

    if Enum.any?(server.timeline, &(&1.kind == :crash and &1.number == number)) do
      server
    else
      moment = %{at_ms: at_ms, kind: :crash, text: moment(:crash, crash), number: number}
      timeline = [moment | server.timeline] |> Enum.sort_by(&(-&1.at_ms)) |> Enum.take(@timeline_max)
      %{server | timeline: timeline}
    end
  end

  defp number_of(nil), do: 0
  defp number_of(%{number: number}), do: number

  @doc "A figure of its health; nil where it is not told."
  @spec figure(t(), atom()) :: number() | nil
  def figure(%{status: %{health: %{} = health}}, name) do
    value = Map.get(health, name)
    if is_number(value), do: value
  end

  def figure(_server, _name), do: nil

  @doc "Its memory: that of the whole process where it is known, else what the engine counts."
  @spec memory(t()) :: number() | nil
  def memory(%{status: %{rss_bytes: bytes}}) when is_number(bytes), do: bytes
  def memory(server), do: figure(server, :rss_bytes) || figure(server, :memory_bytes)

  @doc "How often it was restarted, as told."
  @spec restarts(t()) :: non_neg_integer()
  def restarts(%{status: %{restarts: count}}) when is_integer(count), do: count
  def restarts(_server), do: 0

  @doc "How and when it ended last, `{reason, at_ms}`."
  @spec last_exit(t()) :: {String.t(), integer() | nil} | nil
  def last_exit(%{status: %{last_exit: %{reason: reason} = exit}}), do: {Format.reason(reason), exit[:at_ms]}
  def last_exit(_server), do: nil

  defp change(server, :state, %{state: state, at_ms: at_ms}) when is_atom(state),
    do: %{server | state: state, since_ms: at_ms, remembered_ms: nil}

  defp change(server, :quarantined, %{at_ms: at_ms}), do: %{server | state: :quarantined, since_ms: at_ms}

  defp change(server, :started, event) do
    %{server | status: Map.merge(server.status, Map.take(event, [:os_pid, :epoch, :start_number, :adopted]))}
  end

  defp change(server, _type, _event), do: server

  defp moment(:started, %{adopted: true} = event), do: "adopted, still process #{Format.text(event[:os_pid])}"
  defp moment(:started, event), do: "started as process #{Format.text(event[:os_pid])}#{after_exit(event)}"
  defp moment(:playing, event), do: "plays from tick #{Format.count(event[:tick])}#{after_exit(event)}"
  defp moment(:start_failed, event), do: "could not be started: #{Format.text(event[:detail], 200)}"
  defp moment(:hang, event), do: "main loop hangs: silent for #{micros(event[:silent_us])}"

  defp moment(:memory, %{high: true} = event),
    do: "memory is high: #{Format.bytes(event[:rss_bytes])}, to be told at #{Format.bytes(event[:warn_bytes])}"

  defp moment(:memory, event), do: "memory is no longer high: #{Format.bytes(event[:rss_bytes])}"
  defp moment(:logs_full, event), do: "no room for its log files in #{Format.text(event[:dir], 200)}: older lines go"
  defp moment(:ended, event), do: "ended: #{Format.reason(event[:reason])}#{detail(event)}"

  defp moment(:crash, event),
    do: "crash bundle #{Format.text(event[:number])}: #{Format.reason(event[:reason])}#{line(event)}"

  defp moment(:removed, _event), do: "removed"
  defp moment(:state, %{state: :stopping}), do: "is being stopped"
  defp moment(:state, %{state: :draining}), do: "is being drained"
  defp moment(:promoted, event), do: "standby took over#{after_exit(event)}"

  defp moment(:quarantined, event),
    do: "quarantined after #{Format.number_of(event[:restarts], "restart")} in #{Format.unit(event[:seconds], "s")}"

  defp moment(type, _event) when type in @quiet_events, do: nil
  defp moment(type, _event), do: Format.words(type)

  defp after_exit(%{since_exit_us: us}) when is_integer(us), do: ", #{micros(us)} after the exit"
  defp after_exit(_event), do: ""

  defp detail(%{detail: text}) when is_binary(text), do: " (#{Format.text(text, 200)})"
  defp detail(_event), do: ""

  defp line(%{script_line: text}) when is_binary(text), do: " at #{Format.text(text, 200)}"
  defp line(_event), do: ""

  defp micros(us) when is_integer(us), do: Format.duration(us / 1000)
  defp micros(_), do: "–"
end
