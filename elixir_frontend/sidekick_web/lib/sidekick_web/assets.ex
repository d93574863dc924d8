defmodule SidekickWeb.Assets do
  @moduledoc """
  Serves the few files that the pages need, those of Phoenix and LiveView from their own packages: there is no bundler.

  A file's address has a version made from all of them, so that a browser keeps it for good and has a new one at once.
  """

  @behaviour Plug

  @of %{
    "app.js" => :sidekick_web,
    "app.css" => :sidekick_web,
    "icon.svg" => :sidekick_web,
    "phoenix.min.js" => :phoenix,
    "phoenix_html.js" => :phoenix_html,
    "phoenix_live_view.min.js" => :phoenix_live_view
  }
  @forever "public, max-age=31536000, immutable"

  @doc "The address of a file, for a panel mounted at `base`."
  @spec path(String.t(), String.t()) :: String.t()
  def path(base, file), do: "#{base}/assets/#{file}?vsn=#{version()}"

  @impl Plug
  def init(opts), do: opts

  @impl Plug
  def call(%Plug.Conn{path_params: %{"file" => [file]}} = conn, _opts) when is_map_key(@of, file) do
    opts =
      Plug.Static.init(
        at: "/",
        from: {@of[file], "priv/static"},
        only: [file],
        cache_control_for_vsn_requests: @forever
      )

    # Plug.Static looks at the whole path, of which the first part is where the panel is mounted.
    # A script is refused by the protection against forgery as something that another site might read; these are public.
    conn = Plug.Conn.put_private(%{conn | path_info: [file], script_name: []}, :plug_skip_csrf_protection, true)

    case Plug.Static.call(conn, opts) do
      %{halted: true} = sent -> sent
      _ -> missing(conn)
    end
  end

  def call(conn, _opts), do: missing(conn)

  defp missing(conn), do: conn |> Plug.Conn.send_resp(404, "no such file") |> Plug.Conn.halt()

  defp version do
    with nil <- :persistent_term.get(__MODULE__, nil) do
      files = for {file, app} <- Enum.sort(@of), do: File.read!(Application.app_dir(app, "priv/static/#{file}"))
      version = :sha256 |> :crypto.hash(files) |> Base.encode16(case: :lower) |> binary_part(0, 12)
      :persistent_term.put(__MODULE__, version)
      version
    end
  end
end
