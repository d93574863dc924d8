defmodule Sidekick.Consumer.Batch do
  @moduledoc """
  Records of one stream, in order, for `c:Sidekick.Consumer.handle_batch/2`.

    * `:origin`, `:stream` - where they come from
    * `:records` - `%{seq:, at_ms:, payload:}`, at least one
    * `:first`, `:last` - the sequences of the first and the last of them
    * `:missed` - how many sequences between what was handled before and `:first` are not in the store: the origin
      dropped them, or they fell out of the window that is kept before they were handled
    * `:attempt` - 1, 2, ...: how often these records have been tried
  """

  @enforce_keys [:origin, :stream, :records, :first, :last]
  defstruct [:origin, :stream, :records, :first, :last, missed: 0, attempt: 1]

  @type t :: %__MODULE__{
          origin: binary(),
          stream: binary(),
          records: [Sidekick.Store.record(), ...],
          first: pos_integer(),
          last: pos_integer(),
          missed: non_neg_integer(),
          attempt: pos_integer()
        }

  @doc false
  @spec new(binary(), binary(), [Sidekick.Store.record(), ...], non_neg_integer(), pos_integer()) :: t()
  def new(origin, stream, [%{seq: first} | _] = records, cursor, attempt) do
    last = List.last(records).seq
    lost = last - cursor - length(records)

    %__MODULE__{
      origin: origin,
      stream: stream,
      records: records,
      first: first,
      last: last,
      missed: lost,
      attempt: attempt
    }
  end
end
