defmodule Sidekick.Store.Paths do
  @moduledoc """
  Where things stand in the Khepri tree. Components are atoms of ours or binaries of users, never atoms made of users' data.

      [:sidekick, :store]                                        %{uuid:, created_ms:}
      [:sidekick, :nodes, node]                                  %{origin:, since_ms:}
      [:sidekick, :origins, origin, :streams, stream]            head: %{watermark:, hash:, first:, records:, bytes:, dropped:, updated_ms:}
      [:sidekick, :origins, origin, :streams, stream, :window]   which batches are kept (see `Sidekick.Store.Procedures`)
      [:sidekick, :origins, origin, :streams, stream, :batches, <<last::64>>]
                                                                 [{seq, at_ms, external_term}], oldest first
      [:sidekick, :state, origin, scope]                         %{epoch:, rev:, updated_ms:}
      [:sidekick, :state, origin, scope, key]                    the term itself
      [:sidekick, :consumers, name]                              %{holder:}: which of several processes handles records
      [:sidekick, :consumers, name, origin, stream]              %{watermark:, updated_ms:} (`Sidekick.Consumer`)
      [:sidekick, :consumers, name, origin, stream, :dead, <<seq::64>>]
                                                                 %{record:, reason:, at_ms:}
      [:sidekick, :fleet, node, id]                              what should run there (`Sidekick.Fleet`)
      [:sidekick, :fleet_applied, node, id]                      what the fleet put there
      [:sidekick, :panel, :seen, node]                           what a sidekick was like when it was last seen (`Sidekick.Panel.Memory`)
      [:sidekick, :panel, :audit, :done | :denied, id]           who did what (`Sidekick.Panel.Audit`)
      [:sidekick, :procedures, name]                             stored procedures
  """

  @type path :: [atom() | binary()]

  @doc "Identity of the store."
  @spec store() :: path()
  def store, do: [:sidekick, :store]

  @doc "All sidekick nodes that ever uploaded."
  @spec nodes() :: path()
  def nodes, do: [:sidekick, :nodes]

  @doc "All origins that ever uploaded."
  @spec origins() :: path()
  def origins, do: [:sidekick, :origins]

  @doc "The streams of an origin."
  @spec streams(binary()) :: path()
  def streams(origin), do: [:sidekick, :origins, origin, :streams]

  @doc "Head of a stream."
  @spec stream(binary(), binary()) :: path()
  def stream(origin, stream), do: [:sidekick, :origins, origin, :streams, stream]

  @doc "The kept batches of a stream."
  @spec window(binary(), binary()) :: path()
  def window(origin, stream), do: stream(origin, stream) ++ [:window]

  @doc "One batch, named by its last sequence."
  @spec batch(binary(), binary(), pos_integer()) :: path()
  def batch(origin, stream, last), do: stream(origin, stream) ++ [:batches, <<last::64>>]

  @doc "All origins that ever uploaded state."
  @spec states() :: path()
  def states, do: [:sidekick, :state]

  @doc "The state scopes of an origin."
  @spec scopes(binary()) :: path()
  def scopes(origin), do: [:sidekick, :state, origin]

  @doc "A state scope; its children are the values."
  @spec scope(binary(), binary()) :: path()
  def scope(origin, scope), do: [:sidekick, :state, origin, scope]

  @doc "A stored procedure."
  @spec procedure(binary()) :: path()
  def procedure(name), do: [:sidekick, :procedures, name]
end
