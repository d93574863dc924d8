defmodule SidekickWeb.Names do
  @moduledoc "Names in addresses, and back. No atom is made of what a browser sends."

  @doc "The node of that name; nil where this system has never heard of it."
  @spec node(term()) :: node() | nil
  def node(text) when is_binary(text) and byte_size(text) <= 255 do
    if String.contains?(text, "@"), do: String.to_existing_atom(text)
  rescue
    ArgumentError -> nil
  end

  def node(_other), do: nil

  @doc "The address of a server's page."
  @spec server(String.t(), node(), binary()) :: String.t()
  def server(base, node, id), do: "#{base}/servers/#{part(node)}/#{part(id)}"

  @doc "The address of a crash."
  @spec crash(String.t(), node(), binary(), pos_integer()) :: String.t()
  def crash(base, node, id, number), do: "#{base}/crashes/#{part(node)}/#{part(id)}/#{number}"

  @doc "An address with parameters."
  @spec with_params(String.t(), map()) :: String.t()
  def with_params(path, params) when params == %{}, do: path
  def with_params(path, params), do: path <> "?" <> URI.encode_query(params)

  @doc "An id for an element of a page, from a name that may hold anything."
  @spec element(String.t(), term()) :: String.t()
  def element(kind, key),
    do:
      "#{kind}-#{:sha256 |> :crypto.hash(:erlang.term_to_binary(key)) |> Base.encode16(case: :lower) |> binary_part(0, 16)}"

  defp part(name), do: name |> to_string() |> URI.encode(&(URI.char_unreserved?(&1) or &1 == ?@))
end
