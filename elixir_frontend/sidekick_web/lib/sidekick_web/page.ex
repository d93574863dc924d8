defmodule SidekickWeb.Page do
  @moduledoc false
  # What every page uses.

  defmacro __using__(_opts) do
    quote do
      use Phoenix.LiveView, layout: {SidekickWeb.Layouts, :frame}

      @behaviour SidekickWeb.Follow

      import SidekickWeb.Parts

      alias Sidekick.Panel
      alias Sidekick.Panel.{Format, Notice}
      alias SidekickWeb.{Access, Names, Told}
    end
  end
end
