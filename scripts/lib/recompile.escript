#!/usr/bin/env escript
%% recompile.escript DIR: compiles every module below DIR/*/ebin anew from the abstract code that it carries, for the OTP that runs
%% this. What a newer OTP compiled does not load on an older one; its debug information reads on both, though beam_lib of the older
%% one refuses the file, so that the chunk is looked for here.
-mode(compile).

main([Dir]) ->
    Files = filelib:wildcard(filename:join(Dir, "*/ebin/*.beam")),
    Failed = [{File, Why} || File <- Files, (Why = recompile(File)) =/= ok],
    io:format("~p modules compiled anew~n", [length(Files) - length(Failed)]),
    [io:format(standard_error, "~ts: ~P~n", [File, Why, 20]) || {File, Why} <- Failed],
    halt(case Failed of [] when Files =/= [] -> 0; _ -> 1 end).

recompile(File) ->
    {ok, <<"FOR1", _:32, "BEAM", Chunks/binary>>} = file:read_file(File),
    case debug_info(Chunks) of
        {debug_info_v1, erl_abstract_code, {Forms, _}} when is_list(Forms) ->
            case compile:forms(Forms, [binary, debug_info, return_errors]) of
                {ok, _Module, Beam} -> file:write_file(File, Beam);
                Errors -> Errors
            end;
        _ ->
            no_abstract_code
    end.

debug_info(<<"Dbgi", Size:32, Bytes:Size/binary, _/binary>>) ->
    binary_to_term(Bytes);
debug_info(<<_:4/binary, Size:32, Rest/binary>>) ->
    Padded = (Size + 3) div 4 * 4,
    <<_:Padded/binary, Next/binary>> = Rest,
    debug_info(Next);
debug_info(_) ->
    none.
