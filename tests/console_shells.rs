//! Shells of the console against a terminal that the test plays itself: how many there are, and what stays of them.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;

use beam::{Beam, COOKIE, Epmd, unique};
use sidekick::console::ConsoleFunctions;
use sidekick::etf::{Pid, Term};
use sidekick::node::{Caller, Functions, Node, Outcome};
use sidekick::ports::BoxFuture;
use std::sync::{Arc, Mutex};

/// Answers `subscribe` and remembers who asked.
#[derive(Default)]
struct Subscribers {
    node: Mutex<Option<Node>>,
    last: Mutex<Option<(Pid, Term)>>,
}

impl Functions for Subscribers {
    fn call<'a>(
        &'a self,
        _caller: Caller,
        _module: &'a str,
        function: &'a str,
        args: Vec<Term>,
    ) -> BoxFuture<'a, Outcome> {
        let reply = match function {
            "subscribe" => {
                let reference = Term::Ref(self.node.lock().unwrap().as_ref().unwrap().make_ref());
                let pid = args[0].as_pid().unwrap().clone();
                *self.last.lock().unwrap() = Some((pid, reference.clone()));
                Outcome::Return(Term::ok(reference))
            }
            "unsubscribe" => Outcome::Return(Term::atom("ok")),
            _ => Outcome::Undef,
        };
        Box::pin(std::future::ready(reply))
    }
}

/// `Open.` starts a shell whose terminal says to the test what is asked of it, and gives `{Leader, Shell}`. `Say` waits
/// for text that is written and lets it be; `Until` does so up to a text; `Read` waits until a line is asked for.
const TERMINAL: &str = r"
    Me = self(),
    Pass = fun P(Shell) ->
        receive {io_request, From, Ref, Req} -> Me ! {Shell, Ref, Req, From}, P(Shell) end
    end,
    Open = fun() ->
        Leader = spawn(fun() ->
            group_leader(self(), self()),
            Shell = try erpc:call(N, shell, start, []) catch Class:Reason -> Me ! {self(), Class, Reason}, exit(normal) end,
            link(Shell),
            Me ! {self(), Shell},
            Pass(Shell)
        end),
        receive
            {Leader, Class, Reason} -> error({Class, Reason});
            {Leader, Shell} -> {Leader, Shell}
        after 20000 -> error(no_shell)
        end
    end,
    Answer = fun(Shell, Ref, Reply) -> Shell ! {io_reply, Ref, Reply} end,
    Say = fun(Shell) ->
        receive
            {Shell, R, {setopts, _}, _} -> Answer(Shell, R, ok), <<>>;
            {Shell, R, getopts, _} -> Answer(Shell, R, [{echo, true}, {line_history, true}]), <<>>;
            {Shell, R, {put_chars, unicode, Text}, _} -> Answer(Shell, R, ok), Text
        after 20000 -> error(silent)
        end
    end,
    Until = fun U(Shell, Wanted, Before) ->
        case binary:match(Before, Wanted) of
            nomatch -> U(Shell, Wanted, <<Before/binary, (Say(Shell))/binary>>);
            _ -> Before
        end
    end,
    Read = fun(Shell) -> receive {Shell, R, {get_line, unicode, Prompt}, _} -> {R, Prompt} after 20000 -> error(no_prompt) end end,
    Gone = fun(Shell) -> M = monitor(process, Shell), receive {'DOWN', M, _, _, _} -> gone after 20000 -> error(alive) end end,
    ready.
";

struct Stage {
    node: Node,
    beam: Beam,
    subscribers: Arc<Subscribers>,
    /// Lives as long as it is bound.
    epmd: Epmd,
}

async fn stage() -> Stage {
    let epmd = Epmd::start().await;
    let name = unique("sidekick");
    let node = echo::node(&name, COOKIE, epmd.port).await;
    let subscribers = Arc::new(Subscribers::default());
    *subscribers.node.lock().unwrap() = Some(node.clone());
    node.serve_functions(Arc::new(ConsoleFunctions::new(
        node.clone(),
        subscribers.clone(),
    )));
    let mut beam = Beam::start(&unique("beam"), epmd.port).await;
    beam.eval(&format!("N = '{name}'.")).await;
    beam.eval(TERMINAL).await;
    Stage {
        node,
        beam,
        subscribers,
        epmd,
    }
}

#[tokio::test]
async fn a_shell_ends_with_its_terminal() {
    let Stage {
        node,
        mut beam,
        epmd: _epmd,
        ..
    } = stage().await;
    // The leader ends: its link and our monitor tell.
    beam.eval("{L1, S1} = Open(), Until(S1, <<\"help\">>, <<>>), Read(S1).")
        .await;
    assert_eq!(beam.show("exit(L1, kill), Gone(S1).").await, "gone");
    // There is no more input.
    beam.eval("{L2, S2} = Open(), Until(S2, <<\"help\">>, <<>>), {R2, _} = Read(S2).")
        .await;
    assert_eq!(beam.show("Answer(S2, R2, eof), Gone(S2).").await, "gone");
    // The operator leaves; this node was not started for the shell, so that it goes on.
    beam.eval("{L3, S3} = Open(), Until(S3, <<\"help\">>, <<>>), {R3, _} = Read(S3).")
        .await;
    assert_eq!(
        beam.show("Answer(S3, R3, <<\"exit\\n\">>), Gone(S3).")
            .await,
        "gone"
    );
    // A kill does not ask.
    beam.eval("{L4, S4} = Open(), Until(S4, <<\"help\">>, <<>>), Read(S4).")
        .await;
    assert_eq!(
        beam.show("unlink(S4), exit(S4, kill), Gone(S4).").await,
        "gone"
    );
    assert_eq!(node.dropped_messages(), 0);
}

#[tokio::test]
async fn there_are_only_so_many_and_one_more_is_told() {
    let Stage {
        mut beam,
        epmd: _epmd,
        ..
    } = stage().await;
    beam.eval("Open16 = [Open() || _ <- lists:seq(1, 16)], [Until(S, <<\"help\">>, <<>>) || {_, S} <- Open16].").await;
    let refusal = beam
        .show("{_, More} = Open(), Until(More, <<\"try again\">>, <<>>).")
        .await;
    assert!(refusal.contains("16 prompts are open"), "{refusal}");
    assert_eq!(beam.show("Gone(More).").await, "gone");
    // The place of one that ended is free again, as soon as its process is gone.
    beam.eval("[{First, FirstShell} | _] = Open16, exit(First, kill), Gone(FirstShell).")
        .await;
    beam::eventually("a place is free", async || {
        beam.show("(fun({_, Next}) -> Until(Next, <<\"\\n\">>, <<>>) end)(Open()).")
            .await
            .contains("Operator")
    })
    .await;
}

#[tokio::test]
async fn a_slow_terminal_loses_lines_and_is_told() {
    let Stage {
        node,
        mut beam,
        subscribers,
        epmd: _epmd,
    } = stage().await;
    beam.eval("{L, S} = Open(), Until(S, <<\"help\">>, <<>>), {R, _} = Read(S), Answer(S, R, <<\"events\\n\">>).").await;
    let prompt = beam.show("{R2, P2} = Read(S), P2.").await;
    assert!(prompt.contains("Enter ends"), "{prompt}");
    let (shell, reference) = subscribers.last.lock().unwrap().clone().unwrap();
    let event = |number: u64| {
        let text = format!("{number} {}", "x".repeat(1000));
        let fields = Term::map([
            ("type", Term::atom("started")),
            ("at_ms", Term::int(0)),
            ("detail", Term::text(&text)),
        ]);
        Term::tuple([
            Term::atom("sidekick_event"),
            Term::atom("n@h"),
            reference.clone(),
            fields,
        ])
    };
    // The terminal takes nothing meanwhile; the shell goes on to empty its mailbox.
    for number in 0..1_000 {
        node.send(&shell, event(number));
    }
    let said = beam.show("Until(S, <<\"were missed\">>, <<>>).").await;
    assert!(said.contains("detail: 0 xxx"), "the first ones are kept");
    assert!(!said.contains("detail: 999 xxx"), "what came last is lost");
    assert!(said.len() < 400_000, "{} bytes", said.len());
    // It still hears.
    beam.eval("Answer(S, R2, <<\"exit\\n\">>).").await;
    assert_eq!(beam.show("Gone(S).").await, "gone");
}
