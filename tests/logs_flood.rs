//! Floods, rotation, full devices: the game is never slowed by its own log, the disk is bounded, the last lines are right.
#![allow(clippy::unwrap_used)]

#[path = "support/supervision.rs"]
mod supervision;

use sidekick::guard::{archive, pack};
use sidekick::supervisor::{EndReason, EventKind, ServerSpec, State, SupervisorOptions};
use sidekick::types::Contain;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};
use supervision::{House, eventually, eventually_async, id, options, shell};

const FLOOD: &str = "FLOOD_MEGABYTES";
const BEAT: &str = "FLOOD_BEAT";
/// Megabytes a second.
const RATE: u64 = 100;

/// The game's side: writes 100 MB/s, and after each megabyte how many it has written into a file of its own.
#[test]
fn flooder() {
    let (Ok(megabytes), Ok(beat)) = (std::env::var(FLOOD), std::env::var(BEAT)) else {
        return;
    };
    let line = format!("{}\n", "x".repeat(127));
    let chunk = line.repeat((1 << 20) / line.len());
    let begun = Instant::now();
    let mut out = std::io::stdout().lock();
    for number in 1..=megabytes.parse::<u64>().unwrap() {
        // A full device is no reason to stop playing.
        let _ = out.write_all(chunk.as_bytes());
        std::fs::write(&beat, number.to_string()).unwrap();
        let ahead = Duration::from_millis(number * 1000 / RATE).saturating_sub(begun.elapsed());
        // sleep: the pace of the flood is the subject.
        std::thread::sleep(ahead);
    }
    let _ = writeln!(out, "one before the last");
    let _ = writeln!(out, "the last line");
    out.flush().unwrap();
    std::fs::write(&beat, "done").unwrap();
    loop {
        std::thread::park();
    }
}

fn flooding(dir: &Path, megabytes: u64, bytes: u64) -> ServerSpec {
    let this = std::env::current_exe().unwrap();
    let command = [this.to_str().unwrap(), "flooder", "--exact", "--nocapture"];
    let mut spec = ServerSpec {
        command: command.map(str::to_owned).into(),
        contain: Contain {
            log_bytes: Some(bytes),
            ..Contain::default()
        },
        ..shell("lobby", "")
    };
    spec.env.insert(FLOOD.into(), megabytes.to_string());
    let beat = dir.join("beat").to_string_lossy().into_owned();
    spec.env.insert(BEAT.into(), beat);
    spec
}

fn taken(logs: &Path) -> u64 {
    let entries = std::fs::read_dir(logs).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some(entry.metadata().ok()?.blocks() * 512))
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_a_hundred_megabytes_a_second_is_bounded_and_blocks_nobody() {
    const BYTES: u64 = 128 << 20;
    const MEGABYTES: u64 = 600;
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), vec![flooding(dir.path(), MEGABYTES, BYTES)]).await;
    let (logs, beat) = (dir.path().join("logs"), dir.path().join("beat"));
    let (mut most, mut samples) = (0, 0);
    eventually(|| {
        most = most.max(taken(&logs));
        samples += 1;
        (std::fs::read_to_string(&beat).ok()? == "done").then_some(())
    })
    .await;
    house.line("lobby", |line| line == "the last line").await;
    most = most.max(taken(&logs));
    println!(
        "{MEGABYTES} MB written, at most {} MB on disk in {samples} looks",
        most >> 20
    );
    assert!(samples > 20 && most <= BYTES, "{most} bytes");
    let lines = house.supervisor.logs(&id("lobby"), 10_000, None).unwrap();
    let texts: Vec<&str> = lines.iter().map(|line| line.line.as_str()).collect();
    assert!(texts.ends_with(&["one before the last", "the last line"]));
    let whole = |line: &&&str| line.len() == 127 && line.bytes().all(|byte| byte == b'x');
    assert!(texts.iter().filter(whole).count() > 100);
    // Every line is whole, or one of ours, or the test harness' own.
    let broken = |line: &&&str| line.contains('\0') || (line.starts_with('x') && line.len() != 127);
    assert_eq!(texts.iter().find(broken), None);
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_old_are_compressed_and_an_adopting_sidekick_still_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let script = format!(
        "echo one; echo two; while [ ! -e {} ]; do sleep 0.05; done; echo three; exec sleep 1000",
        go.display()
    );
    let spec = ServerSpec {
        contain: Contain {
            log_age: Some(Duration::from_secs(1)),
            ..Contain::default()
        },
        ..shell("lobby", &script)
    };
    let house = House::open(dir.path(), vec![spec.clone()]).await;
    let log = dir.path().join("logs/lobby.stdout.log");
    let packed = |count: usize| {
        let parts = archive::parts(&log);
        // Packed, and given back.
        let given_back = std::fs::read(&log).ok()?.iter().all(|byte| *byte == 0);
        (parts.len() == count && parts.iter().all(|part| part.packed) && given_back)
            .then_some(parts)
    };
    let parts = eventually(|| packed(1)).await;
    assert_eq!(
        pack::unpack_tail(&parts[0].path, 1000).unwrap(),
        b"one\ntwo\n"
    );
    house.supervisor.leave().await;
    drop(house);
    std::fs::write(&go, "").unwrap();
    let house = House::open(dir.path(), vec![spec]).await;
    house.line("lobby", |line| line == "three").await;
    let lines = house.supervisor.logs(&id("lobby"), 100, None).unwrap();
    let texts: Vec<&str> = lines.iter().map(|line| line.line.as_str()).collect();
    let own = texts
        .iter()
        .filter(|line| ["one", "two", "three"].contains(line));
    assert_eq!(
        own.copied().collect::<Vec<_>>(),
        ["one", "two", "three"],
        "{texts:?}"
    );
    assert!(!texts.iter().any(|line| line.contains('\0')), "{texts:?}");
    eventually(|| packed(2)).await;
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_a_crash_before_are_not_those_of_an_adopted_server() {
    let dir = tempfile::tempdir().unwrap();
    let crashed = dir.path().join("crashed");
    let script = format!(
        "if [ -e {crashed} ]; then exec sleep 1000; fi; echo > {crashed}; \
         echo 'handle_crash: Program crashed with signal 11'; kill -SEGV $$",
        crashed = crashed.display()
    );
    let spec = shell("lobby", &script);
    let house = House::open(dir.path(), vec![spec.clone()]).await;
    let log = dir.path().join("logs/lobby.stdout.log");
    eventually(|| archive::parts(&log).first()?.packed.then_some(())).await;
    eventually_async(async || {
        let bundles = house.supervisor.crashes(&id("lobby")).await.ok()?;
        (bundles.len() == 1).then_some(())
    })
    .await;
    house.supervisor.leave().await;
    drop(house);

    let mut house = House::open(dir.path(), vec![spec]).await;
    house.line("lobby", |line| line.contains("signal 11")).await;
    house.supervisor.stop_server(&id("lobby")).await.unwrap();
    let ended = house
        .event(|event| match &event.kind {
            EventKind::Ended { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await;
    assert_eq!(ended, EndReason::Shutdown);
    // Nothing writes any more after this.
    house.supervisor.shutdown().await;
    assert_eq!(
        house.supervisor.crashes(&id("lobby")).await.unwrap().len(),
        1
    );
}

/// A small device of its own, where this user may mount one.
struct Device(std::path::PathBuf);

impl Device {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = std::process::Command::new("mount");
        let mount = mount
            .args(["-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs"])
            .arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_device_of_the_logs_is_told_and_play_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let Some(_device) = Device::mount(&logs) else {
        eprintln!("NOT TRIED: this user may not mount a small file system; run this test as root");
        assert!(!rustix::process::geteuid().is_root() || !logs.join("x").exists());
        return;
    };
    let options = SupervisorOptions {
        log_dir: logs.clone(),
        ..options(dir.path())
    };
    let spec = flooding(dir.path(), 60, 64 << 20);
    let mut house = House::with(options, dir.path(), vec![spec]).await;
    house.state("lobby", State::Running).await;
    // The line that tells it is soon pushed out of the book by the flood: the event is what stays.
    house
        .event(|event| {
            matches!(&event.kind, EventKind::LogsFull { dir } if *dir == logs).then_some(())
        })
        .await;
    let beat = dir.path().join("beat");
    eventually(|| (std::fs::read_to_string(&beat).ok()? == "done").then_some(())).await;
    // There is room again by itself: the game that goes on writing is heard.
    house.supervisor.restart_server(&id("lobby")).await.unwrap();
    house.supervisor.shutdown().await;
}
