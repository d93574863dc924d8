defmodule Sidekick.Panel.DocTest do
  use ExUnit.Case, async: true

  doctest Sidekick.Panel.Access
  doctest Sidekick.Panel.Browser
  doctest Sidekick.Panel.Chart
  doctest Sidekick.Panel.Crash
  doctest Sidekick.Panel.Format
  doctest Sidekick.Panel.Host
  doctest Sidekick.Panel.LogTail
  doctest Sidekick.Panel.Notice
  doctest Sidekick.Panel.Query
  doctest Sidekick.Panel.Ring
end
