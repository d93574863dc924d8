defmodule SidekickWeb.Password do
  @moduledoc """
  Passwords as they are kept: PBKDF2 with HMAC-SHA-512, a salt of 16 bytes, and so many rounds that a guess costs time.

      iex> kept = SidekickWeb.Password.hash("correct horse", 1_000)
      iex> {SidekickWeb.Password.verify("correct horse", kept), SidekickWeb.Password.verify("wrong", kept)}
      {true, false}
  """

  # What OWASP advises for this function at the least.
  @rounds 210_000
  @rounds_max 10_000_000
  @bytes 32
  @length_max 200

  @doc "A new hash: `pbkdf2-sha512$ROUNDS$SALT$HASH`."
  @spec hash(String.t(), pos_integer()) :: String.t()
  def hash(password, rounds \\ @rounds) when byte_size(password) in 1..@length_max do
    salt = :crypto.strong_rand_bytes(16)
    "pbkdf2-sha512$#{rounds}$#{encode(salt)}$#{encode(derive(password, salt, rounds))}"
  end

  @doc "Whether the password is that of the hash. Without a hash it takes as long, and is false: nobody learns which names exist."
  @spec verify(String.t(), String.t() | nil) :: boolean()
  def verify(password, kept) when is_binary(password) and byte_size(password) in 1..@length_max do
    case kept && parse(kept) do
      {:ok, rounds, salt, hash} ->
        :crypto.hash_equals(hash, derive(password, salt, rounds))

      _ ->
        _ = derive(password, <<0::128>>, @rounds)
        false
    end
  end

  def verify(_password, _kept), do: false

  @doc "Whether it is a hash of this form."
  @spec valid?(String.t()) :: boolean()
  def valid?(kept), do: match?({:ok, _, _, _}, parse(kept))

  defp parse(kept) do
    with ["pbkdf2-sha512", rounds, salt, hash] <- String.split(kept, "$"),
         {rounds, ""} when rounds in 1..@rounds_max <- Integer.parse(rounds),
         {:ok, salt} when byte_size(salt) >= 16 <- Base.url_decode64(salt, padding: false),
         {:ok, hash} when byte_size(hash) == @bytes <- Base.url_decode64(hash, padding: false) do
      {:ok, rounds, salt, hash}
    else
      _ -> :error
    end
  end

  defp derive(password, salt, rounds), do: :crypto.pbkdf2_hmac(:sha512, password, salt, rounds, @bytes)
  defp encode(bytes), do: Base.url_encode64(bytes, padding: false)
end
