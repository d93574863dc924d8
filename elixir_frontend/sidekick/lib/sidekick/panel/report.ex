defmodule Sidekick.Panel.Report do
  @moduledoc """
  The panel as one page of HTML: for a mail, a ticket, or a machine without the panel. Made by `mix sidekick.report` too.

      :ok = Sidekick.Panel.Report.write("report.html", Sidekick.Panel.Snapshot.of_hub())

  The page is self-contained: no script, nothing is loaded, and its content security policy allows nothing but its own style sheet, by its
  hash. Whatever games, users and peers named is text in it. It is readable from 360 px up, light and dark as the reader's system is, and on
  paper.
  """

  alias Sidekick.Panel.{Format, Snapshot}
  alias Sidekick.Panel.Report.{Html, Sections}

  import Sidekick.Panel.Report.Html, only: [tag: 2, tag: 3]
  import Sidekick.Panel.Report.Parts, only: [section: 3, at: 1]

  @style_file Path.join(__DIR__, "report/style.css")
  @external_resource @style_file
  @style @style_file |> File.read!() |> String.replace(~r/\n\s*/, "\n")
  @style_hash :sha256 |> :crypto.hash(@style) |> Base.encode64()
  @policy "default-src 'none'; style-src 'sha256-#{@style_hash}'; img-src data:; base-uri 'none'; form-action 'none'"

  @sections [
    {"attention", "Attention", &Sections.attention/1},
    {"sidekicks", "Sidekicks", &Sections.sidekicks/1},
    {"servers", "Servers", &Sections.servers/1},
    {"details", "Servers in detail", &Sections.details/1},
    {"crashes", "Crashes", &Sections.crashes/1},
    {"streams", "Streams and sinks", &Sections.streams/1},
    {"store", "Store", &Sections.store/1},
    {"audit", "Audit", &Sections.audit/1}
  ]

  @doc "Writes the page, whole or not at all. `{:error, message}` says why not."
  @spec write(Path.t(), Snapshot.t()) :: :ok | {:error, String.t()}
  def write(path, %Snapshot{} = snapshot) do
    temporary = "#{path}.#{System.unique_integer([:positive])}.tmp"

    with :ok <- File.write(temporary, html(snapshot)), :ok <- File.rename(temporary, path) do
      :ok
    else
      {:error, reason} ->
        _ = File.rm(temporary)
        {:error, "cannot write #{path}: #{:file.format_error(reason)}"}
    end
  end

  @doc "The page."
  @spec html(Snapshot.t()) :: String.t()
  def html(%Snapshot{} = snapshot), do: snapshot |> head() |> Html.document(body(snapshot)) |> Html.to_string()

  defp head(snapshot) do
    [
      tag("meta", charset: "utf-8"),
      tag("meta", http_equiv: "Content-Security-Policy", content: @policy),
      tag("meta", name: "viewport", content: "width=device-width, initial-scale=1"),
      tag("meta", name: "color-scheme", content: "light dark"),
      tag("link", rel: "icon", href: "data:,"),
      tag("title", [], "sidekick report, #{Format.time(snapshot.at_ms)}"),
      Html.style(@style)
    ]
  end

  defp body(snapshot) do
    [
      tag("a", [class: "skip", href: "#main"], "Skip to the report"),
      tag("header", [], [
        tag("h1", [], "sidekick report"),
        tag("p", [class: "sub"], ["The fleet as seen by ", Atom.to_string(snapshot.by), " at ", at(snapshot.at_ms)]),
        Sections.tiles(snapshot),
        tag(
          "nav",
          [aria_label: "Sections"],
          tag("ul", [], for({id, title, _} <- @sections, do: tag("li", [], tag("a", [href: "##{id}"], title))))
        )
      ]),
      tag(
        "main",
        [id: "main", tabindex: "-1"],
        for({id, title, content} <- @sections, do: section(id, title, content.(snapshot)))
      ),
      tag("footer", [], ["Made by sidekick ", version(), ". Times are UTC; “ago” counts to when this was made."])
    ]
  end

  defp version,
    do: with(vsn when vsn != nil <- Application.spec(:sidekick, :vsn), do: Kernel.to_string(vsn), else: (_ -> ""))
end
