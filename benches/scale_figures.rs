//! Many sidekicks on one store of three members, all on this machine: connections, memory, uploads, and the storm of reconnections
//! after the whole cluster was killed. `./scripts/bench scale` runs it; docs/SCALING.md has the figures.

#![allow(clippy::unwrap_used)]

#[path = "../tests/support/beam.rs"]
mod beam;
#[path = "../tests/support/echo.rs"]
mod echo;
#[path = "../tests/support/frontend.rs"]
mod frontend;
#[path = "../tests/support/torture/parts.rs"]
mod parts;

use beam::{COOKIE, Epmd, unique};
use futures::future::join_all;
use parts::{Member, Sidekick};
use sidekick::dist::NodeName;
use sidekick::etf::Term;
use sidekick::node::Node;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const MEMBERS: usize = 3;
/// How long one answer may take on a machine with so many processes.
const ANSWER: Duration = Duration::from_secs(60);
/// How long all of them together may take to store what they have, or to connect.
const PATIENCE: Duration = Duration::from_secs(300);
/// Records of each sidekick at once, in appends of a hundred.
const RECORDS: u64 = 2_000;
/// At a game's pace: one record each half second, for so many of them.
const TICKS: u64 = 20;
const TICK: Duration = Duration::from_millis(500);

/// Watches who connects from now on, in milliseconds since this expression.
const STORM: &str = "(fun() ->
    Began = erlang:monotonic_time(millisecond),
    Watch = fun() ->
        ok = net_kernel:monitor_nodes(true, [{node_type, hidden}]),
        Loop = fun Loop(Seen) ->
            receive
                {nodeup, N, _} -> Loop(maps:put(N, erlang:monotonic_time(millisecond) - Began, Seen));
                {seen, From} -> From ! {seen, lists:sort(maps:values(Seen))}, Loop(Seen);
                _ -> Loop(Seen)
            end
        end,
        Loop(maps:from_list([{N, 0} || N <- nodes(hidden)]))
    end,
    register(storm, spawn(Watch)) end)().";

struct Scale {
    dir: TempDir,
    epmd: Epmd,
    members: Vec<Member>,
    sidekicks: Vec<(Sidekick, NodeName)>,
    node: Node,
}

impl Drop for Scale {
    fn drop(&mut self) {
        for (sidekick, _) in &mut self.sidekicks {
            if sidekick.runs() {
                sidekick.kill();
            }
        }
    }
}

fn config(name: &str, epmd: u16, nodes: &[String]) -> String {
    format!(
        r#"[node]
name = {name:?}
listen = "127.0.0.1"
[node.epmd]
port = {epmd}
serve = false
[run]
dir = "run"
[buffer]
dir = "buffer"
segment_bytes = "1MiB"
max_bytes = "128MiB"
[[sink]]
name = "khepri"
kind = "beam"
nodes = {nodes:?}
streams = ["*"]
"#
    )
}

impl Scale {
    async fn start() -> Self {
        let (dir, epmd) = (TempDir::new().unwrap(), Epmd::start().await);
        let names: Vec<_> = (0..MEMBERS).map(|_| unique("store")).collect();
        let members = names.iter().enumerate().map(|(n, name)| {
            let folder = dir.path().join(format!("store{n}"));
            Member::new(name, &names, epmd.port, folder)
        });
        let mut members: Vec<_> = members.collect();
        join_all(members.iter_mut().map(Member::start)).await;
        let node = echo::node(&unique("driver"), COOKIE, epmd.port).await;
        Self {
            members,
            node,
            sidekicks: Vec::new(),
            dir,
            epmd,
        }
    }

    /// Starts so many at once; each prefers another member.
    fn add(&mut self, count: usize) {
        let mut names: Vec<_> = self
            .members
            .iter()
            .map(|member| member.name.clone())
            .collect();
        for n in 0..count {
            names.rotate_left(1);
            let (name, dir) = (
                unique("sidekick"),
                self.dir.path().join(format!("sidekick{n}")),
            );
            std::fs::create_dir(&dir).unwrap();
            let text = config(&name, self.epmd.port, &names);
            std::fs::write(dir.join("sidekick.toml"), text).unwrap();
            let mut sidekick = Sidekick::new(&dir);
            sidekick.start();
            self.sidekicks.push((sidekick, name.parse().unwrap()));
        }
    }

    async fn ask(&self, to: &NodeName, request: Term) -> Option<Term> {
        let answer = self.node.call("sidekick", to, request, ANSWER).await.ok()?;
        match answer.as_tuple() {
            Some([ok, value]) if ok.is_atom("ok") => Some(value.clone()),
            _ => answer.is_atom("ok").then_some(answer),
        }
    }

    /// Until each has a connection to each member.
    async fn all_connected(&mut self) {
        let count = self.sidekicks.len() as u64;
        for (sidekick, name) in &mut self.sidekicks {
            assert_eq!(sidekick.ended(), None, "{name}; its sidekick.log says why");
        }
        for member in &mut self.members {
            eventually_slowly("all are connected", async || {
                let hidden = member.eval("length([N || N <- nodes(hidden), lists:prefix(\"sidekick\", atom_to_list(N))]).").await;
                hidden.as_u64() == Some(count)
            })
            .await;
        }
    }

    /// Until every sink has stored everything.
    async fn all_stored(&self) {
        let drain = Term::tuple([Term::atom("drain_sinks"), Term::int(50_000)]);
        let (drain, deadline) = (&drain, Instant::now() + PATIENCE);
        let drained = self.sidekicks.iter().map(|(_, name)| async move {
            while self.ask(name, drain.clone()).await.is_none() {
                assert!(
                    Instant::now() < deadline,
                    "{name} has not stored everything"
                );
                // sleep: one that cannot be asked answers at once.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        join_all(drained).await;
    }

    async fn append(&self, to: &NodeName, count: u64) {
        let text = "a record of a match, about as long as one is ".repeat(3);
        let records: Vec<_> = (0..count)
            .map(|n| Term::map([("n", Term::int(n)), ("text", Term::text(&text))]))
            .collect();
        let request = [
            Term::atom("append"),
            Term::text("match"),
            Term::list(records),
        ];
        self.ask(to, Term::tuple(request))
            .await
            .expect("an append is answered");
    }

    /// Records per second from the first append until all are stored.
    async fn burst(&self) -> f64 {
        let began = Instant::now();
        let appends = self.sidekicks.iter().map(|(_, name)| async {
            for _ in 0..RECORDS / 100 {
                self.append(name, 100).await;
            }
        });
        join_all(appends).await;
        self.all_stored().await;
        (RECORDS * self.sidekicks.len() as u64) as f64 / began.elapsed().as_secs_f64()
    }

    /// Each a record every half second; gives the transactions of the store per second, and how long the last took to be stored.
    async fn pace(&mut self) -> (f64, Duration) {
        let before = self.commits().await;
        let began = Instant::now();
        let mut tick = tokio::time::interval(TICK);
        for _ in 0..TICKS {
            tick.tick().await;
            join_all(self.sidekicks.iter().map(|(_, name)| self.append(name, 1))).await;
        }
        let last = Instant::now();
        self.all_stored().await;
        let (late, took) = (last.elapsed(), began.elapsed().as_secs_f64());
        ((self.commits().await - before) as f64 / took, late)
    }

    async fn commits(&mut self) -> u64 {
        let code = "maps:get(commit_index, ra:key_metrics({sidekick_store, node()})).";
        self.members[0].eval(code).await.as_u64().unwrap()
    }

    /// All members die at once and come back; the moments at which each sidekick was there again, and until all was stored.
    async fn storm(&mut self) -> (Vec<u64>, Duration) {
        for member in &mut self.members {
            member.kill().await;
        }
        // Some work waits meanwhile.
        join_all(self.sidekicks.iter().map(|(_, name)| self.append(name, 1))).await;
        let began = Instant::now();
        join_all(self.members.iter_mut().map(|member| async {
            member.boot().await;
            member.eval(STORM).await;
            member.serve().await;
        }))
        .await;
        self.all_connected().await;
        self.all_stored().await;
        let took = began.elapsed();
        let mut moments = Vec::new();
        for member in &mut self.members {
            let seen = member
                .eval("(fun() -> storm ! {seen, self()}, receive {seen, Moments} -> {moments, Moments} end end)().")
                .await;
            let seen = seen.as_tuple().unwrap()[1].as_list().unwrap().to_vec();
            moments.extend(seen.iter().map(|ms| ms.as_u64().unwrap()));
        }
        moments.sort_unstable();
        (moments, took)
    }
}

async fn eventually_slowly(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = tokio::time::interval(Duration::from_millis(100));
    while !check().await {
        assert!(Instant::now() < deadline, "never: {what}");
        pause.tick().await;
    }
}

/// Memory that only this process has, in KiB.
fn private_kib(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let of = |line: &str| {
        line.split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse::<u64>().ok())
    };
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    private.filter_map(of).sum()
}

fn mib(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

/// CPU time that processes have used, in seconds.
fn cpu_seconds(pids: &[i32]) -> f64 {
    let ticks = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit(") ").next().unwrap_or_default().to_owned();
        let fields: Vec<u64> = rest
            .split(' ')
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        fields.get(11..13).map_or(0, |times| times.iter().sum())
    };
    pids.iter().map(ticks).sum::<u64>() as f64 / 100.0
}

/// The median of the private memory of processes, and the most.
fn memory(pids: &[i32]) -> (u64, u64) {
    let mut kib: Vec<_> = pids.iter().map(|pid| private_kib(*pid)).collect();
    (median(&mut kib), kib[kib.len() - 1])
}

impl Scale {
    fn sidekick_pids(&self) -> Vec<i32> {
        let pids = self.sidekicks.iter().map(|(sidekick, _)| sidekick.pid());
        pids.collect()
    }

    fn member_pids(&self) -> Vec<i32> {
        let pid = |member: &Member| member.frontend.as_ref().unwrap().beam.pid();
        self.members.iter().map(pid).collect()
    }

    /// How many had to do without inotify.
    fn blind(&self) -> usize {
        let logs = (0..self.sidekicks.len())
            .map(|n| self.dir.path().join(format!("sidekick{n}/sidekick.log")));
        logs.filter(|log| {
            let text = std::fs::read_to_string(log).unwrap();
            text.contains("fs.inotify.max_user_instances")
        })
        .count()
    }

    async fn epmd_list_us(&mut self) -> u64 {
        let code = "element(1, timer:tc(fun() -> {ok, _} = erl_epmd:names(\"127.0.0.1\") end)).";
        self.members[0].eval(code).await.as_u64().unwrap()
    }
}

/// The most entries that a folder of a process in `/proc` has.
fn most_entries(pids: &[i32], folder: &str) -> usize {
    let entries = |pid: &i32| std::fs::read_dir(format!("/proc/{pid}/{folder}")).unwrap();
    let counts = pids.iter().map(|pid| entries(pid).count());
    counts.max().unwrap_or(0)
}

async fn figures(count: usize) {
    let mut scale = Scale::start().await;
    let began = Instant::now();
    scale.add(count);
    scale.all_connected().await;
    println!("\n| {count} sidekicks, {MEMBERS} members | |\n|---|---|");
    let (all, seconds) = (count * MEMBERS, began.elapsed().as_secs_f64());
    println!("| started at once, until all {all} connections stood | {seconds:.1} s |");
    let (names, us) = (count + MEMBERS + 1, scale.epmd_list_us().await);
    println!("| names in EPMD, and a list of them | {names} in {us} µs |");

    let (own, stores) = (scale.sidekick_pids(), scale.member_pids());
    println!("| sidekicks without inotify | {} |", scale.blind());
    let of = |folder| (most_entries(&own, folder), most_entries(&stores, folder));
    let ((threads, store_threads), (fds, store_fds)) = (of("task"), of("fd"));
    println!("| threads, descriptors of a sidekick at most | {threads}, {fds} |");
    println!("| threads, descriptors of a member at most | {store_threads}, {store_fds} |");
    let (idle, store_idle) = (memory(&own).0, memory(&stores).0);
    let (cpu, store_cpu) = (cpu_seconds(&own), cpu_seconds(&stores));
    let burst = scale.burst().await;
    let (cpu, store_cpu) = (cpu_seconds(&own) - cpu, cpu_seconds(&stores) - store_cpu);
    println!("| burst of {RECORDS} records each | {burst:.0} records/s |");
    println!("| CPU time of the burst: sidekicks, members | {cpu:.1} s, {store_cpu:.1} s |");
    let (commits, late) = scale.pace().await;
    let uploads = count as f64 / TICK.as_secs_f64();
    println!(
        "| a record each half second each: commits of the store | {commits:.0}/s of {uploads}/s |"
    );
    println!(
        "| the last of them stored after | {} ms |",
        late.as_millis()
    );
    let ((worked, most), (store_worked, _)) = (memory(&own), memory(&stores));
    let (idle, worked, most) = (mib(idle), mib(worked), mib(most));
    println!("| private memory of a sidekick: idle, after work, most | {idle}, {worked}, {most} |");
    let (idle, worked) = (mib(store_idle), mib(store_worked));
    println!("| private memory of a member: idle, after work | {idle}, {worked} |");

    storm(&mut scale).await;
}

async fn storm(scale: &mut Scale) {
    let (moments, healed) = scale.storm().await;
    let at = |share: f64| moments[((moments.len() - 1) as f64 * share) as usize];
    let (first, half, most, last) = (at(0.0), at(0.5), at(0.95), at(1.0));
    println!(
        "| all members killed: reconnected after, first, half, 95 %, last | {first}, {half}, {most}, {last} ms |"
    );
    let within = |from: &u64| {
        moments
            .iter()
            .filter(|at| (*from..from + 100).contains(at))
            .count()
    };
    let (all, crowd) = (moments.len(), moments.iter().map(within).max().unwrap_or(0));
    println!("| most of the {all} reconnections within 100 ms | {crowd} |");
    println!(
        "| until everything was stored again | {:.1} s |",
        healed.as_secs_f64()
    );
}

#[tokio::main]
async fn main() {
    let given = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok());
    let mut counts: Vec<usize> = given.collect();
    if counts.is_empty() {
        counts = vec![50, 200];
    }
    assert!(Path::new("/proc").is_dir(), "the figures come from /proc");
    for count in counts {
        figures(count).await;
    }
}
