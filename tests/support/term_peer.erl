%% OTP's own term codec at the other end of a socket, for tests/etf_otp.rs. Each packet is a request, each answer a packet.
-module(term_peer).
-export([start/1]).

%% Answers on a connection to this port of 127.0.0.1 until it closes.
start(Port) ->
    spawn(fun() ->
        {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {packet, 4}, {active, false}]),
        loop(Socket, [])
    end).

loop(Socket, Kept) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Request} ->
            {Answer, Next} = handle(binary_to_term(Request), Kept),
            ok = gen_tcp:send(Socket, term_to_binary(Answer)),
            loop(Socket, Next);
        {error, closed} ->
            ok
    end.

%% Each payload as OTP writes it after having read it; an empty binary where OTP refuses to read it.
handle({reencode, Options, Payloads}, Kept) ->
    {[reencode(Payload, Options) || Payload <- Payloads], Kept};
%% So many random terms in external form. They are kept for `compare`.
handle({make, Seed, Count, Options}, _) ->
    rand:seed(exsss, Seed),
    Terms = [term(rand:uniform(5) - 1) || _ <- lists:seq(1, Count)],
    {[term_to_binary(Term, Options) || Term <- Terms], Terms};
%% Numbers of the payloads that are not exactly the kept terms.
handle({compare, Payloads}, Kept) ->
    {[N || {N, Payload, Term} <- lists:zip3(lists:seq(1, length(Kept)), Payloads, Kept),
           binary_to_term(Payload) =/= Term], Kept};
%% Numbers of the pairs whose sides are not exactly the same term.
handle({differ, Pairs}, Kept) ->
    {[N || {N, {A, B}} <- lists:enumerate(Pairs), binary_to_term(A) =/= binary_to_term(B)], Kept}.

reencode(Payload, Options) ->
    try binary_to_term(Payload) of
        Term -> term_to_binary(Term, Options)
    catch
        error:badarg -> <<>>
    end.

%% Any term that a BEAM can make.
term(0) -> leaf(rand:uniform(26));
term(Depth) ->
    case rand:uniform(7) of
        1 -> list_to_tuple(terms(Depth));
        2 -> terms(Depth);
        3 -> terms(Depth) ++ leaf(rand:uniform(26));
        4 -> maps:from_list([{term(Depth - 1), term(Depth - 1)} || _ <- lists:seq(1, rand:uniform(6) - 1)]);
        5 -> Env = term(Depth - 1), fun(X) -> {X, Env} end;
        _ -> leaf(rand:uniform(26))
    end.

terms(Depth) -> [term(Depth - 1) || _ <- lists:seq(1, rand:uniform(6) - 1)].

leaf(1) -> rand:uniform(1000) - 500;
leaf(2) -> (rand:uniform(1 bsl 62) - 1) bsl rand:uniform(2000);
leaf(3) -> -rand:uniform(1 bsl 64);
leaf(4) -> element(rand:uniform(10), {0, 255, 256, -1, 1 bsl 31, -(1 bsl 31), 1 bsl 63, -(1 bsl 63), (1 bsl 64) - 1, 1 bsl 2040});
leaf(5) -> random_float();
leaf(6) -> element(rand:uniform(6), {0.0, -0.0, 5.0e-324, 1.7976931348623157e308, 2.2250738585072014e-308, -1.0});
leaf(7) -> rand:normal() * math:pow(10, rand:uniform(200) - 100);
leaf(8) -> atom(rand:uniform(20), 255);
leaf(9) -> atom(rand:uniform(20), 127);
leaf(10) -> atom(rand:uniform(255), 6000);
leaf(11) -> '';
leaf(12) -> rand:bytes(rand:uniform(100));
leaf(13) -> <<>>;
leaf(14) -> N = rand:uniform(63), <<(rand:uniform(1 bsl 62)):N>>;
leaf(15) -> self();
leaf(16) -> make_ref();
leaf(17) -> hd(erlang:ports());
leaf(18) -> alias();
leaf(19) -> element(rand:uniform(3), {fun lists:map/2, fun nowhere:at_all/255, fun ?MODULE:start/1});
leaf(20) -> X = rand:uniform(9), fun(Y) -> {X, Y} end;
leaf(21) -> [];
leaf(22) -> [rand:uniform(256) - 1 || _ <- lists:seq(1, rand:uniform(200))];
leaf(23) -> binary_to_term(<<131, 103, 119, 3, "a@b", (rand:uniform(1 bsl 28)):32, 0:32, (rand:uniform(3))>>);
leaf(24) -> binary_to_term(<<131, 120, 119, 3, "a@b", (rand:uniform(1 bsl 62)):64, (rand:uniform(1 bsl 32) - 1):32>>);
leaf(25) -> binary_to_term(<<131, 90, 3:16, 119, 3, "a@b", 4:32, (rand:bytes(12))/binary>>);
leaf(26) ->
    case rand:uniform(1000) of
        1 -> lists:duplicate(70000, 7);
        2 -> list_to_tuple(lists:seq(1, 300));
        3 -> rand:bytes(100000);
        4 -> maps:from_keys(lists:seq(1, 500), a);
        _ -> maps:from_keys(lists:seq(1, rand:uniform(40)), <<"v">>)
    end.

%% The atoms of a BEAM are never freed: so few.
atom(Length, Highest) ->
    Start = rand:uniform(50),
    list_to_atom([1 + (Start * N) rem Highest || N <- lists:seq(1, Length), ((Start * N) rem Highest) < 55295]).

random_float() ->
    case rand:bytes(8) of
        <<F:64/float>> -> F;
        _ -> random_float()
    end.
