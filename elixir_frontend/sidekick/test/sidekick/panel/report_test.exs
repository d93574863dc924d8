defmodule Sidekick.Panel.ReportTest do
  use ExUnit.Case, async: true

  alias Sidekick.Panel.{Report, Snapshot}
  alias Sidekick.Panel.Report.Html
  alias Sidekick.Test.{Folder, ReportSamples}

  doctest Sidekick.Panel.Report.Html

  defp html(name), do: name |> ReportSamples.snapshot() |> Report.html()

  # All tags, with those that are void left out of the balance; a page with one mark of others' making would not balance.
  defp balanced?(html) do
    tags = Regex.scan(~r|<(/?)([a-zA-Z0-9]+)[^<>]*>|, html)

    stack =
      Enum.reduce_while(tags, [], fn
        [_, "", tag], stack when tag in ~w(meta link) -> {:cont, stack}
        [_, "", tag], stack -> {:cont, [tag | stack]}
        [_, "/", tag], [tag | stack] -> {:cont, stack}
        [_, "/", tag], _stack -> {:halt, {:unexpected, tag}}
      end)

    stack == []
  end

  test "every sample is one balanced document with all its sections, and nothing that runs or loads" do
    for name <- ReportSamples.names() do
      html = html(name)
      assert String.valid?(html) and balanced?(html), "#{name} is not balanced"

      for id <- ~w(attention sidekicks servers details crashes streams store audit),
          do: assert(html =~ ~s(<h2 id="#{id}">))

      refute html =~ ~r/<(script|iframe|object|img|form|input)/i
      refute html =~ ~r/\s(on[a-z]+|style|src)="/i
      refute html =~ ~r/(href|url)\s*[=(]\s*"?https?:/i
      assert length(Regex.scan(~r/<table>/, html)) == length(Regex.scan(~r/<caption>[^<]+/, html))
    end
  end

  test "the policy allows the style sheet that is there, by its hash, and nothing else" do
    html = html(:empty)
    [_, style] = Regex.run(~r|<style>(.*)</style>|s, html)
    hash = :sha256 |> :crypto.hash(style) |> Base.encode64()
    assert html =~ "default-src &#39;none&#39;; style-src &#39;sha256-#{hash}&#39;; img-src data:;"
  end

  test "an ordinary day: the crash readable, what is away with its age, charts, who did what" do
    html = html(:day)

    for words <- [
          "It was ended by signal SIGSEGV, 1h 30m after its start.",
          "<code>res://world.gd:214</code>",
          "[0] _apply_damage (res://world.gd:214)",
          "Quarantined for 30s",
          "sidekick@game3.internal cannot be reached; this is from 3m 20s ago.",
          "restart by ann",
          "plays from tick 18\u202F204, 88 ms after the exit",
          "needs operator",
          "As Markdown, for a ticket"
        ],
        do: assert(html =~ words, "it lacks #{words}")

    # A line in the tables and a chart in the details, drawn from as many samples as a ring holds.
    assert length(Regex.scan(~r/<svg class="spark"/, html)) >= 10
    assert length(Regex.scan(~r/role="img"/, html)) >= 20
    [_, path] = Regex.run(~r/<path class="line" d="([^"]+)"/, html)
    assert length(String.split(path, "L")) > 40
    # Each link within leads somewhere.
    for [_, id] <- Regex.scan(~r/href="#([^"]+)"/, html), do: assert(html =~ ~s(id="#{id}"))
  end

  test "hostile names are text, whatever they try" do
    html = html(:hostile)
    assert html =~ "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"
    assert html =~ "&lt;/pre&gt;"
    refute html =~ "\u202E" or html =~ <<0>> or html =~ "\e"
  end

  test "nothing at all is said in words that say what to do" do
    html = html(:empty)

    for words <- [
          "No sidekick is known yet.",
          "No server is configured.",
          "No crash is known.",
          "Nobody has done anything yet."
        ],
        do: assert(html =~ words)
  end

  test "2,000 servers fit into a page that can be mailed" do
    {micros, html} = :timer.tc(fn -> html(:large) end)
    assert length(Regex.scan(~r|<th scope="row">|, html)) >= 2_200
    assert byte_size(html) < 3_000_000
    assert micros < 20_000_000
  end

  test "it is written as a whole, or the reason is told" do
    dir = Folder.new!()
    path = Path.join(dir, "report.html")
    assert :ok = Report.write(path, ReportSamples.snapshot(:empty))
    assert File.read!(path) =~ "</html>"
    assert {:error, message} = Report.write(Path.join(dir, "none/report.html"), ReportSamples.snapshot(:empty))
    assert message =~ "none/report.html" and message =~ "no such file"
    assert File.ls!(dir) == ["report.html"]
  end

  test "of a hub that does not run there is no snapshot, and one without sidekicks is empty" do
    assert Snapshot.of_hub(:no_hub) == nil

    assert %{servers: [], hosts: [{%{state: :offline}, [_]}], audit: nil} =
             Snapshot.of_nodes([:"nobody@127.0.0.1"], for_ms: 1)

    assert_raise ArgumentError, fn -> Html.style("</style>") end
  end
end
