%% Runs on a member of the store, for `scripts/bench upload`: the bare stored procedure, and looks at what is stored.
-module(member).
-export([prepare/4, go/0, await/3, seen/3]).

-define(STORE, sidekick_store).
-define(ORIGIN, <<"00000000-0000-4000-8000-000000000000">>).
%% Nothing here takes longer; a figure that never comes ends the benchmark.
-define(PATIENCE_MS, 100_000).

%% Makes so many records for each of these streams, a process for each, so that nothing is to be decoded or encoded once they go.
%% `Noted`: with Khepri's own protection against repetitions.
prepare(Names, Records, Batch, {Window, Noted}) ->
    Self = self(),
    Path = 'Elixir.Sidekick.Store.Lifecycle':procedure_path(upload),
    Put = fun(Name) ->
        Requests = requests(Name, Records, Batch, Window),
        true = erlang:garbage_collect(),
        Self ! {ready, self()},
        receive go -> ok end,
        [{ok, _} = transaction(Noted, Path, Request) || Request <- Requests],
        Self ! {done, self()}
    end,
    Pids = [element(1, spawn_monitor(fun() -> Put(Name) end)) || Name <- Names],
    each(ready, Pids),
    put(prepared, {Pids, hd(Names)}),
    ok.

%% Puts them by the stored procedure alone, each stream in order. Gives microseconds, and records and bytes that the first
%% stream keeps.
go() ->
    {Pids, Name} = erase(prepared),
    Began = erlang:monotonic_time(microsecond),
    [Pid ! go || Pid <- Pids],
    each(done, Pids),
    Took = erlang:monotonic_time(microsecond) - Began,
    {ok, #{records := Kept, bytes := Bytes}} = 'Elixir.Sidekick.Store':stream(?ORIGIN, Name),
    {Took, Kept, Bytes}.

%% With Khepri's own note that the answer arrived, or as the library does it.
transaction(true, Path, Request) ->
    {ok, Result} = khepri:transaction(?STORE, Path, [Request], rw, #{timeout => ?PATIENCE_MS}),
    Result;
transaction(false, Path, Request) ->
    {ok, Result} = 'Elixir.Sidekick.Store.Once':run(?STORE, Path, [Request], ?PATIENCE_MS),
    Result.

each(What, Pids) ->
    [receive
         {What, Pid} -> ok;
         {'DOWN', _, process, Pid, Reason} when Reason =/= normal -> exit(Reason)
     after ?PATIENCE_MS -> exit({never, What})
     end || Pid <- Pids].

requests(Name, Records, Batch, Window) ->
    Now = erlang:system_time(millisecond),
    [{?ORIGIN, node(), Name, min(First + Batch - 1, Records), [],
      [{Seq, Now, 'Elixir.Sidekick.Store':external(payload(Seq))} || Seq <- lists:seq(First, min(First + Batch - 1, Records))],
      Window, Now}
     || First <- lists:seq(1, Records, Batch)].

%% As the benchmark's own records; that both are of one size is checked.
payload(N) ->
    #{kind => <<"goal">>, by => <<"a player's name">>, tick => N, at => [N / 3.0, 1.5, -0.25]}.

%% Waits until these streams hold so many records together; how long it took until the first was there, and the last.
await(Origin, Names, Total) ->
    Began = erlang:monotonic_time(microsecond),
    await(Origin, Names, Total, Began, none).

await(Origin, Names, Total, Began, First) ->
    Stored = lists:sum([watermark(Origin, Name) || Name <- Names]),
    Now = erlang:monotonic_time(microsecond) - Began,
    if
        Stored >= Total -> {Now, First};
        Now > ?PATIENCE_MS * 1000 -> exit({stored, Stored, 'of', Total});
        true ->
            receive after 5 -> ok end,
            await(Origin, Names, Total, Began, case Stored > 0 andalso First =:= none of true -> Now; false -> First end)
    end.

watermark(Origin, Name) ->
    case 'Elixir.Sidekick.Store':stream(Origin, Name) of
        {ok, #{watermark := Watermark}} -> Watermark;
        {error, not_found} -> 0
    end.

%% Looks at a stream every millisecond until it has so many records: of each how long after it was made it was here, microseconds
%% of the wall clock.
seen(Origin, Name, Count) ->
    seen(Origin, Name, Count, 0, erlang:monotonic_time(millisecond) + ?PATIENCE_MS, []).

seen(_Origin, _Name, Count, Count, _Deadline, Seen) ->
    lists:append(Seen);
seen(Origin, Name, Count, Last, Deadline, Seen) ->
    Now = erlang:system_time(microsecond),
    case watermark(Origin, Name) of
        Last ->
            true = erlang:monotonic_time(millisecond) < Deadline,
            receive after 1 -> ok end,
            seen(Origin, Name, Count, Last, Deadline, Seen);
        More ->
            {ok, Records} = 'Elixir.Sidekick.Store':records(Origin, Name, Last + 1, More - Last),
            New = [Now - Sent || #{payload := #{<<"sent">> := Sent}} <- Records],
            seen(Origin, Name, Count, More, Deadline, [New | Seen])
    end.
