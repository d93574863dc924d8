defmodule SidekickWeb.Test.Case do
  @moduledoc "What tests of pages share: users, a hub that is told a fleet, a browser that has logged in."

  use ExUnit.CaseTemplate

  import ExUnit.Assertions
  import ExUnit.Callbacks
  import Phoenix.ConnTest
  import Phoenix.LiveViewTest
  import Sidekick.Test.FleetStory

  alias Sidekick.Panel
  alias Sidekick.Panel.Hub
  alias SidekickWeb.{Gate, Password, Users}

  @endpoint SidekickWeb.Endpoint
  @names ~w(viewer operator admin)

  using do
    quote do
      import Phoenix.ConnTest
      import Phoenix.LiveViewTest
      import Plug.Conn, only: [get_resp_header: 2, get_session: 2]
      import Sidekick.Test.{Eventually, FleetStory}
      import SidekickWeb.Test.Case

      alias Sidekick.Panel
      alias Sidekick.Panel.{Audit, Hub}

      @endpoint SidekickWeb.Endpoint
    end
  end

  setup do
    load_users()
    Gate.next()
    :ok
  end

  @doc "A user for each role, named like it; the password is NAME and twelve characters."
  def load_users do
    lines = for name <- @names, do: "#{name}:#{name}:#{Password.hash(password(name), 1_000)}"
    Users.load!(Enum.join(["# users of the tests" | lines], "\n"))
  end

  def password(name), do: name <> "-long enough"

  @doc "A browser that has logged in."
  def browser(name) do
    conn = post(build_conn(), "/login", %{"name" => name, "password" => password(name)})
    assert conn.status == 302
    recycle(conn)
  end

  @doc "The hub of the panel, told by the test alone."
  def start_hub!(opts \\ []) do
    # Nodes of the story are nobody's; that they do not answer is no part of it, so nothing is sampled.
    defaults = [connector: :no_connector, store: :sidekick_store, flush_ms: 5, sample_ms: 3_600_000]
    start_supervised!({Panel, Keyword.merge(defaults, opts)})
    Keyword.get(opts, :name, Hub)
  end

  @doc "Tells the hub, and waits until it is published."
  def tell(inputs, hub \\ Hub) do
    before = :ets.lookup_element(hub, :version, 2)
    Enum.each(inputs, &GenServer.cast(hub, {:input, &1}))
    Sidekick.Test.Eventually.eventually(fn -> :ets.lookup_element(hub, :version, 2) > before end)
  end

  @doc "So many sidekicks with so many servers, as inputs."
  def fleet(sidekicks, servers, opts \\ []) do
    Enum.flat_map(nodes(sidekicks), fn node ->
      [{:up, node}, {:answers, node, answers(for(n <- 1..servers//1, do: "s#{n}"), opts)}]
    end)
  end

  @doc "Waits until a page shows something; it is told by messages, and nothing tells when it has rendered."
  def shows(view, selector, text \\ nil),
    do: Sidekick.Test.Eventually.eventually(fn -> has_element?(view, selector, text) end)

  def page!(name, path) do
    {:ok, view, _html} = name |> browser() |> live(path)
    view
  end
end
