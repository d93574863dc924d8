# Says whether what sidekick_web calls of the library is there, without any of its packages: every source is parsed, templates too, and each
# call of a function of `Sidekick.*` is looked up with its arity. Run within elixir_frontend/sidekick: mix run --no-start FILE WEB.
defmodule WebCalls do
  # What `use SidekickWeb.Page` brings into a file.
  @page %{Panel: Sidekick.Panel, Format: Sidekick.Panel.Format, Notice: Sidekick.Panel.Notice}

  def of_source(source, file) do
    ast = Code.string_to_quoted!(source, file: file)
    aliases = aliases(ast)
    {calls(ast, aliases), ast |> templates() |> Enum.flat_map(&of_template(&1, aliases))} |> then(fn {a, b} -> a ++ b end)
  end

  def missing({module, name, arity}) do
    cond do
      not Code.ensure_loaded?(module) -> "#{inspect(module)} does not exist"
      name == :%{} -> unless(function_exported?(module, :__struct__, 0), do: "#{inspect(module)} is no struct")
      function_exported?(module, name, arity) or macro_exported?(module, name, arity) -> nil
      true -> "#{inspect(module)}.#{name}/#{arity} does not exist"
    end
  end

  defp aliases(ast) do
    {_, found} =
      Macro.prewalk(ast, %{}, fn
        {:use, _, [{:__aliases__, _, [:SidekickWeb, :Page]}]} = node, found ->
          {node, Map.merge(@page, found)}

        {:alias, _, [{{:., _, [{:__aliases__, _, base}, :{}]}, _, names}]} = node, found ->
          {node, Enum.reduce(names, found, fn {_, _, name}, found -> Map.put(found, List.last(name), full(base ++ name, found)) end)}

        {:alias, _, [{:__aliases__, _, name} | _]} = node, found ->
          {node, Map.put(found, List.last(name), full(name, found))}

        node, found ->
          {node, found}
      end)

    found
  end

  defp full([first | rest], aliases), do: Module.concat([Map.get(aliases, first, first) | rest])

  defp calls(ast, aliases) do
    {_, found} =
      Macro.prewalk(ast, [], fn
        # A pipe gives one argument more.
        {:|>, _, [left, {{:., _, [{:__aliases__, _, name}, function]}, _, args}]}, found when is_list(args) ->
          {[left | args], note(found, name, function, length(args) + 1, aliases)}

        {:&, _, [{:/, _, [{{:., _, [{:__aliases__, _, name}, function]}, _, []}, arity]}]}, found when is_integer(arity) ->
          {nil, note(found, name, function, arity, aliases)}

        # Types are looked up by nobody who runs.
        {:@, _, [{kind, _, _}]}, found when kind in [:spec, :type, :typep, :callback] ->
          {nil, found}

        {{:., _, [{:__aliases__, _, name}, function]}, _, args}, found when is_list(args) and function != :{} ->
          {args, note(found, name, function, length(args), aliases)}

        {:%, _, [{:__aliases__, _, name}, fields]}, found ->
          {fields, note(found, name, :%{}, 0, aliases)}

        node, found ->
          {node, found}
      end)

    found
  end

  defp note(found, name, function, arity, aliases) do
    module = full(name, aliases)
    parts = Module.split(module)
    if hd(parts) == "Sidekick" and Enum.at(parts, 1) != "Test", do: [{module, function, arity} | found], else: found
  rescue
    # A module of Erlang's, or a name that is made up as it runs.
    ArgumentError -> found
  end

  defp templates(ast) do
    {_, found} =
      Macro.prewalk(ast, [], fn
        {:sigil_H, _, [{:<<>>, _, [text]}, _]} = node, found -> {node, [text | found]}
        node, found -> {node, found}
      end)

    found
  end

  # Each expression in braces or `<%= %>`, as far as it goes: what holds a brace of its own is found whole.
  defp of_template(text, aliases) do
    text
    |> expressions()
    |> Enum.flat_map(fn expression ->
      case Code.string_to_quoted(expression) do
        {:ok, ast} -> calls(ast, aliases)
        {:error, _} -> raise "an expression of a template does not parse: #{expression}"
      end
    end)
  end

  defp expressions(text) do
    tag = ~r/<%=?\s*(.*?)\s*%>/s
    tags = for [_, inner] <- Regex.scan(tag, text), inner not in ["else", "end"], do: String.replace(inner, ~r/ do$/, " do\nend")
    text = Regex.replace(tag, text, "")
    starts = Regex.scan(~r/\{/, text, return: :index) |> Enum.map(fn [{at, _}] -> at end)

    {found, _} =
      Enum.reduce(starts, {[], 0}, fn at, {found, behind} ->
        if at < behind do
          {found, behind}
        else
          inner = whole(binary_part(text, at + 1, byte_size(text) - at - 1), 0, 0)
          {[binary_part(text, at + 1, inner) | found], at + inner + 1}
        end
      end)

    # `:for={a <- b}` is no expression by itself.
    tags ++ Enum.map(found, &if(String.contains?(&1, "<-"), do: "for(#{&1}, do: nil)", else: &1))
  end

  defp whole("}" <> _, 0, length), do: length
  defp whole("}" <> rest, depth, length), do: whole(rest, depth - 1, length + 1)
  defp whole("{" <> rest, depth, length), do: whole(rest, depth + 1, length + 1)
  defp whole(<<_, rest::binary>>, depth, length), do: whole(rest, depth, length + 1)
end

[web] = System.argv()

# A check that cannot fail proves nothing.
control = ~S'''
defmodule X do
  alias Sidekick.Panel.{Format, Nothing}
  def a(x), do: x |> Format.count() |> Format.bytes(1)
  def b(assigns), do: ~H"<p title={Format.no_such(%{a: @a})}>{Nothing.at_all(1)}</p>"
  def c, do: %Sidekick.Error{code: :x}
end
'''

found = control |> WebCalls.of_source("control") |> Enum.map(&WebCalls.missing/1) |> Enum.reject(&is_nil/1) |> Enum.sort()
wanted = ["Sidekick.Panel.Format.bytes/2 does not exist", "Sidekick.Panel.Format.no_such/1 does not exist", "Sidekick.Panel.Nothing does not exist"]
if found != wanted, do: raise("the check does not notice what is missing, but #{inspect(found)}")

files = Enum.flat_map(["*.exs" | for(dir <- ~w(config lib test), do: dir <> "/**/*.{ex,exs}")], &Path.wildcard(Path.join(web, &1)))
calls = for file <- files, call <- WebCalls.of_source(File.read!(file), file), do: {call, Path.relative_to(file, web)}
missing = for {call, file} <- Enum.uniq(calls), sentence = WebCalls.missing(call), do: "#{file}: #{sentence}"
Enum.each(missing, &IO.puts("  failed: #{&1}"))
functions = calls |> Enum.map(&elem(&1, 0)) |> Enum.uniq() |> length()
IO.puts("#{length(files)} sources parsed, #{length(calls)} calls of #{functions} functions of the library, #{length(missing)} missing")
if missing != [] or functions < 50, do: System.halt(1)
