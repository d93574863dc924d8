# The pages talk to real nodes and a real store, so this one needs a name. EPMD may not run yet; `epmd -daemon` returns before it listens.
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

{:ok, _} = :net_kernel.start(:"sidekick_web_test_#{System.pid()}@127.0.0.1", %{name_domain: :longnames})
Node.set_cookie(:sidekick_web_test)

# One store for all: to start one takes a second.
dir = Path.join(System.tmp_dir!(), "sidekick_web_test_#{System.pid()}")
System.at_exit(fn _ -> File.rm_rf!(dir) end)

{:ok, _} =
  Supervisor.start_link(
    [
      {Sidekick, data_dir: dir},
      {Phoenix.PubSub, name: SidekickWeb.PubSub},
      SidekickWeb.Endpoint,
      SidekickWeb.Test.HostEndpoint
    ],
    strategy: :one_for_one
  )

:ok = SidekickWeb.Test.Case.load_users()

cond do
  System.get_env("SIDEKICK_BIN") ->
    ExUnit.start()

  System.get_env("SIDEKICK_TEST_ALL") ->
    raise "SIDEKICK_BIN is unset: it must be the path of the built sidekick, for the tests against it"

  true ->
    IO.puts(
      :stderr,
      "\nNOTE: SIDEKICK_BIN is unset, so the tests against the real sidekick (tag :integration) do NOT run.\n"
    )

    ExUnit.start(exclude: [:integration])
end
