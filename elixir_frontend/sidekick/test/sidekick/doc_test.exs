defmodule Sidekick.DocTest do
  use ExUnit.Case, async: true

  doctest Sidekick.Event
  doctest Sidekick, only: [supervisor: 1]
end
