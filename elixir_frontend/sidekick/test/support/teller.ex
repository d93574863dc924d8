defmodule Sidekick.Test.Teller do
  @moduledoc "A consumer that tells a test what it is given: `{:handled, node, seqs}`."

  use Sidekick.Consumer

  @impl true
  def handle_batch(batch, test) do
    send(test, {:handled, node(), Enum.map(batch.records, & &1.seq)})
    {:ok, test}
  end
end
