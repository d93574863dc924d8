# Tests talk to real nodes, so this one needs a name. EPMD may not run yet; `epmd -daemon` returns before it listens.
{_, 0} = System.cmd("epmd", ["-daemon"])
deadline = System.monotonic_time(:millisecond) + 10_000

Stream.repeatedly(fn -> :erl_epmd.names(~c"127.0.0.1") end)
|> Enum.find(fn
  {:ok, _names} ->
    true

  {:error, reason} ->
    if System.monotonic_time(:millisecond) > deadline, do: raise("EPMD does not answer: #{inspect(reason)}")
    # sleep: another process starts to listen, and nothing tells when
    Process.sleep(20)
    false
end)

name = :"sidekick_test_#{System.pid()}@127.0.0.1"
{:ok, _} = :net_kernel.start(name, %{name_domain: :longnames})
Node.set_cookie(:sidekick_library_test)

cond do
  System.get_env("SIDEKICK_BIN") ->
    ExUnit.start()

  System.get_env("SIDEKICK_TEST_ALL") ->
    raise "SIDEKICK_BIN is unset: it must be the path of the built sidekick, for the tests against it"

  true ->
    IO.puts(:stderr, """

    NOTE: SIDEKICK_BIN is unset, so the tests against the real sidekick (tag :integration) do NOT run.
          SIDEKICK_BIN=../../target/release/sidekick mix test   runs them all; scripts/test insists on it.
    """)

    ExUnit.start(exclude: [:integration])
end
