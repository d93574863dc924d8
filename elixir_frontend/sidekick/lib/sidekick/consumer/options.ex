defmodule Sidekick.Consumer.Options do
  @moduledoc false
  # The options of `Sidekick.Consumer`, which documents them: what is wrong is told at the start, and not by a crash at the first record.

  @defaults [
    arg: nil,
    streams: :all,
    server: nil,
    store: :sidekick_store,
    batch: 500,
    max_attempts: 5,
    max_poison: 10,
    backoff_ms: {100, 30_000},
    poll_ms: 5_000
  ]

  @doc "Checks the options; raises `ArgumentError` that names the wrong one."
  @spec new!(keyword()) :: map()
  def new!(opts) do
    case Keyword.keys(opts) -- [:module, :name | Keyword.keys(@defaults)] do
      [] -> :ok
      [key | _] -> raise ArgumentError, "unknown option #{inspect(key)} for Sidekick.Consumer"
    end

    options = @defaults |> Keyword.merge(opts) |> Map.new()
    name = options[:name]

    unless is_binary(name) and byte_size(name) in 1..255,
      do: raise(ArgumentError, "Sidekick.Consumer needs :name, a binary of 1 to 255 bytes")

    for key <- [:batch, :max_attempts, :max_poison, :poll_ms],
        not (is_integer(options[key]) and options[key] > 0),
        do: raise(ArgumentError, "#{inspect(key)} must be a positive integer, got #{inspect(options[key])}")

    unless options.streams == :all or (is_list(options.streams) and Enum.all?(options.streams, &is_binary/1)),
      do: raise(ArgumentError, ":streams must be :all or a list of binaries, got #{inspect(options.streams)}")

    unless match?(
             {least, most} when is_integer(least) and least > 0 and is_integer(most) and most >= least,
             options.backoff_ms
           ),
           do: raise(ArgumentError, ":backoff_ms must be {first, longest} in ms, got #{inspect(options.backoff_ms)}")

    callbacks!(options[:module])
    options
  end

  defp callbacks!(module) do
    unless module && is_atom(module) && match?({:module, _}, Code.ensure_loaded(module)),
      do: raise(ArgumentError, "Sidekick.Consumer needs :module, a module with its callbacks, got #{inspect(module)}")

    for {name, arity} <- [init: 1, handle_batch: 2, handle_poison: 3], not function_exported?(module, name, arity) do
      raise ArgumentError,
            "#{inspect(module)} has no #{name}/#{arity}: `use Sidekick.Consumer` and define handle_batch/2"
    end
  end
end
