//! The real sidekick, members of a store, and who drives them; the figures of processes.

use crate::beam::{COOKIE, Epmd, eventually, unique};
use crate::echo;
use crate::frontend::{Frontend, atoms};
use crate::parts::{Member, Sidekick};
use sidekick::etf::Term;
use sidekick::node::{Node, NodeName};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// Streams that the records are spread over.
pub const STREAMS: u64 = 4;
/// Records of one append, and of one upload: what a sink sends by default.
pub const BATCH: u64 = 1000;
/// What the store keeps of each stream.
pub const WINDOW: u64 = 20_000;
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(100);

/// The module that runs on the members.
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/upload/member.erl");

/// Everything that one benchmark needs.
pub struct World {
    pub members: Vec<Member>,
    pub sidekick: Sidekick,
    _dir: TempDir,
    node: Node,
    own: NodeName,
    _epmd: Epmd,
}

impl Drop for World {
    fn drop(&mut self) {
        self.sidekick.terminate();
    }
}

fn config(own: &str, epmd: u16, sections: &str) -> String {
    format!(
        r#"[node]
name = {own:?}
listen = "127.0.0.1"
[node.epmd]
port = {epmd}
serve = false
[run]
dir = "run"
[buffer]
dir = "buffer"
max_bytes = "2GiB"
{sections}"#
    )
}

/// A sink with these limits, by way of the first member: what was answered can be read there, and the bare procedure runs there.
fn sink(node: &str, limits: &str) -> String {
    format!(
        "[[sink]]\nname = \"khepri\"\nkind = \"beam\"\nnodes = [{node:?}]\nstreams = [\"*\"]\nlimits = {{ {limits} }}\n"
    )
}

impl World {
    /// So many members, a sidekick whose sink has these limits, and with these sections.
    pub async fn start(count: usize, limits: &str, sections: &str) -> Self {
        let (dir, epmd) = (TempDir::new().unwrap(), Epmd::start().await);
        let names: Vec<_> = (0..count).map(|_| unique("store")).collect();
        let members = names.iter().enumerate().map(|(n, name)| {
            let folder = dir.path().join(format!("store{n}"));
            Member::new(name, &names, epmd.port, folder)
        });
        let own = unique("sidekick");
        let sinks = if count == 0 {
            String::new()
        } else {
            sink(&names[0], limits)
        };
        let text = config(&own, epmd.port, &format!("{sections}{sinks}"));
        std::fs::write(dir.path().join("sidekick.toml"), text).unwrap();
        let mut sidekick = Sidekick::new(dir.path());
        if let Some(program) = std::env::var_os("SIDEKICK_BIN") {
            sidekick.program = PathBuf::from(program);
        }
        let mut world = Self {
            members: members.collect(),
            sidekick,
            node: echo::node(&unique("driver"), COOKIE, epmd.port).await,
            own: own.parse().unwrap(),
            _dir: dir,
            _epmd: epmd,
        };
        world.boot().await;
        world.serve().await;
        world.sidekick.start();
        eventually("sidekick answers", async || {
            assert_eq!(world.sidekick.ended(), None);
            world.try_ask(Term::atom("info")).await.is_some()
        })
        .await;
        world
    }

    /// The members' BEAMs, with the benchmark's module.
    pub async fn boot(&mut self) {
        for member in &mut self.members {
            member.boot().await;
            let load = format!(
                "(fun() -> {{ok, member, Binary}} = compile:file({MODULE:?}, [binary]), code:load_binary(member, {MODULE:?}, Binary) end)()."
            );
            member.eval(&load).await;
        }
    }

    /// They serve: all at once, as each waits for the others; done once every one takes uploads.
    pub async fn serve(&mut self) {
        let names = atoms(self.members.iter().map(|member| &member.name));
        for member in &mut self.members {
            let dir = member.dir.display().to_string();
            let code = format!(
                "(fun() ->
                    {{ok, _}} = application:ensure_all_started(sidekick),
                    Spec = 'Elixir.Sidekick':child_spec([{{data_dir, <<{dir:?}/utf8>>}}, {{members, {names}}},
                        {{retention, [{{records, {WINDOW}}}, {{bytes, infinity}}]}}]),
                    {{ok, _}} = supervisor:start_child('Elixir.Sidekick.ApplicationSupervisor', Spec),
                    io:setopts([{{binary, false}}])
                 end)()."
            );
            beam(member).beam.begin(&code).await;
        }
        for member in &mut self.members {
            let served = beam(member).beam.result().await;
            let ok = served
                .as_tuple()
                .is_some_and(|result| result[0].is_atom("ok"));
            assert!(ok, "{} does not serve: {served}", member.name);
        }
    }

    /// Asks sidekick; whatever is not `ok` or `{ok, _}` ends the benchmark.
    pub async fn ask<const N: usize>(&self, request: [Term; N]) -> Term {
        let request = Term::tuple(request);
        let answer = self
            .node
            .call("sidekick", &self.own, request.clone(), ANSWER);
        let answer = answer
            .await
            .unwrap_or_else(|error| panic!("{request}: {error}"));
        ok(&answer).unwrap_or_else(|| panic!("{request} was answered {answer}"))
    }

    async fn try_ask(&self, request: Term) -> Option<Term> {
        let answer = self.node.call("sidekick", &self.own, request, ANSWER).await;
        ok(&answer.ok()?)
    }

    /// The origin of its buffer.
    pub async fn origin(&self) -> String {
        let info = self.try_ask(Term::atom("info")).await.unwrap();
        info.map_get("origin")
            .unwrap()
            .as_text()
            .unwrap()
            .to_owned()
    }

    /// Appends so many records to streams with these names, by turns.
    pub async fn append(&self, names: &[String], records: u64) {
        let each = records / names.len() as u64;
        for first in (1..=each).step_by(BATCH as usize) {
            for name in names {
                let payloads = (first..first + BATCH).map(payload).collect::<Vec<_>>();
                self.ask([Term::atom("append"), Term::text(name), Term::list(payloads)])
                    .await;
            }
        }
    }

    /// Until the sink has stored everything, by the word of the store.
    pub async fn drain(&self) {
        self.ask([Term::atom("drain_sinks"), Term::int(90_000)])
            .await;
    }

    /// Evaluates Erlang on the first member.
    pub async fn eval(&mut self, code: &str) -> Term {
        self.members[0].eval(code).await
    }

    /// The index of the store's last commit.
    pub async fn commits(&mut self) -> u64 {
        let code = "maps:get(last_index, ra:key_metrics({sidekick_store, node()})).";
        self.eval(code).await.as_u64().unwrap()
    }

    /// The pids of the members.
    pub fn member_pids(&mut self) -> Vec<i32> {
        self.members
            .iter_mut()
            .map(|m| beam(m).beam.pid())
            .collect()
    }
}

fn beam(member: &mut Member) -> &mut Frontend {
    member.frontend.as_mut().unwrap()
}

fn ok(answer: &Term) -> Option<Term> {
    match answer.as_tuple() {
        Some([ok, value]) if ok.is_atom("ok") => Some(value.clone()),
        _ => answer.is_atom("ok").then(|| answer.clone()),
    }
}

/// About what a game records; `member.erl` makes the same.
fn payload(n: u64) -> Term {
    let at = [n as f64 / 3.0, 1.5, -0.25].map(Term::Float);
    Term::map([
        ("kind", Term::text("goal")),
        ("by", Term::text("a player's name")),
        ("tick", Term::int(n)),
        ("at", Term::list(at)),
    ])
}

/// The names of a round's streams.
pub fn streams(round: &str) -> Vec<String> {
    (0..STREAMS).map(|n| format!("{round}/{n}")).collect()
}

/// Names as a list of binaries in Erlang.
pub fn binaries(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("<<{name:?}>>")).collect();
    format!("[{}]", names.join(","))
}
