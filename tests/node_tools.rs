//! What OTP's tools ask of a node: remote calls of every kind, `observer`, dashboards, `c` and `iex` helpers. We answer
//! or refuse; the asking side sees a value, an error or a blank, and never hangs.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;

use beam::{Beam, COOKIE, Epmd, unique};
use sidekick::etf::Term;
use sidekick::node::{Node, NodeOptions};
use sidekick::shutdown::Shutdown;

struct Pair {
    node: Node,
    beam: Beam,
    _epmd: Epmd,
}

/// A connected pair; the shell has `N`, and `Try`, which calls every way and gives what each made of it.
async fn pair(change: impl FnOnce(&mut NodeOptions)) -> Pair {
    let epmd = Epmd::start().await;
    let name = unique("sidekick");
    let mut options = echo::options(&name, COOKIE, epmd.port);
    change(&mut options);
    echo::logs();
    let node = Node::start(options, Shutdown::new()).await.unwrap();
    node.serve_functions(echo::sums());
    let mut beam = Beam::start(&unique("beam"), epmd.port).await;
    beam.eval(&format!("N = '{name}', pong = net_adm:ping(N)."))
        .await;
    Pair {
        node,
        beam,
        _epmd: epmd,
    }
}

impl Pair {
    async fn shows(&mut self, code: &str, expected: &str) {
        assert_eq!(self.beam.show(code).await, expected, "{code}");
    }

    async fn all_show(&mut self, cases: &[(&str, &str)]) {
        for (code, expected) in cases {
            self.shows(code, expected).await;
        }
    }
}

#[tokio::test]
async fn every_kind_of_remote_call() {
    let mut pair = pair(|_| ()).await;
    pair.all_show(&[
        ("rpc:call(N, sidekick, add, [1, 2]).", "3"),
        ("rpc:call(N, sidekick, add, [1, 2], 20000).", "3"),
        ("rpc:block_call(N, sidekick, add, [1, 2]).", "3"),
        ("rpc:multicall([N, node()], erlang, is_alive, []).", "{[true,true],[]}"),
        ("rpc:multicall([N, 'none@127.0.0.1'], sidekick, add, [1, 2], 20000).", "{[3],['none@127.0.0.1']}"),
        ("K = rpc:async_call(N, sidekick, add, [3, 4]), rpc:yield(K).", "7"),
        ("K2 = rpc:async_call(N, sidekick, add, [3, 5]), rpc:nb_yield(K2, 20000).", "{value,8}"),
        ("rpc:parallel_eval([{erlang, node, []}]) =:= [node()].", "true"),
        ("rpc:cast(N, sidekick, add, [1, 2]).", "true"),
        ("rpc:eval_everywhere([N], sidekick, add, [1, 2]).", "abcast"),
        ("erpc:call(N, sidekick, add, [1, 2], 20000).", "3"),
        ("erpc:multicall([N, N], sidekick, add, [1, 2]).", "[{ok,3},{ok,3}]"),
        ("[{ok, 3}, {error, {erpc, noconnection}}] = erpc:multicall([N, 'none@127.0.0.1'], sidekick, add, [1, 2], 20000), ok.", "ok"),
        ("R = erpc:send_request(N, sidekick, add, [5, 6]), erpc:receive_response(R, 20000).", "11"),
        ("R2 = erpc:send_request(N, sidekick, add, [5, 7]), erpc:wait_response(R2, 20000).", "{response,12}"),
        ("S = erpc:send_request(N, sidekick, add, [1, 1], one, erpc:reqids_new()), element(1, erpc:receive_response(S, 20000, true)).", "2"),
        ("erpc:cast(N, sidekick, add, [1, 2]).", "ok"),
        ("erpc:multicast([N, N], sidekick, add, [1, 2]).", "ok"),
        ("process_info(self(), message_queue_len).", "{message_queue_len,0}"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_not_offered_is_refused_as_otp_would() {
    let mut pair = pair(|_| ()).await;
    pair.beam
        .eval("Refused = fun(F) -> try F() of V -> {value, V} catch error:{exception, W, [{M, Fu, _, _} | _]} -> {W, M, Fu}; C:W -> {C, W} end end.")
        .await;
    pair.all_show(&[
        ("Refused(fun() -> erpc:call(N, os, cmd, [\"id\"]) end).", "{undef,os,cmd}"),
        ("Refused(fun() -> erpc:call(N, fun() -> 1 end) end).", "{undef,erlang,apply}"),
        ("Refused(fun() -> erpc:call(N, erlang, halt, []) end).", "{undef,erlang,halt}"),
        ("Refused(fun() -> erpc:call(N, init, stop, []) end).", "{undef,init,stop}"),
        ("Refused(fun() -> erpc:call(N, erlang, get_cookie, []) end).", "{undef,erlang,get_cookie}"),
        ("Refused(fun() -> erpc:call(N, code, load_binary, [x, \"x\", <<>>]) end).", "{undef,code,load_binary}"),
        ("Refused(fun() -> erpc:call(N, erlang, system_info, [nonsense]) end).", "{badarg,erlang,system_info}"),
        ("Refused(fun() -> erpc:call(N, erlang, process_info, [self()]) end).", "{badarg,erlang,process_info}"),
        ("{badrpc, {'EXIT', {undef, [{os, cmd, _, _} | _]}}} = rpc:call(N, os, cmd, [\"id\"]), ok.", "ok"),
        ("{badrpc, {'EXIT', {badarg, _}}} = rpc:call(N, erlang, system_info, [nonsense]), ok.", "ok"),
        ("{[{badrpc, {'EXIT', {undef, _}}}], []} = rpc:multicall([N], os, cmd, [\"id\"]), ok.", "ok"),
        ("[{error, {exception, undef, _}}] = erpc:multicall([N], os, cmd, [\"id\"]), ok.", "ok"),
    ])
    .await;
    // Spawning is refused; a link or monitor to what was not spawned says so.
    pair.beam.eval("process_flag(trap_exit, true).").await;
    pair.all_show(&[
        ("A = spawn_link(N, observer_backend, procs_info, [self()]), receive {'EXIT', A, WA} -> WA end.", "notsup"),
        ("try spawn_monitor(N, os, cmd, [\"id\"]) catch error:WB -> WB end.", "notsup"),
        ("C = spawn_opt(N, os, cmd, [\"id\"], [link]), receive {'EXIT', C, WC} -> WC end.", "notsup"),
        ("is_pid(spawn(N, os, cmd, [\"id\"])).", "true"),
        ("net_adm:ping(N).", "pong"),
    ])
    .await;
}

#[tokio::test]
async fn figures_of_the_node() {
    let mut pair = pair(|_| ()).await;
    pair.beam
        .eval("E = fun(F, A) -> erpc:call(N, erlang, F, A) end, I = fun(X) -> E(system_info, [X]) end.")
        .await;
    let version = concat!("\"sidekick ", env!("CARGO_PKG_VERSION"), "\"");
    pair.all_show(&[
        ("I(otp_release) =:= \"27\".", "true"),
        (&format!("lists:prefix({version}, I(system_version)) andalso lists:last(I(system_version)) =:= $\\n."), "true"),
        ("lists:all(fun(X) -> is_integer(I(X)) end, [wordsize, {wordsize, external}, process_count, process_limit, port_count, port_limit, atom_count, atom_limit, ets_count, ets_limit, schedulers, schedulers_online, logical_processors, thread_pool_size, creation]).", "true"),
        ("I(port_count).", "1"),
        // Tools divide by these.
        ("lists:all(fun(X) -> I(X) > 0 end, [atom_limit, ets_limit, port_limit, process_limit, schedulers, wordsize]).", "true"),
        ("E(node, []) =:= N.", "true"),
        ("{E(nodes, []) =:= [node()], E(nodes, [this]) =:= [N], E(nodes, [hidden]), E(nodes, [[connected, this]]) =:= [node(), N]}.", "{true,true,[],true}"),
        ("{T, _} = E(statistics, [wall_clock]), {{input, In}, {output, Out}} = E(statistics, [io]), T >= 0 andalso In > 0 andalso Out > 0.", "true"),
        ("M = E(memory, []), proplists:get_value(total, M) > 1000000 andalso E(memory, [total]) > 1000000.", "true"),
        ("[K || {K, _} <- M] =:= [K || {K, _} <- erlang:memory()].", "true"),
        ("{{Y, _, _}, {_, _, _}} = E(universaltime, []), Y > 2024.", "true"),
        ("rpc:call(N, net_kernel, get_net_ticktime, []).", "60"),
        ("rpc:call(N, init, get_status, []).", "{started,started}"),
        ("maps:get(name_domain, rpc:call(N, net_kernel, get_state, [])).", "longnames"),
        ("[{sidekick, _, _}] = rpc:call(N, application, which_applications, []), ok.", "ok"),
    ])
    .await;
}

#[tokio::test]
async fn our_processes_can_be_looked_at() {
    let mut pair = pair(|options| options.visible = true).await;
    let (lobby, _others) = echo::echo(&pair.node, "lobby");
    drop(pair.node.spawn(1));
    pair.beam
        .eval("E = fun(F, A) -> erpc:call(N, erlang, F, A) end.")
        .await;
    pair.beam
        .eval("P = E(whereis, [lobby]), M = monitor(process, P), link(P).")
        .await;
    pair.all_show(&[
        ("[P] =:= [X || X <- E(processes, []), E(process_info, [X, registered_name]) =:= {registered_name, lobby}].", "true"),
        ("lists:sort(E(registered, [])).", "[lobby,net_kernel,rex]"),
        ("{E(is_process_alive, [P]), E(whereis, [nobody])}.", "{true,undefined}"),
        ("E(process_info, [P, [links, monitored_by, message_queue_len]]) =:= [{links, [self()]}, {monitored_by, [self()]}, {message_queue_len, 0}].", "true"),
        // The same keys in the same order as a process of OTP's own has.
        ("[K || {K, _} <- E(process_info, [P])] =:= [K || {K, _} <- process_info(whereis(rex))].", "true"),
        ("E(process_info, [P, messages]).", "{messages,[]}"),
        ("E(process_info, [P, {dictionary, x}]).", "{{dictionary,x},undefined}"),
        ("is_pid(E(whereis, [net_kernel])).", "true"),
    ])
    .await;
    // What `c:nregs/0` shows: it asks every visible node.
    pair.shows("nodes() =:= [N].", "true").await;
    let shown = pair.beam.try_eval("c:nregs().").await.to_string();
    assert!(shown.starts_with("{ok,"), "{shown}");
    pair.node.end(&lobby, Term::atom("over"));
    pair.shows(
        "{E(is_process_alive, [P]), E(process_info, [P])}.",
        "{false,undefined}",
    )
    .await;
}

#[tokio::test]
async fn observer_and_its_kin_survive_meeting_us() {
    let mut pair = pair(|_| ()).await;
    let _lobby = echo::echo(&pair.node, "lobby");
    // As observer_wx:try_rpc/4 does: what a window cannot have is an error in it.
    pair.beam
        .eval("Ask = fun(M, F, A) -> try erpc:call(N, M, F, A, 20000) catch error:{erpc, Why} -> {hung, Why}; C:_ -> {error, C} end end, P = Ask(erlang, whereis, [lobby]).")
        .await;
    // Its windows for tables, ports and sockets are empty, its system page has every field of a BEAM's own.
    pair.all_show(&[
        ("[Ask(observer_backend, F, []) || F <- [get_port_list, get_socket_list, socket_info]].", "[[],[],[]]"),
        ("Ask(observer_backend, get_table_list, [ets, []]).", "[]"),
        // It ends where it is not told whether it may ask.
        ("[rpc:call(N, erlang, function_exported, [observer_backend, F, A]) || {F, A} <- [{get_port_list, 0}, {get_socket_list, 0}, {socket_info, 0}, {get_table_list, 2}, {sys_info, 0}, {procs_info, 1}]].", "[true,true,true,true,true,false]"),
        ("{module, observer_backend} = code:ensure_loaded(observer_backend), Own = lists:usort(proplists:get_keys(observer_backend:sys_info())), Own -- proplists:get_keys(Ask(observer_backend, sys_info, [])).", "[]"),
        // The window of memory allocators divides by what they hold: with none, the whole of observer ended.
        ("[{_, [{instance, 0, [{mbcs, [{blocks, [{_, [{size, Held, _, _}]}]}, {carriers_size, Size, _, _}]}]}]}] = proplists:get_value(alloc_info, Ask(observer_backend, sys_info, [])), Held > 0 andalso Size >= Held.", "true"),
        // The window of applications asks a process of ours, which hears it and says nothing; without one observer ended.
        ("{module, appmon_info} = code:ensure_loaded(appmon_info), {ok, App} = appmon_info:start_link(N, self(), []), appmon_info:app_ctrl(App, N, true, []), {node(App) =:= N, net_adm:ping(N), process_info(self(), message_queue_len)}.", "{true,pong,{message_queue_len,0}}"),
        ("{M, _, _} = rpc:call(N, proc_lib, translate_initial_call, [P]), M.", "sidekick"),
        ("lists:keyfind(behaviour, 1, rpc:call(N, M, module_info, [attributes])).", "{behaviour,[gen_server]}"),
        ("Items = [binary, catchlevel, current_function, error_handler, garbage_collection, group_leader, heap_size, initial_call, last_calls, links, memory, message_queue_len, monitored_by, monitors, priority, reductions, registered_name, sequential_trace_token, stack_size, status, suspending, total_heap_size, trace, trap_exit], [K || {K, _} <- Ask(erlang, process_info, [P, Items])] =:= Items.", "true"),
        ("[K || {K, _} <- Ask(erlang, process_info, [P, [dictionary, current_stacktrace, registered_name]])].", "[dictionary,current_stacktrace,registered_name]"),
    ])
    .await;
    // The rest of what observer, etop, appmon and dashboards try on a node they have just found.
    for (module, function, arguments) in [
        ("observer_backend", "vsn", "[]"),
        ("observer_backend", "etop_collect", "[self()]"),
        ("observer_backend", "fetch_stats", "[self(), 1000]"),
        ("observer_backend", "get_table", "[self(), x, ets]"),
        ("rb", "start", "[]"),
        ("gen_event", "which_handlers", "[error_logger]"),
        ("code", "ensure_loaded", "[rb]"),
        ("erlang", "garbage_collect", "[self()]"),
        ("ttb", "start_trace", "[]"),
        ("dbg", "tracer", "[]"),
        ("msacc", "start", "[]"),
        ("recon", "info", "[self()]"),
        ("ets", "all", "[]"),
        ("mnesia", "system_info", "[all]"),
        ("cpu_sup", "util", "[]"),
        (
            "'Elixir.Phoenix.LiveDashboard.SystemInfo'",
            "info_callback",
            "[[], x]",
        ),
        ("'Elixir.System'", "version", "[]"),
    ] {
        let code = format!("Ask({module}, {function}, {arguments}).");
        pair.shows(&code, "{error,error}").await;
        let code = format!("element(1, rpc:call(N, {module}, {function}, {arguments}, 20000)).");
        pair.shows(&code, "badrpc").await;
    }
    // LiveDashboard shows this reason instead of sending its code.
    pair.shows(
        "rpc:call(N, code, is_loaded, ['Elixir.Phoenix.LiveDashboard.SystemInfo']).",
        "{error,notsup}",
    )
    .await;
    let etop = "etop:start([{node, N}, {output, text}, {tracing, off}]).";
    let said = pair.beam.try_eval(etop).await.to_string();
    assert!(said.starts_with("{exit,\"Faulty version"), "{said}");
}
