%% Procedures of the store with the check of the watermark taken away: what was stored is stored again, and whoever asks how
%% far the store has come is told too little. Only a test that has to see duplicates installs them.
-module(forgetful).
-export([install/0, upload/1, watermark/1]).

-define(LESS, 40).

install() ->
    Path = fun(Name) -> 'Elixir.Sidekick.Store.Lifecycle':procedure_path(Name) end,
    ok = khepri:put(sidekick_store, Path(upload), fun(Request) -> forgetful:upload(Request) end),
    ok = khepri:put(sidekick_store, Path(watermark), fun(Request) -> forgetful:watermark(Request) end).

upload({Origin, _Node, Stream, _Last, _Dropped, [{First, _, _} | _], _Window, _Now} = Request) ->
    Path = [sidekick, origins, Origin, streams, Stream],
    case khepri_tx:get(Path) of
        {ok, #{watermark := Watermark} = Head} when Watermark >= First ->
            ok = khepri_tx:put(Path, maps:put(watermark, First - 1, Head));
        _ ->
            ok
    end,
    'Elixir.Sidekick.Store.Procedures':upload(Request);
upload(Request) ->
    'Elixir.Sidekick.Store.Procedures':upload(Request).

watermark(Request) ->
    {ok, Watermark} = 'Elixir.Sidekick.Store.Procedures':watermark(Request),
    {ok, max(0, Watermark - ?LESS)}.
