//! A backlog into the store by the sink, beside the same records put by the stored procedure alone, on the member itself.

use crate::usage::{cpu_seconds, forget_peak, peak_mib, show};
use crate::world::{BATCH, WINDOW, World, binaries, streams};
use sidekick::etf::Term;
use std::time::Instant;

/// Takes the process that answers uploads away, and puts it back.
const AWAY: &str =
    "ok = supervisor:terminate_child('Elixir.Sidekick.Supervisor', 'Elixir.Sidekick.Ingest').";
const BACK: &str =
    "{ok, _} = supervisor:restart_child('Elixir.Sidekick.Supervisor', 'Elixir.Sidekick.Ingest').";

/// What the stored procedure alone put is the same each time, so it must go.
const FORGET: &str = "ok = khepri:delete(sidekick_store, [sidekick, origins, <<\"00000000-0000-4000-8000-000000000000\">>]).";

/// What one contender needed for a round.
struct Round {
    /// Records per second.
    rate: f64,
    commits: f64,
    /// CPU time for a thousand records, ms.
    members_cpu: f64,
    sidekick_cpu: f64,
    /// Most resident memory of sidekick, MiB.
    peak: f64,
    /// What is kept of the first stream: records and bytes.
    kept: (u64, u64),
}

#[derive(Clone, Copy, PartialEq)]
enum Contender {
    Sink,
    Bare,
    /// With the note that Khepri writes by default that the answer arrived.
    BareNoted,
}

use Contender::{Bare, BareNoted, Sink};

/// Rounds, contenders by turns, each with so many records.
pub async fn rounds(members: usize, rounds: usize, records: u64) {
    let mut world = World::start(members, "", "").await;
    let mut taken = Vec::new();
    // The first is not counted: it makes the buffer's segments and the store's first logs.
    for round in 0..=rounds {
        let mut contenders = [Sink, Bare, BareNoted];
        contenders.rotate_left(round % 3);
        for contender in contenders {
            let took = measured(&mut world, contender, round, records).await;
            if round > 0 {
                taken.push((contender, took));
            }
        }
    }
    print(members, records, &taken);
}

async fn measured(world: &mut World, contender: Contender, round: usize, records: u64) -> Round {
    let (members, own) = (world.member_pids(), [world.sidekick.pid()]);
    let names = streams(&format!("r{round}"));
    match contender {
        Sink => {
            for member in &mut world.members {
                member.eval(AWAY).await;
            }
            world.append(&names, records).await;
        }
        Bare => prepare(world, &names, records, false).await,
        BareNoted => prepare(world, &names, records, true).await,
    }
    forget_peak(own[0]);
    let commits = world.commits().await;
    let cpu = (cpu_seconds(&members), cpu_seconds(&own));
    let (seconds, kept) = match contender {
        Sink => sink(world, &names).await,
        Bare | BareNoted => go(world).await,
    };
    let per = |seconds: f64| seconds * 1e6 / records as f64;
    let round = Round {
        rate: records as f64 / seconds,
        members_cpu: per(cpu_seconds(&members) - cpu.0),
        sidekick_cpu: per(cpu_seconds(&own) - cpu.1),
        commits: (world.commits().await - commits) as f64,
        peak: peak_mib(own[0]),
        kept,
    };
    if contender != Sink {
        world.eval(FORGET).await;
    }
    round
}

/// From the moment at which uploads are taken again to the word of the store that it has everything.
async fn sink(world: &mut World, names: &[String]) -> (f64, (u64, u64)) {
    let began = Instant::now();
    for member in &mut world.members {
        member.eval(BACK).await;
    }
    world
        .ask([Term::atom("retry_sink"), Term::text("khepri")])
        .await;
    world.drain().await;
    let took = began.elapsed().as_secs_f64();
    let origin = world.origin().await;
    let code = format!(
        "(fun() -> {{ok, Head}} = 'Elixir.Sidekick.Store':stream(<<{origin:?}>>, <<{:?}>>), {{maps:get(records, Head), maps:get(bytes, Head)}} end)().",
        names[0]
    );
    let head = world.eval(&code).await;
    let head = head.as_tuple().unwrap();
    (took, (head[0].as_u64().unwrap(), head[1].as_u64().unwrap()))
}

async fn prepare(world: &mut World, names: &[String], records: u64, noted: bool) {
    let each = records / names.len() as u64;
    let code = format!(
        "member:prepare({}, {each}, {BATCH}, {{{{{WINDOW}, infinity}}, {noted}}}).",
        binaries(names)
    );
    world.eval(&code).await;
}

async fn go(world: &mut World) -> (f64, (u64, u64)) {
    let told = world.eval("member:go().").await;
    let told = told.as_tuple().unwrap();
    let number = |n: usize| told[n].as_u64().unwrap();
    (number(0) as f64 / 1e6, (number(1), number(2)))
}

fn print(members: usize, records: u64, taken: &[(Contender, Round)]) {
    let of = |wanted: Contender| {
        taken
            .iter()
            .filter(move |(it, _)| *it == wanted)
            .map(|(_, round)| round)
    };
    let kept = taken[0].1.kept;
    for (_, round) in taken {
        assert_eq!(round.kept, kept, "all store the same");
    }
    println!(
        "\n| {members} member(s), {records} records, {BATCH} to a transaction | records/s | ÷ bare | commits of the Raft log | CPU of the members for 1000, ms | CPU of sidekick for 1000, ms | most RSS of sidekick, MiB |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, contender) in [
        ("the sink", Sink),
        ("the stored procedure alone", Bare),
        ("… with Khepri's note of each answer", BareNoted),
    ] {
        let rates = of(contender)
            .zip(of(Bare))
            .map(|(own, bare)| own.rate / bare.rate);
        let sidekick = |figure: fn(&Round) -> f64, digits| match contender {
            Sink => show(of(Sink).map(figure), digits),
            Bare | BareNoted => "–".to_owned(),
        };
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} |",
            show(of(contender).map(|round| round.rate), 0),
            show(rates, 2),
            show(of(contender).map(|round| round.commits), 0),
            show(of(contender).map(|round| round.members_cpu), 1),
            sidekick(|round| round.sidekick_cpu, 2),
            sidekick(|round| round.peak, 1),
        );
    }
}
