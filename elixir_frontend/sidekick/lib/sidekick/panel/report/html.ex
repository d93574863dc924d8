defmodule Sidekick.Panel.Report.Html do
  @moduledoc """
  HTML as data that cannot be forgotten to be escaped: text is escaped, and only `tag/3` makes markup.

      iex> alias Sidekick.Panel.Report.Html
      iex> Html.tag("td", [class: "a\\"b"], ["<script>", Html.tag("b", [], 7)]) |> Html.to_string()
      ~s(<td class="a&quot;b">&lt;script&gt;<b>7</b></td>)

      iex> Sidekick.Panel.Report.Html.tag("img", [src: "data:,", alt: nil, hidden: true], nil) |> Sidekick.Panel.Report.Html.to_string()
      ~s(<img src="data:," hidden>)

  Attributes that are nil or false are left out. Architecture Invariant: `{:safe, _}` is made in this module alone.
  """

  @void ~w(meta link br hr img)

  @type content :: nil | String.t() | number() | atom() | {:safe, iodata()} | [content()]

  @doc "An element. Without content, and not void, it is empty."
  @spec tag(String.t(), keyword(), content()) :: {:safe, iodata()}
  def tag(name, attributes, content \\ nil)
  def tag(name, attributes, nil) when name in @void, do: {:safe, ["<", name, attributes(attributes), ">"]}

  def tag(name, attributes, content),
    do: {:safe, ["<", name, attributes(attributes), ">", inner(content), "</", name, ">"]}

  @doc "The style sheet, as it is: it is this library's own, and holds no `<`."
  @spec style(String.t()) :: {:safe, iodata()}
  def style(css) do
    if String.contains?(css, "<"), do: raise(ArgumentError, "a style sheet must not hold a <")
    {:safe, ["<style>", css, "</style>"]}
  end

  @doc "A whole document."
  @spec document(content(), content()) :: {:safe, iodata()}
  def document(head, body) do
    {:safe, html} = tag("html", [lang: "en"], [tag("head", [], head), tag("body", [], body)])
    {:safe, ["<!DOCTYPE html>\n", html, "\n"]}
  end

  @doc "The bytes."
  @spec to_string(content()) :: String.t()
  def to_string(content), do: content |> inner() |> IO.iodata_to_binary()

  defp attributes(attributes) do
    for {name, value} <- attributes, value not in [nil, false] do
      name = name |> Atom.to_string() |> String.replace("_", "-")
      if value == true, do: [" ", name], else: [" ", name, "=\"", escape(Kernel.to_string(value)), "\""]
    end
  end

  defp inner(nil), do: []
  defp inner({:safe, iodata}), do: iodata
  defp inner(list) when is_list(list), do: Enum.map(list, &inner/1)
  defp inner(text) when is_binary(text), do: escape(text)
  defp inner(other), do: other |> Kernel.to_string() |> escape()

  # Game data may be bytes that are no text; a page that is not UTF-8 is no page.
  defp escape(text) do
    text
    |> String.replace_invalid()
    |> String.replace(["&", "<", ">", "\"", "'", <<0>>], fn
      "&" -> "&amp;"
      "<" -> "&lt;"
      ">" -> "&gt;"
      "\"" -> "&quot;"
      "'" -> "&#39;"
      <<0>> -> "�"
    end)
  end
end
