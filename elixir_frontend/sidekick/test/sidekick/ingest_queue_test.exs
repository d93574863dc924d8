defmodule Sidekick.IngestQueueTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Sidekick.Test.Uploads

  alias Sidekick.Test.Instance

  @deadline 15_000

  # Holds an upload until the test lets it pass.
  def gate("held", test) do
    send(test, {:held, self()})

    receive do
      :pass -> :ok
    end
  end

  def gate(_stream, _payload), do: :ok

  defp start!(opts), do: Instance.start!([validate: {__MODULE__, :gate}] ++ opts)

  # From this process, as what it asks afterwards comes after it.
  defp send!(instance, request), do: :gen_server.send_request(instance.ingest, request)

  defp answer(request) do
    {:reply, reply} = :gen_server.receive_response(request, @deadline)
    reply
  end

  defp hold(instance) do
    sent = send!(instance, upload("held", 1, 1, merge: [records: [%{seq: 1, at_ms: 1, payload: self()}]]))
    assert_receive {:held, worker}, @deadline
    {sent, worker}
  end

  test "a validation that takes its time holds up nobody else" do
    instance = start!([])
    {sent, worker} = hold(instance)
    assert {:ok, %{watermark: 3}} = Instance.call(instance, upload("s", 1, 3))
    assert {:ok, %{watermark: 0}} = Instance.call(instance, {:watermark, origin(), "held"})
    send(worker, :pass)
    assert {:ok, %{watermark: 1}} = answer(sent)
  end

  test "a validation that does not come to an end is ended and told; nothing of the upload is stored" do
    instance = start!(timeout_ms: 100)

    {{sent, worker}, log} =
      with_log(fn ->
        {sent, worker} = hold(instance)
        {answer(sent), worker}
      end)

    assert sent == {:error, {:timeout, %{}}}
    refute Process.alive?(worker)
    assert log =~ "sidekick upload: ended after 1100 ms without an answer"
    assert {:ok, %{watermark: 0}} = Instance.call(instance, {:watermark, origin(), "held"})
  end

  test "those beyond max_concurrency wait for their turn, those beyond max_queue are refused" do
    instance = start!(max_concurrency: 1, max_queue: 2)
    {held, worker} = hold(instance)
    [first, second, refused] = for n <- 1..3, do: send!(instance, upload("s", n, n))
    assert {:error, {:busy, %{waiting: 2}}} = answer(refused)
    send(worker, :pass)
    assert {:ok, %{watermark: 1}} = answer(held)
    assert {:ok, %{watermark: 1}} = answer(first)
    assert {:ok, %{watermark: 2}} = answer(second)
    assert {:ok, %{watermark: 3}} = Instance.call(instance, upload("s", 3, 3))
  end

  test "one whose process is killed before its turn is answered and leaves its place" do
    instance = start!(max_concurrency: 1, max_queue: 1)
    {held, worker} = hold(instance)
    waiting = send!(instance, upload("s", 1, 1))
    %{waiting: queue} = :sys.get_state(instance.ingest)
    [%{pid: pid}] = :queue.to_list(queue)
    Process.exit(pid, :kill)
    assert {:error, {:failed, %{}}} = answer(waiting)
    again = send!(instance, upload("s", 1, 2))
    send(worker, :pass)
    assert {:ok, %{watermark: 1}} = answer(held)
    assert {:ok, %{watermark: 2}} = answer(again)
  end

  test "those that wait end with the process that they wait for" do
    instance = start!(max_concurrency: 1)
    {_held, worker} = hold(instance)
    _waiting = send!(instance, upload("s", 1, 1))
    %{waiting: queue} = :sys.get_state(instance.ingest)
    [%{pid: pid}] = :queue.to_list(queue)
    ref = Process.monitor(pid)
    Process.exit(Process.whereis(instance.ingest), :kill)
    assert_receive {:DOWN, ^ref, _, _, _}, @deadline
    send(worker, :pass)
  end
end
