//! A real sidekick with a real Godot, three BEAMs that hold one Khepri store, and a PostgreSQL, all of which may be struck.

#![allow(dead_code, clippy::unwrap_used)]

pub mod check;
pub mod parts;
pub mod plan;
pub mod producers;
pub mod sabotage;
pub mod verdict;
pub mod writers;

use crate::beam::{COOKIE, Epmd, eventually, unique};
use crate::postgres::Postgres;
use nix::sys::signal::Signal;
use parts::{Member, Sidekick, family, processes, signal};
use plan::{Deed, Fault, MEMBERS, Victim};
use producers::Target;
use sidekick::dist::NodeName;
use sidekick::etf::Term;
use sidekick::node::Node;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long everything together may take to be well again.
pub const HEALING: Duration = Duration::from_secs(180);

/// What has to be undone, and when.
struct Outage {
    until: Instant,
    deed: Deed,
    victim: Victim,
    /// Of a pause: those that were stopped.
    pids: Vec<i32>,
}

pub struct World {
    pub dir: TempDir,
    pub epmd: Epmd,
    pub sidekick: Sidekick,
    pub members: Vec<Member>,
    pub postgres: Postgres,
    pub target: Target,
    outages: Vec<Outage>,
    began: Instant,
}

impl World {
    /// Everything up and taking uploads. `keep`: so many records of each stream outlive their upload.
    pub async fn start(keep: u64) -> Self {
        let (dir, epmd) = (TempDir::new().unwrap(), Epmd::start().await);
        let names: Vec<_> = (0..MEMBERS).map(|_| unique("store")).collect();
        let members = names.iter().enumerate().map(|(n, name)| {
            Member::new(
                name,
                &names,
                epmd.port,
                dir.path().join(format!("store{n}")),
            )
        });
        let postgres = Postgres::start().await;
        let own = unique("sidekick");
        let text = config(&own, epmd.port, &names, keep, &dir);
        std::fs::write(dir.path().join("sidekick.toml"), text).unwrap();
        let url = postgres.url("postgres");
        std::fs::write(dir.path().join("url"), url).unwrap();
        private(&dir.path().join("url"));
        let node = crate::echo::node(&unique("producers"), COOKIE, epmd.port).await;
        let mut world = Self {
            sidekick: Sidekick::new(dir.path()),
            members: members.collect(),
            postgres,
            target: target(node, &own),
            outages: Vec::new(),
            began: Instant::now(),
            dir,
            epmd,
        };
        for member in &mut world.members {
            member.start().await;
        }
        world.sidekick.start();
        let init = Term::tuple([Term::atom("init_sink"), Term::text("db")]);
        world.target.insist(&init).await;
        world
    }

    /// Where the game notes what it was told.
    pub fn witness(&self) -> PathBuf {
        self.dir.path().join("witness.log")
    }

    /// Strikes by the faults of a plan for so long; outages end as the faults say, and overlap.
    pub async fn torture(&mut self, faults: impl Iterator<Item = Fault>, time: Duration) -> usize {
        let end = Instant::now() + time;
        let mut count = 0;
        for fault in faults {
            let at = Instant::now() + fault.gap;
            if at > end {
                break;
            }
            self.undo_until(at).await;
            self.strike(fault).await;
            count += 1;
        }
        count
    }

    /// Strikes by all of these, each for as long as it says.
    pub async fn torture_all(&mut self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            self.strike(fault).await;
            self.undo_until(Instant::now() + fault.outage).await;
        }
        self.heal().await;
    }

    /// Ends every outage.
    pub async fn heal(&mut self) {
        while let Some(outage) = self.outages.pop() {
            self.undo(outage).await;
        }
    }

    async fn undo_until(&mut self, moment: Instant) {
        loop {
            let next = (0..self.outages.len()).min_by_key(|n| self.outages[*n].until);
            let next = next.filter(|n| self.outages[*n].until <= moment);
            let until = next.map_or(moment, |n| self.outages[n].until);
            // sleep: faults come and go by the clock
            tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
            match next {
                Some(n) => {
                    let outage = self.outages.swap_remove(n);
                    self.undo(outage).await;
                }
                None => return,
            }
        }
    }

    /// Does what a fault says, once its victim is well.
    pub async fn strike(&mut self, fault: Fault) {
        let victim = match fault.victim {
            Victim::Leader => Victim::Member(self.leader().await),
            victim => victim,
        };
        while let Some(n) = self.outages.iter().position(|o| touches(o.victim, victim)) {
            let outage = self.outages.swap_remove(n);
            self.undo(outage).await;
        }
        self.say(&format!("{fault} ({victim:?})"));
        let mut pids = Vec::new();
        match (fault.deed, victim) {
            (Deed::Isolate, Victim::Member(n)) => self.members[n].isolate().await,
            (Deed::Kill, _) => self.kill(victim).await,
            _ => {
                pids = self.pids(victim);
                for pid in &pids {
                    signal(*pid, Signal::SIGSTOP);
                }
            }
        }
        self.outages.push(Outage {
            until: Instant::now() + fault.outage,
            deed: fault.deed,
            victim,
            pids,
        });
    }

    /// Ends a member gracefully and starts it again on its folder, or on none: as a node that lost its disk.
    pub async fn restart(&mut self, n: usize, lose_disk: bool) {
        self.say(&format!("restart Member({n}), disk lost: {lose_disk}"));
        self.members[n].stop().await;
        if lose_disk {
            std::fs::remove_dir_all(&self.members[n].dir).unwrap();
        }
        self.members[n].start().await;
        self.serves(n).await;
    }

    /// Waits until a member takes uploads and is in touch with the others.
    pub async fn serves(&mut self, n: usize) {
        let count = self.members.len();
        let member = &mut self.members[n];
        eventually("the member serves", async || {
            let all = member
                .eval(
                    "(fun() -> case whereis('Elixir.Sidekick.Ingest') =/= undefined andalso 'Elixir.Sidekick.Store.Cluster':status() of
                        {ok, #{connected := Members}} -> length(Members); _ -> 0 end end)().",
                )
                .await;
            all.as_u64() == Some(count as u64)
        })
        .await;
    }

    async fn kill(&mut self, victim: Victim) {
        match victim {
            Victim::Godot => {
                for pid in self.pids(victim) {
                    signal(pid, Signal::SIGKILL);
                }
            }
            Victim::Sidekick => self.sidekick.kill(),
            Victim::Postgres => self.postgres.kill(),
            Victim::Member(n) => self.members[n].kill().await,
            Victim::Members | Victim::Leader => {
                for member in &mut self.members {
                    member.kill().await;
                }
            }
        }
    }

    fn pids(&self, victim: Victim) -> Vec<i32> {
        let member = |m: &Member| m.frontend.as_ref().unwrap().beam.pid();
        match victim {
            Victim::Godot => {
                let entry = format!("DEMO_WITNESS={}", self.witness().display());
                processes(&entry, "--headless")
                    .into_iter()
                    .filter(|pid| !is_guard(*pid))
                    .collect()
            }
            Victim::Sidekick => vec![self.sidekick.pid()],
            Victim::Postgres => family(self.postgres.pid()),
            Victim::Member(n) => vec![member(&self.members[n])],
            Victim::Members | Victim::Leader => self.members.iter().map(member).collect(),
        }
    }

    async fn undo(&mut self, outage: Outage) {
        match (outage.deed, outage.victim) {
            (Deed::Pause, _) => {
                for pid in outage.pids {
                    signal(pid, Signal::SIGCONT);
                }
            }
            (Deed::Isolate, Victim::Member(n)) => self.members[n].rejoin().await,
            (_, Victim::Sidekick) => self.sidekick.start(),
            (_, Victim::Postgres) => self.postgres.run().await,
            (_, Victim::Member(n)) => self.members[n].start().await,
            (_, Victim::Members) => {
                for member in &mut self.members {
                    member.start().await;
                }
            }
            // sidekick starts the game again.
            _ => {}
        }
        if let Some(ended) = self.sidekick.ended() {
            panic!(
                "{ended}; see {}",
                self.dir.path().join("sidekick.log").display()
            );
        }
    }

    /// The member that leads, as one that is well has it; the first where none is.
    async fn leader(&mut self) -> usize {
        let well = |n: usize, outages: &[Outage]| {
            !outages.iter().any(|o| touches(o.victim, Victim::Member(n)))
        };
        let Some(asked) = (0..MEMBERS).find(|n| well(*n, &self.outages)) else {
            return 0;
        };
        let leader = self.members[asked]
            .eval("(fun() -> case catch ra_leaderboard:lookup_leader(sidekick_store) of {_, Node} -> Node; _ -> none end end)().")
            .await;
        let names = self.members.iter().map(|member| member.name.as_str());
        names
            .into_iter()
            .position(|name| leader.is_atom(name))
            .unwrap_or(asked)
    }

    /// A line of the log of what was done.
    pub fn say(&self, what: &str) {
        println!("{:9.3} s  {what}", self.began.elapsed().as_secs_f64());
    }
}

impl Drop for World {
    /// The game outlives sidekick, so it is ended after it.
    fn drop(&mut self) {
        for outage in self.outages.drain(..) {
            for pid in outage.pids {
                signal(pid, Signal::SIGCONT);
            }
        }
        if std::thread::panicking() {
            let kept = self.dir.path().display();
            println!("what it left behind is kept in {kept}");
            self.dir.disable_cleanup(true);
        }
        self.sidekick.terminate();
        for pid in self.pids(Victim::Godot) {
            signal(pid, Signal::SIGKILL);
        }
    }
}

fn touches(one: Victim, other: Victim) -> bool {
    let member = |victim| matches!(victim, Victim::Member(_) | Victim::Members | Victim::Leader);
    one == other
        || (member(one) && member(other) && (one == Victim::Members || other == Victim::Members))
}

/// The guard has the game's command line behind its own.
fn is_guard(pid: i32) -> bool {
    let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    exe.file_name().is_some_and(|name| name == "sidekick")
}

fn target(node: Node, own: &str) -> Target {
    let sidekick: NodeName = own.parse().unwrap();
    Target { node, sidekick }
}

fn private(file: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn config(own: &str, epmd: u16, nodes: &[String], keep: u64, dir: &TempDir) -> String {
    let game = concat!(env!("CARGO_MANIFEST_DIR"), "/godot/demo");
    let godot = std::env::var("SIDEKICK_GODOT")
        .expect("SIDEKICK_GODOT names no Godot; run: eval \"$(./scripts/setup --env)\"");
    let witness = dir.path().join("witness.log").display().to_string();
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
segment_bytes = "1MiB"
[[stream]]
pattern = "*"
keep = {{ count = {keep} }}
[[server]]
id = "lobby"
command = [{godot:?}, "--headless", "--path", {game:?}]
env = {{ DEMO_WITNESS = "{witness}" }}
max_restarts = 10000
max_seconds = 1
backoff = {{ initial = "50ms", max = "200ms" }}
start_timeout = "60s"
hang_timeout = "3s"
stop_timeout = "10s"
on_exit = "keep"
[[sink]]
name = "khepri"
kind = "beam"
nodes = {nodes:?}
streams = ["*"]
limits = {{ timeout = "3s" }}
[[sink]]
name = "db"
kind = "postgres"
url_file = "url"
streams = ["*"]
limits = {{ timeout = "3s" }}
"#
    )
}
