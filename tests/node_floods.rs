//! Peers that know the cookie and send without end: what they fill has a bound, and the other peers are answered meanwhile.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/rogue.rs"]
mod rogue;

use beam::eventually;
use bytes::BytesMut;
use rogue::{House, Rogue, control, operation};
use sidekick::dist::control::Target;
use sidekick::dist::frames;
use sidekick::etf::{Atom, Pid, Term};
use sidekick::node::Faults;
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Threads that write these bytes to a connection each, as fast as they are read, until dropped.
struct Flood {
    over: Arc<AtomicBool>,
}

impl Flood {
    fn start(rogues: &[Rogue], bytes: &[u8]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        for rogue in rogues {
            let socket = rogue.socket();
            let (over, bytes) = (over.clone(), bytes.to_vec());
            std::thread::spawn(
                move || {
                    while !over.load(Ordering::Relaxed) && write(&socket, &bytes) {}
                },
            );
        }
        Self { over }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Writes all of it to a socket that does not block; whether it could.
fn write(mut socket: &std::net::TcpStream, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match socket.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(_) => return false,
        }
    }
    true
}

/// More peers than worker threads, each always ready to be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_never_pause_do_not_keep_the_others_from_being_heard() {
    let house = House::open().await;
    let mut rogues = Vec::new();
    for _ in 0..4 {
        rogues.push(Rogue::connect(&house.node).await);
    }
    let mut messages = BytesMut::new();
    for _ in 0..1000 {
        frames::reg_send(
            &mut messages,
            &rogues[0].pid,
            &Atom::new("nobody"),
            &Term::atom("hi"),
        );
    }
    for bytes in [&vec![0; 64 << 10][..], &messages] {
        let flood = Flood::start(&rogues, bytes);
        for _ in 0..20 {
            house.is_well().await;
        }
        drop(flood);
    }
}

/// Which part of four peers' floods, all of which the kernel holds already, the node has read by the time that it answers a
/// good peer. One thread does everything here, so neither luck nor load has a say.
async fn read_before_an_answer(faults: Faults, bytes: &[u8]) -> f64 {
    let house = House::open_with(faults).await;
    let mut rogues = Vec::new();
    for _ in 0..4 {
        rogues.push(Rogue::connect(&house.node).await);
    }
    house.is_well().await;
    let received = || -> u64 {
        let from_rogues = |name: &str| name.starts_with("rogue");
        let peers = house.node.peers().into_iter();
        let rogues = peers.filter(|peer| from_rogues(peer.node.as_str()));
        rogues.map(|peer| peer.received_bytes).sum()
    };
    let (before, mut written) = (received(), 0);
    for rogue in &rogues {
        let mut socket = rogue.socket();
        let error = loop {
            match socket.write(bytes) {
                Ok(bytes) => written += bytes,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    house.is_well().await;
    (received() - before) as f64 / written as f64
}

#[tokio::test]
async fn others_are_answered_before_a_flood_is_read_and_without_the_pauses_after_it() {
    let without = Faults {
        readers_never_pause: true,
        ..Faults::default()
    };
    let stranger = Pid {
        node: Atom::new("stranger@nowhere"),
        id: 1,
        serial: 0,
        creation: 7,
    };
    let mut message = BytesMut::new();
    frames::reg_send(
        &mut message,
        &stranger,
        &Atom::new("nobody"),
        &Term::atom("hi"),
    );
    for bytes in [&vec![0; 4 << 10][..], &message.repeat(100)] {
        let part = read_before_an_answer(Faults::default(), bytes).await;
        assert!(part < 0.5, "{part}");
        // The control.
        let part = read_before_an_answer(without.clone(), bytes).await;
        assert!(part > 0.9, "{part}");
    }
}

#[tokio::test]
async fn monitors_and_links_of_one_peer_are_bounded_over_all_processes() {
    let house = House::open().await;
    let rogue = Arc::new(Rogue::connect(&house.node).await);
    let processes: Vec<_> = (0..3).map(|_| house.node.spawn(8)).collect();
    let mut bytes = BytesMut::new();
    for number in 0..50_000u32 {
        let process = &processes[number as usize % processes.len()];
        let target = Target::Pid(process.pid().clone());
        frames::monitor(&mut bytes, &rogue.pid, &target, &rogue.reference(number));
        frames::link(
            &mut bytes,
            &Pid {
                id: number,
                ..rogue.pid.clone()
            },
            process.pid(),
        );
    }
    rogue.write(&bytes).await;
    // One more of each finds no room, and is told so as where there is no such process.
    let target = Target::Pid(house.lobby.clone());
    let mut more = BytesMut::new();
    frames::monitor(&mut more, &rogue.pid, &target, &rogue.reference(60_000));
    rogue.write(&more).await;
    let answer = rogue.first_frame().await;
    let mut noproc = BytesMut::new();
    frames::monitor_exit(
        &mut noproc,
        &target,
        &rogue.pid,
        &rogue.reference(60_000),
        &Term::atom("noproc"),
    );
    assert_eq!(answer, noproc);
    // With one taken back, one finds room again; another peer never felt it.
    let mut less = BytesMut::new();
    let first = Target::Pid(processes[0].pid().clone());
    frames::demonitor(&mut less, &rogue.pid, &first, &rogue.reference(0));
    frames::monitor(&mut less, &rogue.pid, &target, &rogue.reference(60_001));
    frames::monitor(&mut less, &rogue.pid, &target, &rogue.reference(60_002));
    rogue.write(&less).await;
    noproc.clear();
    frames::monitor_exit(
        &mut noproc,
        &target,
        &rogue.pid,
        &rogue.reference(60_002),
        &Term::atom("noproc"),
    );
    assert_eq!(rogue.first_frame().await, noproc);
    house.is_well().await;
}

/// Who watches must be the peer's own process, as OTP has it.
#[tokio::test]
async fn monitors_and_links_in_another_nodes_name_end_the_connection() {
    let house = House::open().await;
    let foreign = |rogue: &Rogue| Pid {
        node: Atom::new("elsewhere@nowhere"),
        ..rogue.pid.clone()
    };
    let target = Target::Pid(house.lobby.clone());
    for which in 0..3 {
        let rogue = Rogue::connect(&house.node).await;
        let (own, other) = (rogue.reference(1), foreign(&rogue));
        let mut bytes = BytesMut::new();
        match which {
            0 => frames::monitor(&mut bytes, &other, &target, &own),
            1 => frames::monitor(&mut bytes, &rogue.pid, &target, &house.node.make_ref()),
            _ => frames::link(&mut bytes, &other, &house.lobby),
        }
        rogue.write(&bytes).await;
        rogue.hung_up().await;
    }
    house.is_well().await;
}

/// Calls that never end take up what one peer may have running; others find room.
#[tokio::test]
async fn calls_of_one_peer_leave_room_for_others() {
    let house = House::open().await;
    let (rogue, other) = (
        Rogue::connect(&house.node).await,
        Rogue::connect(&house.node).await,
    );
    let request = |rogue: &Rogue, number: u32, function: &str| {
        let pid = Term::Pid(rogue.pid.clone());
        let mfa = Term::tuple([Term::atom("erpc"), Term::atom("execute_call"), Term::Int(4)]);
        let options = Term::list([Term::atom("monitor")]);
        let fields = [
            Term::Ref(rogue.reference(number)),
            pid.clone(),
            pid,
            mfa,
            options,
        ];
        let arguments = [
            Term::atom("res"),
            Term::atom("sidekick"),
            Term::atom(function),
            Term::list([]),
        ];
        control(&operation(29, &fields), Some(&Term::list(arguments)))
    };
    let mut bytes = Vec::new();
    for number in 0..1000 {
        bytes.extend(request(&rogue, number, "sleep"));
    }
    rogue.write(&bytes).await;
    let refused = |answer: &[u8]| answer.windows(12).any(|part| part == b"system_limit");
    let mut refusals = 0;
    for _ in 0..1000 {
        refusals += usize::from(refused(&rogue.first_frame().await));
    }
    assert_eq!(refusals, 1000 - 256);
    other.write(&request(&other, 1, "whoami")).await;
    assert!(!refused(&other.first_frame().await));
    house.is_well().await;
}

/// Heavy messages wait in a mailbox that nobody empties: what they take in memory together has a bound, beyond which the peer is
/// read no further for a while and then loses messages.
#[tokio::test]
async fn heavy_messages_of_one_peer_are_bounded_in_memory() {
    let house = House::open().await;
    let process = house.node.spawn(100_000);
    let rogue = Rogue::connect(&house.node).await;
    // A thousand kilobytes of nil make 32 MB of terms.
    let nils = Term::List(vec![Term::list([]); 1_000_000]);
    let mut bytes = BytesMut::new();
    frames::send(&mut bytes, process.pid(), &nils);
    for _ in 0..12 {
        rogue.write(&bytes).await;
    }
    eventually("what does not fit is dropped", async || {
        house.node.dropped_messages() > 0
    })
    .await;
    house.is_well().await;
    drop(process);
}

/// Names and references of all kinds are forgotten with the message that held them.
#[tokio::test]
async fn a_million_different_atoms_stay_nowhere() {
    let house = House::open().await;
    let rogue = Rogue::connect(&house.node).await;
    for thousand in 0..100u32 {
        let mut bytes = BytesMut::new();
        for number in 0..1000 {
            let name = Atom::new(&format!("{}{thousand}_{number}", "atom".repeat(20)));
            frames::reg_send(&mut bytes, &rogue.pid, &name, &Term::Atom(name.clone()));
        }
        rogue.write(&bytes).await;
    }
    house.is_well().await;
    assert_eq!(house.rogues(), 1);
}

/// Names of processes that are not there are asked for, and the answers are not read.
#[tokio::test]
async fn a_peer_that_asks_and_does_not_read_loses_its_connection() {
    let house = House::open().await;
    let rogue = Rogue::connect(&house.node).await;
    let mut bytes = BytesMut::new();
    for number in 0..1000 {
        let target = Target::Name(Atom::new(&"n".repeat(255)));
        frames::monitor(&mut bytes, &rogue.pid, &target, &rogue.reference(number));
    }
    let asking = async {
        while house.rogues() == 1 {
            rogue.write(&bytes).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), asking)
        .await
        .unwrap();
    house.is_well().await;
}
