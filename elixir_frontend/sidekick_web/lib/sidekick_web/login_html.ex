defmodule SidekickWeb.LoginHTML do
  @moduledoc false

  use Phoenix.Component

  import Phoenix.Controller, only: [get_csrf_token: 0]

  def form(assigns) do
    ~H"""
    <main class="login" id="main">
      <h1><span class="mark" aria-hidden="true"></span>sidekick</h1>
      <p :if={@problem} class="notice error" role="alert">{@problem}</p>
      <form action="/login" method="post">
        <input type="hidden" name="_csrf_token" value={get_csrf_token()} />
        <input type="hidden" name="back" value={@back} />
        <label for="name">Name</label>
        <input id="name" name="name" value={@name} autocomplete="username" required maxlength="64" autofocus />
        <label for="password">Password</label>
        <input id="password" name="password" type="password" autocomplete="current-password" required maxlength="200" />
        <button class="primary">Log in</button>
      </form>
    </main>
    """
  end

  def closed(assigns) do
    ~H"""
    <main class="login" id="main">
      <h1><span class="mark" aria-hidden="true"></span>sidekick</h1>
      <p class="notice error" role="alert">The panel is closed: no user is configured.</p>
      <p>Make a line for each user, put the lines into a file, name it in <code>SIDEKICK_WEB_USERS_FILE</code>, and start the panel again:</p>
      <pre tabindex="0">mix sidekick_web.user ann admin &gt;&gt; users</pre>
    </main>
    """
  end
end

defmodule SidekickWeb.ErrorHTML do
  @moduledoc false

  def render(template, _assigns) do
    "#{Phoenix.Controller.status_message_from_template(template)}. Go back, or look at this node's log."
  end
end
