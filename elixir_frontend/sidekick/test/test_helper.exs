# Tests talk to real nodes, so this one needs a name. EPMD may not run yet.
{_, 0} = System.cmd("epmd", ["-daemon"])
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
