defmodule Sidekick.Panel.Report.Sections do
  @moduledoc false
  # What stands in a report, from the panel's view models.

  import Sidekick.Panel.Report.Html, only: [tag: 3]
  import Sidekick.Panel.Report.Parts

  alias Sidekick.Panel.{Attention, Crash, Format, Host, Notice, Ring, Server}

  # A line in each of thousands of rows would make megabytes of a page that is meant for a mail.
  @sparked 200
  @detailed 24
  @moments 20

  @doc "The fleet in a few numbers."
  def tiles(%{totals: totals} = snapshot) do
    tag("dl", [class: "tiles"], [
      tile("Servers", total(totals.servers), states(totals.servers)),
      tile("Sidekicks", total(totals.sidekicks), states(totals.sidekicks)),
      tile("Players", Format.count(totals.players), "as their games tell"),
      tile("Memory", Format.bytes(totals.memory), "of all servers"),
      tile("Records", Format.rate(totals.rate), "appended"),
      tile("Upload lag", Format.count(totals.lag), "records, slowest sink"),
      tile("Crashes", Format.count(length(snapshot.crashes)), "bundles at hand"),
      tile(
        "Attention",
        Format.count(totals.attention),
        if(totals.attention == 0, do: "nothing to do", else: "see below")
      )
    ])
  end

  defp tile(name, value, small),
    do: tag("div", [], [tag("dt", [], name), tag("dd", [], [value, tag("small", [], small)])])

  defp total(by_state), do: by_state |> Map.values() |> Enum.sum() |> Format.count()

  defp states(by_state) when by_state == %{}, do: "none known"

  defp states(by_state) do
    by_state
    |> Enum.sort_by(fn {state, count} -> {-count, state} end)
    |> Enum.map_join(", ", fn {state, count} -> "#{count} #{Format.words(state)}" end)
  end

  @doc "What needs attention first."
  def attention(%{attention: []}), do: notice(Notice.of(:nothing_urgent))

  def attention(%{attention: reasons}) do
    {shown, more} = Enum.split(reasons, 100)

    [
      tag("ul", [class: "list"], for(reason <- shown, do: reason(reason))),
      if(more != [], do: tag("p", [class: "none"], "#{Format.count(length(more))} more are not shown."))
    ]
  end

  defp reason(reason) do
    tone = if reason.rank <= severe(), do: "bad", else: "warn"

    tag("li", [class: tone], [
      tag("div", [class: "head"], [
        tag("span", [class: "badge #{tone}"], Format.words(reason.code)),
        tag("h3", [], subject(reason.subject)),
        if(reason.since_ms,
          do: tag("span", [class: "sub"], ["since ", at(reason.since_ms)])
        )
      ]),
      tag("p", [], reason.sentence),
      tag("p", [class: "todo"], reason.remedy)
    ])
  end

  # Down to where play or data are at stake.
  defp severe, do: Enum.find_index(Attention.codes(), &(&1 == :sink_halted)) + 1

  defp subject({:server, {node, id}}), do: "#{Format.text(id, 64)} on #{Format.text(node, 200)}"
  defp subject({:host, node}), do: Format.text(node, 200)
  defp subject(:store), do: "The store"

  @doc "All sidekicks."
  def sidekicks(%{hosts: hosts, servers: servers, at_ms: now_ms}) do
    counts = Enum.frequencies_by(servers, fn {%{key: {node, _}}, _} -> node end)

    columns =
      [{"Sidekick", :text}, {"State", :text}, {"Since", :text}, {"Servers", :num}, {"Version", :text}] ++
        [{"Records behind", :num}, {"Appended", :num}, {"Buffer", :num}, {"of", :num}]

    rows =
      for {{host, _reasons}, index} <- Enum.with_index(hosts) do
        buffer = Host.buffer(host)

        [
          name(host.node),
          badge(host.state),
          ago(host.since_ms, now_ms),
          Format.count(counts[host.node] || 0),
          Format.text(host.info[:version], 40)
        ] ++
          [
            spark(Format.count(Host.lag(host)), host.samples, :lag, index),
            spark(Format.rate(Host.rate(host)), host.samples, :rate, index),
            Format.bytes(buffer[:bytes]),
            Format.bytes(buffer[:max_bytes])
          ]
      end

    [
      for({host, _} <- hosts, notice = Notice.of_host(host, now_ms), do: notice(notice)),
      table("Sidekicks, what needs attention first", columns, rows, notice(Notice.of(:no_sidekicks)))
    ]
  end

  defp spark(text, samples, column, index) when index < @sparked, do: sparked(text, Ring.series(samples, column))
  defp spark(text, _samples, _column, _index), do: text

  @doc "All servers."
  def servers(%{servers: servers, at_ms: now_ms}) do
    columns =
      [
        {"Server", :text},
        {"State", :text},
        {"Sidekick", :text},
        {"Since", :text},
        {"Players", :num},
        {"Frame time", :num}
      ] ++
        [{"Memory", :num}, {"CPU", :num}, {"Behind", :num}, {"Restarts", :num}, {"Last end", :text}]

    rows =
      for {{%{key: {node, id}} = server, _reasons}, index} <- Enum.with_index(servers) do
        figures = [
          Format.count(Server.figure(server, :players)),
          spark(Format.unit(Server.figure(server, :frame_ms), "ms"), server.samples, :frame_ms, index),
          spark(Format.bytes(Server.memory(server)), server.samples, :memory, index),
          Format.percent(Server.figure(server, :cpu_percent)),
          Format.count(server.lag),
          Format.count(Server.restarts(server))
        ]

        [name(id), state(server, now_ms), name(node), ago(server.since_ms, now_ms)] ++
          figures ++ [last_end(server, now_ms)]
      end

    table("Servers, what needs attention first", columns, rows, notice(Notice.of(:no_servers)))
  end

  defp state(%{remembered_ms: nil} = server, _now_ms), do: badge(server.state)

  defp state(server, now_ms),
    do: [badge(server.state), " ", tag("span", [class: "sub"], ["as of ", ago(server.remembered_ms, now_ms)])]

  defp last_end(server, now_ms) do
    case Server.last_exit(server) do
      {reason, at_ms} -> [reason, ", ", ago(at_ms, now_ms)]
      nil -> "–"
    end
  end

  @doc "The servers that matter most, each with its charts and what happened to it."
  def details(%{servers: []}), do: notice(Notice.of(:no_servers))

  def details(%{servers: servers} = snapshot) do
    {shown, more} = Enum.split(servers, @detailed)

    [
      for({server, reasons} <- shown, do: detail(server, reasons, snapshot.at_ms)),
      if(more != [],
        do:
          tag(
            "p",
            [class: "none"],
            "Only the #{@detailed} servers that need most attention are shown here; all are in the table."
          )
      )
    ]
  end

  defp detail(%{key: {node, id}} = server, reasons, now_ms) do
    charts =
      for {title, column, opts} <- charts(),
          chart = chart(title, Ring.series(server.samples, column), opts),
          do: chart

    tag("article", [class: "card"], [
      tag("div", [class: "head"], [
        tag("h3", [], Format.text(id, 64)),
        badge(server.state),
        tag("span", [class: "sub"], Format.text(node, 200))
      ]),
      for(reason <- reasons, do: [tag("p", [], reason.sentence), tag("p", [class: "todo"], reason.remedy)]),
      facts(server_facts(server, now_ms)),
      tag("div", [class: "charts"], charts),
      timeline(server.timeline)
    ])
  end

  defp charts do
    [
      {"Frame time", :frame_ms, [unit: "ms", at_least: 20]},
      {"Memory", :memory, [unit: :bytes]},
      {"CPU", :cpu, [unit: :percent, at_least: 100]},
      {"Players", :players, [unit: :count, at_least: 4]},
      {"Records behind", :lag, [unit: :count, at_least: 10]}
    ]
  end

  defp server_facts(server, now_ms) do
    status = server.status

    [
      {"Process", Format.text(status[:os_pid])},
      {"Epoch", Format.count(status[:epoch])},
      {"Restarts", Format.count(Server.restarts(server))},
      {"Last end", last_end(server, now_ms)},
      {"Engine", with(%{engine: engine} <- status[:session], do: Format.text(engine, 60), else: (_ -> "–"))},
      {"Adopted", with(true <- status[:adopted], do: "yes", else: (_ -> "no"))},
      {"Standby", standby(status[:standby])}
    ]
    |> Enum.reject(fn {_, value} -> value in [nil, "–"] end)
  end

  # Told by later versions only.
  defp standby(nil), do: nil
  defp standby(%{state: state}), do: Format.words(state)
  defp standby(other), do: Format.text(other, 60)

  defp timeline([]), do: nil

  defp timeline(moments) do
    {shown, more} = Enum.split(moments, @moments)

    [
      tag("h4", [], "What happened, newest first"),
      tag(
        "ol",
        [class: "time"],
        for(moment <- shown, do: tag("li", [], [at(moment.at_ms), tag("span", [], moment.text)]))
      ),
      if(more != [], do: tag("p", [class: "none"], "#{length(more)} earlier ones are not shown."))
    ]
  end

  @doc "All known crashes, and the bundles of the newest."
  def crashes(%{crashes: crashes, bundles: bundles, at_ms: now_ms}) do
    columns = [
      {"Server", :text},
      {"Sidekick", :text},
      {"Number", :num},
      {"At", :text},
      {"How it ended", :text},
      {"Script line", :wide}
    ]

    read = MapSet.new(bundles, &{&1.node, &1.server, &1.number})

    rows =
      for crash <- Enum.take(crashes, 200) do
        known = {crash.node, crash.id, crash.number} in read
        number = Format.text(crash.number)
        number = if known, do: tag("a", [href: "##{anchor(crash.node, crash.id, crash.number)}"], number), else: number

        [
          name(crash.id),
          name(crash.node),
          number,
          [at(crash.at_ms), " (", Format.ago(crash.at_ms, now_ms), ")"],
          Format.reason(crash.reason),
          line(crash.script_line)
        ]
      end

    [
      table("Crashes, newest first", columns, rows, notice(Notice.of(:no_crashes))),
      for(bundle <- bundles, do: bundle(bundle, now_ms))
    ]
  end

  defp line(nil), do: "–"
  defp line(text), do: tag("code", [], Format.text(text, 300))

  # Names of others do not become names of ours: any text may be in them.
  defp anchor(node, id, number),
    do:
      "crash-" <>
        (:sha256 |> :crypto.hash("#{node}\0#{id}\0#{number}") |> binary_part(0, 8) |> Base.encode16(case: :lower))

  defp bundle(crash, now_ms) do
    tag("article", [class: "card", id: anchor(crash.node, crash.server, crash.number)], [
      tag("div", [class: "head"], [
        tag("h3", [], "Crash #{Format.text(crash.number)} of #{crash.server}"),
        tag("span", [class: "badge bad"], crash.reason),
        tag("span", [class: "sub"], [at(crash.at_ms), " (", Format.ago(crash.at_ms, now_ms), ")"])
      ]),
      tag("p", [], crash.sentence),
      if(crash.script_line, do: tag("p", [], ["Script line: ", tag("code", [], crash.script_line)])),
      # The time stands in the heading already.
      facts(List.keydelete(crash.facts, "At", 0)),
      lines("Script backtrace", crash.script_backtrace),
      lines("Engine backtrace", crash.engine_backtrace),
      beats(crash.beats),
      lines(
        "Last log lines",
        Enum.map(crash.log, &"#{Format.clock(&1.at_ms)}  #{String.pad_trailing(&1.source, 8)}  #{&1.line}")
      ),
      if(crash.streams != [], do: [tag("h4", [], "Streams when it ended"), facts(crash.streams)]),
      others(crash.others),
      tag("details", [], [
        tag("summary", [], "As Markdown, for a ticket"),
        tag(
          "pre",
          [tabindex: 0, role: "region", aria_label: "Crash #{Format.text(crash.number)} as Markdown"],
          Crash.to_markdown(crash)
        )
      ])
    ])
  end

  # The seconds before it ended; each may lack a figure.
  defp beats(beats) do
    series = fn key -> for %{at_ms: at_ms} = beat when is_integer(at_ms) <- beats, do: {at_ms, number(beat[key])} end

    charts =
      [
        chart("Frame time before the end", series.(:frame_ms), unit: "ms", at_least: 20, end: "end"),
        chart("Engine memory before the end", series.(:memory_bytes), unit: :bytes, end: "end")
      ]
      |> Enum.reject(&is_nil/1)

    if charts != [], do: tag("div", [class: "charts"], charts)
  end

  defp number(value) when is_number(value) and value >= 0, do: value
  defp number(_), do: nil

  defp others([]), do: nil

  defp others(lines) do
    texts = for line <- lines, do: String.duplicate("  ", line.depth) <> line.label <> "  " <> line.text
    lines("Also in the bundle", texts)
  end

  @doc "Streams of the journals, and the sinks that they go to."
  def streams(%{hosts: hosts}) do
    streams = for {host, _} <- hosts, stream <- host.streams, do: {host, stream}
    sinks = for {host, _} <- hosts, sink <- host.sinks, do: {host, sink}
    more = hosts |> Enum.map(fn {host, _} -> host.more_streams end) |> Enum.sum()

    [
      table(
        "Sinks",
        [
          {"Sink", :text},
          {"Sidekick", :text},
          {"State", :text},
          {"Records behind", :num},
          {"Bytes behind", :num},
          {"Behind for", :num},
          {"Dead letters", :num},
          {"Refused scopes", :num},
          {"To", :text},
          {"Error", :wide}
        ],
        Enum.map(Enum.take(sinks, 500), &sink/1),
        notice(Notice.of(:no_sinks))
      ),
      table(
        "Streams in the journals",
        [
          {"Stream", :text},
          {"Sidekick", :text},
          {"First", :num},
          {"Last", :num},
          {"Size", :num},
          {"Slowest sink behind", :num},
          {"Dropped", :num}
        ],
        Enum.map(Enum.take(streams, 500), &stream/1),
        notice(Notice.of(:no_streams))
      ),
      if(more > 0, do: tag("p", [class: "none"], "#{Format.count(more)} streams that lag least are not shown."))
    ]
  end

  defp sink({host, sink}) do
    [
      name(sink[:name]),
      name(host.node),
      badge(sink[:state]),
      Format.count(sink[:lag_records]),
      Format.bytes(sink[:lag_bytes])
    ] ++
      [Format.duration(sink[:lag_age_ms]), Format.count(sink[:dead_letters]), Format.count(length(Host.refused(sink)))] ++
      [Format.text(sink[:node] || sink[:kind], 100), Format.text(sink[:error], 300)]
  end

  defp stream({host, stream}) do
    [
      name(stream[:name]),
      name(host.node),
      Format.count(stream[:first]),
      Format.count(stream[:last]),
      Format.bytes(stream[:bytes])
    ] ++
      [Format.count(Host.behind(stream)), Format.count(stream[:dropped])]
  end

  @doc "The store: its members, and what it holds."
  def store(%{store: store, at_ms: now_ms}) do
    members =
      for member <- store.members,
          do: [
            name(member.node),
            badge(if(member.connected, do: :up, else: :offline)),
            if(member.leader, do: "leader", else: "follower")
          ]

    streams = for stream <- store.streams, do: stored(stream, now_ms)

    [
      notice(Notice.of_store(store)),
      facts([
        {"Majority", badge(store.quorum)},
        {"Store", Format.text(store.uuid)},
        {"Log applied", Format.count(store.applied)}
      ]),
      table(
        "Members",
        [{"Member", :text}, {"State", :text}, {"Role", :text}],
        members,
        tag("p", [class: "none"], "No store was asked: give the node of a frontend to see it.")
      ),
      if(streams != [],
        do:
          table(
            "Streams in the store",
            [
              {"Stream", :text},
              {"Origin", :text},
              {"Stored up to", :num},
              {"Kept", :num},
              {"Size", :num},
              {"Dropped", :num},
              {"Last", :text}
            ],
            streams,
            nil
          )
      )
    ]
  end

  defp stored(stream, now_ms) do
    [
      name(stream.stream),
      name(stream.origin),
      Format.count(stream[:watermark]),
      Format.count(stream[:records]),
      Format.bytes(stream[:bytes])
    ] ++
      [Format.count(stream[:dropped]), ago(stream[:updated_ms], now_ms)]
  end

  @doc "Who did what."
  def audit(%{audit: nil}), do: tag("p", [class: "none"], "The audit is kept in the store, which was not asked.")

  def audit(%{audit: entries}) do
    columns = [{"Who", :text}, {"At", :text}, {"Did", :text}, {"To", :wide}, {"Outcome", :text}, {"Detail", :wide}]

    rows =
      for entry <- entries,
          do: [
            name(entry.who),
            at(entry.at_ms),
            Format.words(entry.action),
            entry.target,
            badge(entry.outcome),
            entry.detail
          ]

    table("Audit, newest first", columns, rows, notice(Notice.of(:no_audit)))
  end
end
