//! Every server is a process of the node: a name, a pid, monitors and links that tell how it ended, exit signals that
//! end it, system messages, and calls that reach the game's script.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/sidekick.rs"]
mod support;

use beam::{Beam, unique};
use sidekick::etf::Term;
use support::Sidekick;

/// Ends as the test says: SIGUSR1 is status 3, SIGUSR2 status 0.
const STUB: &str = r#"
[[server]]
id = "stub"
command = ["sh", "-c", "trap 'exit 3' USR1; trap 'exit 0' USR2 TERM; echo up; while :; do sleep 3600 & wait $!; done"]
session = false
on_exit = "stop"
max_restarts = 100
stop_timeout = "20s"
backoff = { initial = "10ms", max = "20ms" }
env = { SECRET = "hush-hush" }
"#;

/// Says nothing over its session.
const SILENT: &str = r#"
[[server]]
id = "silent"
command = ["sleep", "3600"]
restart = "temporary"
start_timeout = "1s"
on_exit = "stop"
autostart = false

[[server]]
id = "away"
command = ["sleep", "3600"]
start_timeout = "1h"
on_exit = "stop"
"#;

/// A sidekick, and a shell with `N` and the funs below.
struct Stage {
    sidekick: Sidekick,
    beam: Beam,
}

/// `Ask` a request; `Up` waits until a server has a pid other than one known and gives it; `Watch` monitors by pid, by name and
/// by a link; `Told` gives what the three heard.
const FUNS: &str = r"
    process_flag(trap_exit, true), Me = self(),
    Ask = fun(R) -> gen_server:call({sidekick, N}, R, 30000) end,
    Up = fun Up(Id, Old) ->
        case erpc:call(N, erlang, whereis, [Id]) of
            P when is_pid(P), P =/= Old -> P;
            _ -> Up(Id, Old)
        end
    end,
    Watch = fun(Id, Pid) -> link(Pid), {Id, Pid, monitor(process, Pid), monitor(process, {Id, N})} end,
    Told = fun({Id, Pid, M1, M2}) ->
        Heard = [
            receive {'DOWN', M1, process, Pid, R1} -> R1 end,
            receive {'DOWN', M2, process, {Id, N}, R2} -> R2 end,
            receive {'EXIT', Pid, R3} -> R3 end
        ],
        case lists:usort(Heard) of [Reason] -> Reason; Different -> {differ, Different} end
    end.
";

impl Stage {
    async fn open(sections: &str) -> Self {
        let sidekick = Sidekick::start_with("allow_start = \"any\"", sections);
        let flags = ["-setcookie", "test_cookie"];
        let mut beam = Beam::start_with(&unique("beam"), sidekick.epmd_port, &flags).await;
        beam.eval(&format!("N = '{}', pong = net_adm:ping(N).", sidekick.name))
            .await;
        beam.eval(FUNS).await;
        Self { sidekick, beam }
    }

    async fn shows(&mut self, code: &str, expected: &str) {
        assert_eq!(self.beam.show(code).await, expected, "{code}");
    }

    async fn pid(&mut self, id: &str) -> i32 {
        let code =
            format!("{{ok, #{{os_pid := OsPid_{id}}}}} = Ask({{server, {id}}}), OsPid_{id}.");
        let Term::Int(pid) = self
            .beam
            .eval(&format!("(fun() -> {} end)().", code.trim_end_matches('.')))
            .await
        else {
            panic!("a number")
        };
        i32::try_from(pid).unwrap()
    }

    async fn signal(&mut self, id: &str, signal: nix::sys::signal::Signal) {
        let pid = self.pid(id).await;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn monitors_and_links_tell_how_a_server_ended() {
    use nix::sys::signal::Signal;
    let mut stage = Stage::open(&[STUB, SILENT].concat()).await;
    stage
        .sidekick
        .ctl_until(&["logs", "stub"], |lines| lines.to_string().contains("up"));
    stage.beam.eval("Watched = fun(Pid) -> W = Watch(stub, Pid), put(w, W), Pid end, P0 = Watched(Up(stub, none)).").await;
    for (index, (signal, reason)) in [
        (Signal::SIGSEGV, "{signal,sigsegv}"),
        (Signal::SIGKILL, "{signal,sigkill}"),
        (Signal::SIGUSR1, "{exit_status,3}"),
        (Signal::SIGUSR2, "normal"),
    ]
    .into_iter()
    .enumerate()
    {
        // Its traps are set once it said so.
        let said =
            format!("{{ok, #{{start_number := S{index}}}}} = Ask({{server, stub}}), S{index}.");
        stage.shows(&said, &(index + 1).to_string()).await;
        stage.sidekick.ctl_until(&["logs", "stub"], |lines| {
            lines.to_string().matches("up").count() > index
        });
        stage.signal("stub", signal).await;
        stage.shows("Told(get(w)).", reason).await;
        let next = index + 1;
        stage
            .beam
            .eval(&format!("P{next} = Watched(Up(stub, P{index}))."))
            .await;
    }
    // The guard is the process's parent: without it nobody can tell.
    let pid = stage.pid("stub").await;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let guard: i32 = stat
        .rsplit_once(") ")
        .unwrap()
        .1
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(guard), Signal::SIGKILL).unwrap();
    stage.shows("Told(get(w)).", "unknown").await;
    // No hello in time.
    stage
        .beam
        .eval("spawn(fun() -> Ask({start_server, silent}) end), Q = Up(silent, none), V = Watch(silent, Q).")
        .await;
    stage.shows("Told(V).", "hang").await;
    stage
        .shows(
            "try gen_server:call({silent, N}, x) catch exit:{Gone, _} -> Gone end.",
            "noproc",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_signals_end_a_server_as_otp_would() {
    let mut stage = Stage::open(STUB).await;
    stage
        .sidekick
        .ctl_until(&["logs", "stub"], |lines| lines.to_string().contains("up"));
    // `normal` ends nobody, and neither does the end of a linked process.
    stage
        .beam
        .eval("P0 = Up(stub, none), W0 = Watch(stub, P0), exit(P0, normal), {L, LM} = spawn_monitor(fun() -> link(P0), {ok, _} = Ask(info), exit(boom) end), receive {'DOWN', LM, process, L, boom} -> ok end.")
        .await;
    stage
        .shows(
            "{ok, #{start_number := One, pid := Same}} = Ask({server, stub}), {One, Same =:= P0}.",
            "{1,true}",
        )
        .await;
    // The others end it, and a permanent one comes back.
    for (index, (how, reason)) in [
        ("exit(P0, shutdown)", "shutdown"),
        ("exit(P1, kill)", "{signal,sigkill}"),
        ("exit(P2, {some, reason})", "normal"),
        ("gen_server:stop({stub, N}, shutdown, 30000)", "shutdown"),
    ]
    .into_iter()
    .enumerate()
    {
        stage.sidekick.ctl_until(&["logs", "stub"], |lines| {
            lines.to_string().matches("up").count() > index
        });
        let next = index + 1;
        stage.beam.eval(&format!("{how}.")).await;
        stage.shows(&format!("Told(W{index})."), reason).await;
        stage
            .beam
            .eval(&format!(
                "P{next} = Up(stub, P{index}), W{next} = Watch(stub, P{next})."
            ))
            .await;
    }
    // A signal to a pid of before hits nobody.
    stage.beam.eval("exit(P0, kill), exit(P1, shutdown).").await;
    stage
        .shows(
            "{ok, #{start_number := Five}} = Ask({server, stub}), Five.",
            "5",
        )
        .await;
    // Stopped for good: the name is nobody's.
    stage
        .shows("{Ask({stop_server, stub}), Told(W4)}.", "{ok,shutdown}")
        .await;
    stage
        .shows(
            "try gen_server:call({stub, N}, x) catch exit:{Gone, _} -> Gone end.",
            "noproc",
        )
        .await;
    stage
        .shows(
            "M = monitor(process, {stub, N}), receive {'DOWN', M, _, _, Why} -> Why end.",
            "noproc",
        )
        .await;
    stage
        .shows(
            "{stub, N} ! lost, exit(P4, kill), Ask({server, stub}) =/= none.",
            "true",
        )
        .await;
}

/// What `sys` is told by the server `P`, by `sidekick` and by `sidekick_sup`.
const SYSTEM_MESSAGES: &[(&str, &str)] = &[
    ("maps:get(id, sys:get_state({stub, N})).", "<<\"stub\">>"),
    ("maps:get(pid, sys:get_state(P, 20000)) =:= P.", "true"),
    (
        "maps:get(name, sys:get_state({sidekick, N})) =:= N.",
        "true",
    ),
    ("element(1, sys:get_state(Sups)).", "state"),
    // As observer_procinfo reads it.
    (
        "[begin {status, Pid, {module, gen_server}, [Dict, running, Parent, [], [{header, Header}, {data, First}, {data, [{\"State\", _}]} | _]]} = sys:get_status(T), {is_pid(Pid), is_pid(Parent), [K || {K, _} <- Dict], Header, [K || {K, _} <- First]} =:= {true, true, ['$initial_call', '$ancestors'], \"Status for generic server \" ++ atom_to_list(element(1, T)), [\"Status\", \"Parent\", \"Logged events\"]} end || T <- [{stub, N}, {sidekick, N}, Sups]].",
        "[true,true,true]",
    ),
    (
        "{status, _, _, _} = rpc:call(N, sys, get_status, [P, 20000]), maps:get(id, rpc:call(N, sys, get_state, [stub])).",
        "<<\"stub\">>",
    ),
    (
        "{status, _, _, _} = sys:get_status({net_kernel, N}), {status, _, _, _} = sys:get_status({rex, N}), ok.",
        "ok",
    ),
    ("supervisor:get_callback_module(Sups).", "sidekick"),
    ("sys:statistics({sidekick, N}, get).", "{ok,no_statistics}"),
    ("sys:statistics({sidekick, N}, true).", "ok"),
    (
        "[{ok, _} = Ask(info) || _ <- [1, 2, 3]], {ok, Figures} = sys:statistics({sidekick, N}, get), [K || {K, _} <- Figures].",
        "[start_time,current_time,reductions,messages_in,messages_out]",
    ),
    (
        "{proplists:get_value(messages_in, Figures), proplists:get_value(messages_out, Figures)}.",
        "{4,3}",
    ),
    (
        "calendar:valid_date(element(1, proplists:get_value(start_time, Figures))).",
        "true",
    ),
    (
        "{sys:statistics({sidekick, N}, false), sys:statistics({sidekick, N}, get)}.",
        "{ok,{ok,no_statistics}}",
    ),
    // What we do not do is told in sys's own words.
    (
        "sys:suspend({stub, N}).",
        "{error,{unknown_system_msg,suspend}}",
    ),
    ("sys:resume({stub, N}).", "ok"),
    (
        "{sys:trace({stub, N}, true), sys:trace({stub, N}, false), sys:no_debug({stub, N})}.",
        "{unknown_debug,ok,ok}",
    ),
    (
        "{sys:log({stub, N}, true), sys:log({stub, N}, get), sys:log({stub, N}, false)}.",
        "{unknown_debug,{ok,[]},ok}",
    ),
    (
        "sys:install({stub, N}, {fun(S, _, _) -> S end, 0}).",
        "unknown_debug",
    ),
    (
        "try sys:replace_state({stub, N}, fun(S) -> S end) catch C:_ -> C end.",
        "error",
    ),
    (
        "sys:change_code({stub, N}, stub, old, new).",
        "{error,{unknown_system_msg,{change_code,stub,old,new}}}",
    ),
    (
        "try gen_server:stop({sidekick, N}, normal, 20000) catch CS:_ -> CS end.",
        "error",
    ),
    // Nothing of it is secret: neither what the configuration says nor what a start was given.
    (
        "Shown = term_to_binary([[sys:get_state(T), sys:get_status(T)] || T <- [{stub, N}, {away, N}, {sidekick, N}, Sups]]), {binary:match(Shown, <<\"hush-hush\">>), binary:match(Shown, <<\"TOKEN\">>), binary:match(Shown, <<\"test_cookie\">>)}.",
        "{nomatch,nomatch,nomatch}",
    ),
    (
        "is_process_alive(self()) andalso P =:= Up(stub, none).",
        "true",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn system_messages_are_answered_as_by_a_gen_server() {
    let mut stage = Stage::open(&[STUB, SILENT].concat()).await;
    stage
        .beam
        .eval("P = Up(stub, none), Sups = {sidekick_sup, N}.")
        .await;
    for &(code, expected) in SYSTEM_MESSAGES {
        stage.shows(code, expected).await;
    }
    // Connected to the cluster, and no game has said hello.
    stage.beam.eval("A = Up(away, none).").await;
    stage
        .shows(
            "gen_server:call({away, N}, {score, 1}).",
            "{error,{not_connected,#{}}}",
        )
        .await;
    stage
        .shows(
            "gen_server:call(A, {score, 1}).",
            "{error,{not_connected,#{}}}",
        )
        .await;
}

/// What reaches the demo game whose pid is `P0`.
const GAME_CALLS: &[(&str, &str)] = &[
    (
        "gen_server:call({lobby, N}, {echo, #{<<\"a\">> => [1, 2.5, <<\"ü\"/utf8>>]}}) =:= #{<<\"a\">> => [1, 2.5, <<\"ü\"/utf8>>]}.",
        "true",
    ),
    (
        "is_integer(maps:get(<<\"tick\">>, gen_server:call(P0, status))).",
        "true",
    ),
    (
        "gen_server:multi_call([N], lobby, {echo, 7}) =:= {[{N, 7}], []}.",
        "true",
    ),
    (
        "{error, {unsupported_term, #{path := _}}} = gen_server:call({lobby, N}, {echo, self()}), ok.",
        "ok",
    ),
    (
        "{lobby, N} ! {hello_game, 42}, gen_server:cast(P0, {from_cast, 43}).",
        "ok",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_real_game_is_a_process() {
    let godot = std::env::var("SIDEKICK_GODOT")
        .expect("SIDEKICK_GODOT names no Godot: eval \"$(./scripts/setup --env)\"");
    let game = concat!(env!("CARGO_MANIFEST_DIR"), "/godot/demo");
    let lobby = format!(
        "[[server]]\nid = \"lobby\"\ncommand = [{godot:?}, \"--headless\", \"--path\", {game:?}]\n\
         on_exit = \"stop\"\nhang_timeout = \"2s\"\nstart_timeout = \"60s\"\nmax_restarts = 100\n"
    );
    let mut stage = Stage::open(&lobby).await;
    stage
        .beam
        .eval("Plays = fun Plays(Old) -> case Ask({server, lobby}) of {ok, #{state := running, pid := P}} when P =/= Old -> P; _ -> Plays(Old) end end, P0 = Plays(none), W0 = Watch(lobby, P0).")
        .await;
    for &(code, expected) in GAME_CALLS {
        stage.shows(code, expected).await;
    }
    stage.sidekick.ctl_until(&["logs", "lobby"], |lines| {
        let lines = lines.to_string();
        lines.contains("hello_game") && lines.contains("from_cast")
    });
    for (index, (how, reason)) in [
        ("gen_server:call({lobby, N}, exit)", "{exit_status,3}"),
        ("gen_server:call({lobby, N}, hang)", "hang"),
        ("exit(P2, shutdown)", "shutdown"),
        ("exit(P3, kill)", "{signal,sigkill}"),
    ]
    .into_iter()
    .enumerate()
    {
        let next = index + 1;
        stage.beam.eval(&format!("{how}.")).await;
        stage.shows(&format!("Told(W{index})."), reason).await;
        stage
            .beam
            .eval(&format!(
                "P{next} = Plays(P{index}), W{next} = Watch(lobby, P{next})."
            ))
            .await;
    }
    stage
        .signal("lobby", nix::sys::signal::Signal::SIGSEGV)
        .await;
    stage.shows("Told(W4).", "{signal,sigsegv}").await;
    // The game goes on where it was, under a new pid.
    stage
        .shows(
            "P5 = Plays(P4), maps:get(<<\"tick\">>, gen_server:call(P5, status)) > 0.",
            "true",
        )
        .await;
    // The script awaits a process that never answers: so many calls wait for it, the next one is refused.
    stage
        .beam
        .eval("register(deaf, spawn(fun() -> receive never -> ok end end)), [gen_server:send_request({lobby, N}, {ask, <<\"deaf\">>, atom_to_binary(node()), 1}) || _ <- lists:seq(1, 256)].")
        .await;
    stage
        .shows(
            "gen_server:call(P5, {echo, 8}).",
            "{error,{overloaded,#{}}}",
        )
        .await;
}
