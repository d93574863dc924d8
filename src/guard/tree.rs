//! Killing whole trees of processes, without hitting a stranger whose number was reused.

use super::proc::{self, ProcessId, Stat};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::HashMap;
use std::fs;

/// Sends a signal to exactly this process; false where it is gone.
pub fn signal(process: ProcessId, signal: Signal) -> bool {
    let Some(pid) = Pid::from_raw(process.pid) else {
        return false;
    };
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return false;
    };
    // The descriptor now names one process for good: if the start time fits, it is ours.
    ProcessId::of(process.pid) == Some(process) && pidfd_send_signal(&pidfd, signal).is_ok()
}

/// All living descendants of a process.
pub fn descendants(of: i32) -> Vec<ProcessId> {
    let mut children: HashMap<i32, Vec<ProcessId>> = HashMap::new();
    for pid in proc::all() {
        if let Some(stat) = Stat::read(pid).filter(|stat| stat.state != 'Z') {
            let start_time = stat.start_time;
            children
                .entry(stat.parent)
                .or_default()
                .push(ProcessId { pid, start_time });
        }
    }
    let mut found = Vec::new();
    let mut open = vec![of];
    while let Some(parent) = open.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            open.push(child.pid);
            found.push(child);
        }
    }
    found
}

/// SIGKILL to all living descendants; says how many there were.
pub fn kill_descendants(of: i32) -> usize {
    let found = descendants(of);
    for process in &found {
        signal(*process, Signal::KILL);
    }
    found.len()
}

/// Kills what a server left behind whose guard is gone: its session, and whatever carries its mark in the environment.
/// Says how many there were; call again until none is left.
pub fn sweep(server: ProcessId, mark: &str) -> usize {
    let mark = format!("{MARK}={mark}");
    let mut killed = 0;
    for pid in proc::all() {
        let Some(stat) = Stat::read(pid).filter(|stat| stat.state != 'Z') else {
            continue;
        };
        // A session outlives its leader; a recycled number would belong to a process that started later than the server.
        let same_session = stat.session == server.pid && stat.start_time >= server.start_time;
        let leader_recycled = ProcessId::of(server.pid).is_some_and(|now| now != server);
        if (same_session && !leader_recycled) || carries(pid, &mark) {
            let start_time = stat.start_time;
            killed += usize::from(signal(ProcessId { pid, start_time }, Signal::KILL));
        }
    }
    killed
}

/// The environment variable that marks every process of one start.
pub const MARK: &str = "SIDEKICK_START";

fn carries(pid: i32, mark: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
        environ
            .split(|byte| *byte == 0)
            .any(|entry| entry == mark.as_bytes())
    })
}
