defmodule SidekickWeb.Layouts do
  @moduledoc "What stands around every page."

  use Phoenix.Component

  import Phoenix.Controller, only: [get_csrf_token: 0]
  import SidekickWeb.Parts

  alias Phoenix.LiveView.JS
  alias Sidekick.Panel.{Access, Format}
  alias SidekickWeb.{Actions, Assets}

  def root(assigns) do
    ~H"""
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="csrf-token" content={get_csrf_token()} />
        <meta name="now" content={System.os_time(:millisecond)} />
        <meta :if={assigns[:mounted]} name="live-path" content={@mounted.live_socket_path} />
        <.live_title default="panel" suffix=" · sidekick">{assigns[:page_title]}</.live_title>
        <link rel="icon" href={Assets.path(@base, "icon.svg")} />
        <link rel="stylesheet" href={Assets.path(@base, "app.css")} />
        <script :if={assigns[:mounted]} defer src={Assets.path(@base, "phoenix.min.js")}></script>
        <script :if={assigns[:mounted]} defer src={Assets.path(@base, "phoenix_live_view.min.js")}></script>
        <script :if={assigns[:mounted]} defer src={Assets.path(@base, "app.js")}></script>
      </head>
      <body>{@inner_content}</body>
    </html>
    """
  end

  @doc "Head, navigation, notices and the dialog, around the page that is in `@page`."
  def frame(assigns) do
    ~H"""
    <a class="skip" href="#main">To the content</a>
    <header class="top">
      <.link navigate={@base <> "/"} class="brand"><span class="mark" aria-hidden="true"></span>sidekick</.link>
      <nav aria-label="Pages">
        <.link :for={{page, path, text} <- entries(@user)} navigate={@base <> path} aria-current={page == @page && "page"}>
          {text}<span :if={page == :fleet and @totals && @totals.attention > 0} class="count" title="things that need attention">
            {Format.count(@totals.attention)}<span class="hidden-text"> need attention</span></span>
        </.link>
      </nav>
      <div class="who">
        <span title={"role: #{@user.role}"}>{@user.name} <small>{@user.role}</small></span>
        <form :if={@mounted.login && @user[:expires_ms]} action="/logout" method="post">
          <input type="hidden" name="_csrf_token" value={get_csrf_token()} />
          <button class="plain">Log out</button>
        </form>
      </div>
    </header>
    <div
      id="lost"
      class="bar error"
      role="alert"
      hidden
      phx-disconnected={JS.remove_attribute("hidden", to: ".phx-client-error #lost, .phx-server-error #lost")}
      phx-connected={JS.set_attribute({"hidden", ""})}
    >
      The connection to the panel is lost. What is shown is from before; it goes on by itself once the panel answers.
    </div>
    <div :if={@store_notice} class="bar error" role="alert"><strong>{@store_notice.text}</strong> {@store_notice.todo}</div>
    <div class="flashes" aria-live="polite">
      <p :for={{_ref, action} <- @working} class="bar working"><span class="spin" aria-hidden="true"></span>{Actions.what(action)} …</p>
      <p :for={{kind, text} <- @flash} class={["bar", kind]} role={if kind == "error", do: "alert", else: "status"}>
        {text} <button class="plain" phx-click="close_flash" aria-label="Close this message">✕</button>
      </p>
    </div>
    <main id="main" tabindex="-1">{@inner_content}</main>
    <.question :if={@confirm} confirm={@confirm} />
    """
  end

  defp entries(user) do
    [{:fleet, "/", "Fleet"}, {:crashes, "/crashes", "Crashes"}, {:store, "/store", "Streams and store"}] ++
      if Access.may?(user, :view_audit), do: [{:audit, "/audit", "Audit"}], else: []
  end
end
