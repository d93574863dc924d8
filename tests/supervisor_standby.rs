//! Promise: a server with a standby plays on within milliseconds, from its last acknowledged tick, with the same world, and two
//! processes of it never play at once. Everything is real: sidekick, its buffer, Godot. The game replays its log and ends with
//! exit code 4 where that gives another world. Needs `SIDEKICK_GODOT` (`scripts/setup --env`).
#![allow(clippy::unwrap_used)]

#[path = "support/standby.rs"]
mod standby;

use nix::sys::signal::Signal;
use standby::{Stage, alive, kill, look};
use std::time::{Duration, Instant};

#[test]
fn a_killed_server_is_followed_by_its_standby_with_its_port_its_state_and_a_new_standby() {
    let mut stage = Stage::start();
    let (first, standby) = stage.ready();
    assert_eq!(stage.door()["epoch"], 1);
    for signal in [Signal::SIGKILL, Signal::SIGSEGV] {
        let (active, standby) = stage.ready();
        let epoch = stage.server()["epoch"].as_u64().unwrap();
        kill(active, signal);
        let now =
            stage.until(|server| server["epoch"] == epoch + 1 && server["state"] == "running");
        assert_eq!(now["os_pid"], standby);
        assert_eq!(
            (stage.door()["epoch"], stage.restored().epoch),
            (epoch + 1, epoch + 1)
        );
        stage.assert_resumed(epoch);
    }
    let now = stage.server();
    assert!(now["restore_ms"]["count"] == 2 && now["restore_ms"]["max"].as_u64() > Some(0));
    assert_eq!(
        (
            now["restarts"].as_u64(),
            now["planned_restore_ms"]["count"].as_u64()
        ),
        (Some(2), Some(0))
    );
    let log = stage.log();
    assert!(
        log.contains(&format!("standby process {standby} is ready to take over")),
        "{log}"
    );
    assert!(
        log.contains(&format!("promoted its standby, process {standby}, epoch 2")),
        "{log}"
    );
    // Bundles are written beside everything else: that of the second end may be the first.
    let crash = look("no bundle of the first process", || {
        let listed = stage.sidekick.ctl_json(&["crashes", "lobby"]);
        let mut numbers = listed.as_array()?.iter().map(|crash| &crash["number"]);
        let crash = |number: &serde_json::Value| {
            let number = number.to_string();
            stage.sidekick.ctl_json(&["crashes", "lobby", &number])
        };
        numbers.find_map(|number| Some(crash(number)).filter(|crash| crash["os_pid"] == first))
    });
    assert_eq!(crash["standby"], false);
    // While it waits it costs no processor time.
    let (_, standby) = stage.ready();
    let before = standby::cpu_ticks(standby);
    stage.until_acked_more(60);
    let used = standby::cpu_ticks(standby) - before;
    assert!(used <= 3, "{used} ticks of 10 ms within a second");
    let status = stage.until(|server| server["standby"]["rss_bytes"].as_u64() > Some(10 << 20));
    assert!(status["rss_bytes"].as_u64() > Some(10 << 20));
}

#[test]
fn a_hang_in_the_script_is_answered_before_the_old_process_is_dead_and_its_line_is_told() {
    let mut stage = Stage::start();
    let (_, standby) = stage.ready();
    stage.misbehave("hang");
    stage.until(|server| server["epoch"] == 2 && server["state"] == "running");
    stage.assert_resumed(1);
    let status = stage.until(|server| !server["last_exit"]["bundle"].is_null());
    assert_eq!(status["os_pid"], standby);
    assert_eq!(status["last_exit"]["reason"], "hang");
    let crash = stage.sidekick.ctl_json(&["crashes", "lobby", "1"]);
    assert_eq!(crash["decision"], "hang");
    let line = crash["output"]["script_line"].as_str().unwrap();
    assert!(line.starts_with("res://main.gd:"), "{crash:#}");
    // The lines of the one that took over are not among the last ones of the one that hung.
    let lines = crash["log"].to_string();
    assert!(!lines.contains("epoch=2"), "{lines}");
    stage.until_door(2);
    stage.ready();
}

#[test]
fn a_stopped_process_that_wakes_up_is_refused_and_killed_and_nothing_of_it_is_kept() {
    // Deaf to SIGSEGV, so that it plays on instead of dying of that when it is woken to print where it hangs.
    let mut stage = Stage::deaf();
    let (old, _) = stage.ready();
    kill(old, Signal::SIGSTOP);
    stage.until(|server| server["epoch"] == 2 && server["state"] == "running");
    standby::gone(old);
    stage.until_acked_more(60);
    // The game counts what it was told is durable, of each epoch: none of the first after the second began.
    stage.assert_resumed(1);
    let lines = stage.witness();
    let began = lines
        .iter()
        .position(|line| line.kind == "restored" && line.epoch == 2)
        .unwrap();
    assert!(
        lines[began..].iter().all(|line| line.epoch == 2),
        "the old one was acknowledged something"
    );
    // And the journal has each tick once, in order.
    stage.assert_journal_whole();
    stage.ready();
}

#[test]
fn a_planned_restart_goes_on_from_the_last_commit_of_the_one_that_drained() {
    let mut stage = Stage::start();
    let (_, standby) = stage.ready();
    stage.sidekick.ctl_json(&["restart", "lobby"]);
    let now = stage.server();
    assert_eq!(
        (&now["os_pid"], &now["epoch"]),
        (&standby.into(), &2.into())
    );
    stage.assert_resumed(1);
    let now = stage.server();
    assert_eq!(
        (&now["restarts"], &now["restore_ms"]["count"]),
        (&0.into(), &0.into())
    );
    assert_eq!(now["planned_restore_ms"]["count"], 1);
    stage.assert_journal_whole();
    // Stopped it has no standby, started again it has.
    let (active, standby) = stage.ready();
    stage.sidekick.ctl_json(&["stop", "lobby"]);
    assert!(!alive(active) && !alive(standby));
    assert!(stage.server()["standby"].is_null());
    stage.sidekick.ctl_json(&["start", "lobby"]);
    stage.ready();
}

#[test]
fn a_standby_that_dies_is_told_and_replaced_and_both_at_once_are_a_cold_start() {
    let mut stage = Stage::start();
    let (active, standby) = stage.ready();
    kill(standby, Signal::SIGKILL);
    let failed = stage.until(|server| server["standby"]["failures"] == 1);
    assert_eq!(
        (&failed["os_pid"], &failed["restarts"]),
        (&active.into(), &0.into())
    );
    assert!(
        failed["standby"]["problem"]
            .as_str()
            .unwrap()
            .contains("signal sigkill")
    );
    let crashes = stage.sidekick.ctl_until(&["crashes", "lobby"], |list| {
        list.as_array().is_some_and(|list| !list.is_empty())
    });
    assert_eq!(crashes.as_array().unwrap().len(), 1);
    let crash = stage.sidekick.ctl_json(&["crashes", "lobby", "1"]);
    assert_eq!(
        (&crash["standby"], &crash["os_pid"]),
        (&true.into(), &standby.into())
    );

    let (active, standby) = stage.ready();
    kill(standby, Signal::SIGKILL);
    kill(active, Signal::SIGKILL);
    let now =
        stage.until(|server| server["epoch"].as_u64() >= Some(2) && server["state"] == "running");
    assert_ne!(now["os_pid"], active);
    stage.assert_resumed(1);
    stage.ready();
}

#[test]
fn a_crash_while_the_standby_loads_is_a_cold_start_and_the_standby_goes_on_loading() {
    // The second process takes its time.
    let mut stage = Stage::slow_standby(Duration::from_secs(4));
    let server = stage.until(|server| {
        let standby = &server["standby"];
        // It is starting before it has a process.
        server["state"] == "running" && standby["state"] == "starting" && standby["os_pid"].is_u64()
    });
    let (active, standby) = (
        server["os_pid"].clone(),
        server["standby"]["os_pid"].clone(),
    );
    stage.until_acked_more(30);
    kill(active.as_u64().unwrap() as u32, Signal::SIGKILL);
    let now = stage.until(|server| server["epoch"] == 2 && server["state"] == "running");
    assert!(
        now["os_pid"] != standby && now["standby"]["os_pid"] == standby,
        "{now:#}"
    );
    stage.assert_resumed(1);
    let (_, ready) = stage.ready();
    assert_eq!(standby, ready);
}

#[test]
fn a_reload_starts_and_stops_it_without_touching_the_server() {
    let mut stage = Stage::start();
    let (active, standby) = stage.ready();
    stage.configure("standby = 0");
    let answer = stage.sidekick.ctl_json(&["reload"]);
    assert_eq!(answer["changed"][0]["restart"], false, "{answer:#}");
    stage.until(|server| server["standby"].is_null());
    standby::gone(standby);
    stage.configure("standby = 1");
    stage.sidekick.ctl_json(&["reload"]);
    let (same, _) = stage.ready();
    assert_eq!(same, active);
}

/// Before, during and after a promotion: the moment moves through it from round to round.
#[test]
fn a_sidekick_killed_at_any_moment_of_a_promotion_leaves_one_that_plays_and_one_that_waits() {
    const LAST: u64 = 9;
    let mut stage = Stage::start();
    stage.ready();
    let mut took_over = 0;
    for round in 0..=LAST {
        let (active, standby) = stage.ready();
        let epoch = stage.server()["epoch"].as_u64().unwrap();
        let acked = stage.acked();
        if round > 0 {
            kill(active, Signal::SIGKILL);
        }
        if round == LAST {
            // Durable, and the supervisor knows.
            let durable = format!("\"epoch\":{}", epoch + 1);
            stage.sidekick.wait_log(&durable);
        } else {
            let moment = Instant::now() + Duration::from_millis(15 * round);
            while Instant::now() < moment {
                std::hint::spin_loop();
            }
        }
        stage.restart_sidekick();
        let now =
            stage.until(|server| server["state"] == "running" && !server["session"].is_null());
        let (owner, epoch_now) = (
            now["os_pid"].as_u64().unwrap() as u32,
            now["epoch"].as_u64().unwrap(),
        );
        if round == 0 {
            assert_eq!((owner, epoch_now), (active, epoch), "both are adopted");
            assert_eq!(stage.ready(), (active, standby));
        } else {
            assert!(!alive(active));
            took_over += u32::from(owner == standby);
            assert!(round < LAST || owner == standby, "it was the owner already");
        }
        stage.ready();
        assert_eq!(stage.processes(), 2, "one plays, one waits");
        stage.until_acked_more(20);
        assert!(stage.acked() > acked);
        stage.assert_journal_whole();
    }
    println!("the standby took over in {took_over} of {LAST} rounds, else it was a cold start");
}
