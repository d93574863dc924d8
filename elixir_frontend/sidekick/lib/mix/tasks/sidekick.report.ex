defmodule Mix.Tasks.Sidekick.Report do
  @shortdoc "Writes the fleet, its crashes and its store as one page of HTML"

  @moduledoc """
  Writes the fleet, its crashes and its store as one self-contained page of HTML (`Sidekick.Panel.Report`).

      mix sidekick.report --frontend frontend@127.0.0.1 --cookie-file ~/.erlang.cookie --out report.html
      mix sidekick.report --node sidekick@127.0.0.1 --node sidekick@game2.internal

  With `--frontend` that node is asked, which knows the fleet, the store and the audit; where it runs the panel's model
  (`Sidekick.Panel`), with its charts and timelines too. With `--node` (may be given several times) sidekicks are asked
  themselves, for `--for` seconds, so that there are rates and lines.

    * `--frontend NODE`, `--node NODE` - whom to ask; one of them is needed
    * `--cookie-file FILE` - the cookie of the nodes, default `~/.erlang.cookie`
    * `--out FILE` - default `sidekick-report.html`
    * `--for SECONDS` - how long to sample sidekicks, default 3
    * `--bundles COUNT` - how many whole crash bundles, default 20

  Nothing is changed anywhere. Exit codes: 0 written, 1 nobody answered or the file could not be written, 2 wrong usage.
  """

  use Mix.Task

  alias Sidekick.Panel.{Report, Snapshot}

  @switches [
    frontend: :string,
    node: :keep,
    cookie_file: :string,
    out: :string,
    for: :float,
    bundles: :integer
  ]

  @impl Mix.Task
  def run(arguments) do
    {opts, rest, invalid} = OptionParser.parse(arguments, strict: @switches)
    nodes = for {:node, name} <- opts, do: name

    unless rest == [] and invalid == [],
      do: usage("unknown argument #{Enum.join(rest ++ Enum.map(invalid, &elem(&1, 0)), " ")}")

    if nodes == [] and opts[:frontend] == nil, do: usage("whom to ask? give --frontend NODE or --node NODE")

    out = Keyword.get(opts, :out, "sidekick-report.html")
    connect(opts[:frontend] || hd(nodes), Keyword.get(opts, :cookie_file, "~/.erlang.cookie"))

    case opts |> snapshot(nodes) |> then(&Report.write(out, &1)) do
      :ok -> Mix.shell().info("wrote #{Path.expand(out)} (#{Sidekick.Helpers.Table.bytes(File.stat!(out).size)})")
      {:error, message} -> fail(message)
    end
  end

  defp snapshot(opts, nodes) do
    bundles = [bundles: Keyword.get(opts, :bundles, 20)]
    for_ms = max(500, round(Keyword.get(opts, :for, 3.0) * 1000))
    sampled = bundles ++ [for_ms: for_ms]

    case opts[:frontend] do
      nil -> sidekicks(Enum.map(nodes, &named/1), sampled)
      frontend -> frontend(named(frontend), bundles, sampled)
    end
  end

  defp sidekicks(nodes, opts) do
    snapshot = Snapshot.of_nodes(nodes, opts)

    if Enum.all?(snapshot.hosts, fn {host, _} -> host.state != :up end),
      do: fail("none of #{Enum.join(nodes, ", ")} answered: is the cookie theirs, and do they run?")

    snapshot
  end

  defp frontend(node, bundles, sampled) do
    unless Node.connect(node) == true, do: fail("no connection to #{node}: is the cookie its, and does it run?")

    with nil <- ask(node, :of_hub, [Sidekick.Panel.Hub, bundles]) do
      known = :erpc.call(node, Sidekick.Nodes, :list, [], 10_000)
      ask(node, :of_nodes, [Enum.map(known, & &1.node), sampled ++ [store: :sidekick_store]])
    end
  rescue
    error in ErlangError ->
      fail("#{node} did not answer: #{inspect(error.original, limit: 10)}; does it run this version of the library?")
  end

  defp ask(node, function, arguments), do: :erpc.call(node, Snapshot, function, arguments, 120_000)

  # Hidden, so that no cluster takes this short-lived node for a member; named like those it asks.
  defp connect(peer, cookie_file) do
    unless Node.alive?() do
      host = peer |> String.split("@") |> List.last()
      domain = if String.contains?(host, "."), do: :longnames, else: :shortnames
      local = if host == "127.0.0.1", do: "@127.0.0.1", else: ""
      name = named("sidekick_report_#{System.pid()}#{local}")

      case :net_kernel.start(name, %{name_domain: domain, hidden: true}) do
        {:ok, _} ->
          :ok

        {:error, reason} ->
          fail("this node cannot join the network of nodes: #{inspect(reason, limit: 10)}; does epmd run?")
      end

      cookie_file = Path.expand(cookie_file)

      case File.read(cookie_file) do
        {:ok, cookie} ->
          Node.set_cookie(cookie |> String.trim() |> named())

        {:error, reason} ->
          fail("cannot read the cookie #{cookie_file}: #{:file.format_error(reason)}; name it with --cookie-file")
      end
    end
  end

  # Of what the operator types, in a VM that ends with this task.
  defp named(text), do: :"#{text}"

  @spec usage(String.t()) :: no_return()
  defp usage(message), do: stop("#{message}\n(mix help sidekick.report)", 2)

  @spec fail(String.t()) :: no_return()
  defp fail(message), do: stop(message, 1)

  defp stop(message, status) do
    Mix.shell().error("error: #{message}")
    exit({:shutdown, status})
  end
end
