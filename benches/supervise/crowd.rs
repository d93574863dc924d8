//! Many servers under one sidekick.

use crate::place::{Place, cpu_ms, private_bytes, signal, spin};
use crate::row;
use nix::sys::signal::Signal;
use sidekick::guard::files::Identity;
use std::fs;
use std::time::{Duration, SystemTime};

/// How long CPU time is counted.
const WATCHED: Duration = Duration::from_secs(20);

fn crowd(count: usize) -> Place {
    Place::start(|_| {
        format!(
            "[[server]]\nid = \"idle_{{n}}\"\ncount = {count}\ncommand = [\"sleep\", \"infinity\"]\nsession = false\non_exit = \"stop\"\n\
             max_restarts = 1000\nbackoff = {{ initial = \"1ms\", max = \"1ms\" }}\n"
        )
    })
}

/// All of them, once each executes its command.
fn all(place: &Place, count: usize) -> Vec<Identity> {
    let (_, found) = spin("all servers", || {
        let found: Vec<_> = (1..=count)
            .map_while(|n| place.identity(&format!("idle_{n}")))
            .collect();
        let executes = |identity: &Identity| {
            fs::read_to_string(format!("/proc/{}/comm", identity.server.pid))
                .is_ok_and(|comm| comm.trim() == "sleep")
        };
        (found.len() == count && found.iter().all(executes)).then_some(found)
    });
    found
}

/// CPU and memory of sidekick and of the guards while nothing happens.
pub fn idle(count: usize) {
    let place = crowd(count);
    let guards: Vec<i32> = all(&place, count)
        .iter()
        .map(|identity| identity.guard.pid)
        .collect();
    // What starting took is over when sidekick has looked at each of them once.
    std::thread::sleep(Duration::from_secs(6));
    let guards_cpu = || guards.iter().map(|pid| cpu_ms(*pid)).sum::<u64>();
    let (ours, theirs) = (cpu_ms(place.pid()), guards_cpu());
    std::thread::sleep(WATCHED);
    let percent = |ms: u64| ms as f64 / WATCHED.as_millis() as f64 * 100.0;
    let (ours, theirs) = (
        percent(cpu_ms(place.pid()) - ours),
        percent(guards_cpu() - theirs),
    );
    let memory: Vec<f64> = guards
        .iter()
        .map(|pid| private_bytes(*pid) as f64 / 1024.0)
        .collect();
    println!("\n| {count} idle processes | median | range |\n|---|---|---|");
    row("CPU of sidekick, of one core", &[ours], "%");
    row("CPU of all guards together", &[theirs], "%");
    row(
        "private memory of sidekick",
        &[private_bytes(place.pid()) as f64 / 1024.0],
        "KiB",
    );
    row("private memory of a guard", &memory, "KiB");
}

/// All are killed at once: when is the first, the median and the last back on record?
pub fn crashing(count: usize, rounds: usize) {
    let place = crowd(count);
    let mut before = all(&place, count);
    let (mut first, mut median, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let killed = SystemTime::now();
        for identity in &before {
            signal(identity.server.pid, Signal::SIGKILL);
        }
        spin("all to be replaced", || {
            let now = (1..=count).map(|n| place.identity(&format!("idle_{n}")));
            let replaced = now
                .zip(&before)
                .all(|(now, before)| now.is_some_and(|now| now.start != before.start));
            replaced.then_some(())
        });
        before = all(&place, count);
        let mut after: Vec<f64> = (1..=count)
            .map(|n| {
                fs::metadata(place.path(&format!("var/run/guards/idle_{n}.identity"))).unwrap()
            })
            .map(|meta| {
                meta.modified()
                    .unwrap()
                    .duration_since(killed)
                    .unwrap_or_default()
                    .as_secs_f64()
                    * 1e3
            })
            .collect();
        after.sort_by(f64::total_cmp);
        first.push(after[0]);
        median.push(after[count / 2]);
        last.push(after[count - 1]);
    }
    println!("\n| {count} killed at once → started again | median | range |\n|---|---|---|");
    row("the first", &first, "ms");
    row("the median", &median, "ms");
    row("the last", &last, "ms");
}
