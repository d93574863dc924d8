defmodule Sidekick.Panel.RecordedTest do
  @moduledoc """
  What a panel took in from a real sidekick while `scripts/demo` told its story: Godot is crashed, hangs, sidekick is killed and adopts it,
  it is stopped. Made with `test/support/record_panel.exs`; the same inputs always give the same model.
  """
  use ExUnit.Case, async: true

  alias Sidekick.Panel.{Attention, Model, Query, Ring, Row, Server}

  @recording Path.expand("../../recordings/demo.terms", __DIR__)
  @node :"sidekick@127.0.0.1"
  @lobby {@node, "lobby"}

  setup_all do
    {:ok, taken} = :file.consult(@recording)
    %{taken: taken}
  end

  defp play(taken),
    do: Enum.reduce(taken, Model.new(), fn {input, now_ms}, model -> Model.reduce(model, input, now_ms) end)

  # The model after each input, with that input.
  defp steps(taken) do
    Enum.scan(taken, {nil, nil, Model.new()}, fn {input, now_ms}, {_, _, model} ->
      {input, now_ms, Model.reduce(model, input, now_ms)}
    end)
  end

  defp state(model), do: with(%Server{state: state} <- model.servers[@lobby], do: state)

  defp in_order?([], _told), do: true
  defp in_order?(_wanted, []), do: false
  defp in_order?([kind | wanted], [kind | told]), do: in_order?(wanted, told)
  defp in_order?(wanted, [_ | told]), do: in_order?(wanted, told)

  test "the story is told by the timeline, in its order and once", %{taken: taken} do
    model = play(taken)
    server = model.servers[@lobby]
    told = server.timeline |> Enum.reverse() |> Enum.map(& &1.kind)

    assert in_order?([:ended, :crash, :playing, :hang, :ended, :crash, :playing, :ended], told)
    texts = Enum.map_join(server.timeline, "\n", & &1.text)
    assert texts =~ "SIGSEGV" and texts =~ "res://main.gd"
    assert [%{number: 2, script_line: "res://main.gd:" <> _}, %{number: 1}] = model.crashes
    assert server.state == :stopped
  end

  test "at every moment there is one picture that holds together", %{taken: taken} do
    steps = steps(taken)

    for {_input, now_ms, model} <- steps, server = model.servers[@lobby] do
      row = Row.of_server(server, Attention.of_server(server, Attention.limits(), now_ms))
      assert %{rows: [%{state: state}]} = Query.run(%Query{}, [row])
      assert state == server.state

      assert Enum.map(model.crashes, & &1.number) ==
               model.crashes |> Enum.map(& &1.number) |> Enum.sort(:desc) |> Enum.dedup()

      assert Enum.sort_by(server.timeline, & &1.at_ms, :desc) |> Enum.map(& &1.at_ms) ==
               Enum.map(server.timeline, & &1.at_ms)

      assert Enum.all?(Ring.series(server.samples, :players), fn {_, players} -> players == nil or players == 6.0 end)
    end

    states = steps |> Enum.map(fn {_, _, model} -> state(model) end) |> Enum.dedup()
    assert :unresponsive in states and :backing_off in states and :running in states
  end

  test "while sidekick is away the panel says so and keeps what it knew", %{taken: taken} do
    away =
      for {_, now_ms, %{hosts: %{@node => %{state: :offline} = host}} = model} <- steps(taken),
          do: {now_ms, host, model}

    assert [{now_ms, host, model} | _] = Enum.filter(away, fn {_, _, model} -> state(model) == :running end)
    assert [%{code: :offline, sentence: sentence}] = Attention.of_host(host, Attention.limits(), now_ms)
    assert sentence =~ "Its games play on"
    assert model.servers[@lobby].timeline != []
  end
end
