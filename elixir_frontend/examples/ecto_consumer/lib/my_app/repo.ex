defmodule MyApp.Repo do
  use Ecto.Repo, otp_app: :ecto_consumer, adapter: Ecto.Adapters.Postgres
end
