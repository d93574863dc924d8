defmodule Sidekick.Client.Bang do
  @moduledoc false
  # Makes the raising twin of a function, so that the two cannot differ.

  @doc """
  `bang server(node :: node(), id :: id(), opts :: [option()]) :: status()` defines `server!/2` and `server!/3`, which
  give what `server/3` answers or raise its `Sidekick.Error`. The last argument is optional.
  """
  defmacro bang({:"::", _, [{name, _, arguments}, returned]}) do
    {names, types} = arguments |> Enum.map(fn {:"::", _, [name, type]} -> {name, type} end) |> Enum.unzip()
    bang = :"#{name}!"
    {required, [last]} = Enum.split(names, -1)
    {given, [_options]} = Enum.split(types, -1)
    doc = "As `#{name}/#{length(names)}`, but gives the value alone, or raises `Sidekick.Error`."

    quote do
      @doc unquote(doc)
      @spec unquote(bang)(unquote_splicing(given)) :: unquote(returned)
      @spec unquote(bang)(unquote_splicing(types)) :: unquote(returned)
      def unquote(bang)(unquote_splicing(required), unquote(last) \\ []),
        do: Sidekick.Client.Call.value!(unquote(name)(unquote_splicing(names)))
    end
  end
end
