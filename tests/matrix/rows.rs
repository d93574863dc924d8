//! The rows that are no failpoint's: who dies, how and when.

use super::row::Deed::{Gone, Grown, Pause};
use super::row::Scene::{
    Adopting, BackingOff, Crashing, Frozen, Hanging, Playing, Starting, Stopping, StoppingFrozen,
};
use super::row::Then::{Plays, PlaysAgain, PlaysOn, Stays};
use super::row::Who::{Game, Guard, Sidekick};
use super::row::{Row, Scene, Then};
use nix::sys::signal::Signal::{SIGABRT, SIGILL, SIGKILL, SIGSEGV, SIGSTOP, SIGTERM};

/// No restart is left after the first: a loop ends in quarantine.
const FEW: &str = "max_restarts = 1";

fn row(name: &str, scene: Scene, then: Then) -> Row {
    Row::new(name, scene, then)
}

/// The game dies, by itself or by a signal.
pub fn game_dies() -> Vec<Row> {
    let dies = |name, signal, reasons| {
        row(name, Playing, PlaysAgain)
            .signal(&[Game], signal)
            .reasons(reasons)
    };
    let by_itself = |name, what, reasons| {
        row(name, Playing, PlaysAgain)
            .script(what)
            .deed(Gone)
            .reasons(reasons)
    };
    vec![
        dies("game_killed", SIGKILL, &["signal sigkill"]),
        dies("game_segfaults", SIGSEGV, &["signal sigsegv"]),
        dies("game_aborts", SIGABRT, &["signal sigabrt"]),
        dies(
            "game_terminated_by_a_stranger",
            SIGTERM,
            &["signal sigterm"],
        ),
        by_itself("game_crashes_in_its_script", "crash", &["signal sigill"]),
        by_itself("game_quits_with_3", "exit", &["exit_status 3"]),
        by_itself("permanent_game_leaves_with_0", "leave", &[]),
        row("transient_game_leaves_with_0", Playing, Stays("stopped"))
            .keys("restart = \"transient\"")
            .script("leave")
            .reasons(&[]),
        row("temporary_game_killed", Playing, Stays("stopped"))
            .keys("restart = \"temporary\"")
            .signal(&[Game], SIGKILL)
            .reasons(&["signal sigkill"]),
        // Godot complains of each refused allocation and goes on: it dies of it or is judged to hang, whichever comes first.
        row("game_out_of_memory", Playing, PlaysAgain)
            .keys("limits = { address_space = \"1500MiB\" }")
            .script("hoard")
            .deed(Gone),
        row("game_with_a_tree_killed", Playing, PlaysAgain)
            .script("fork")
            .deed(Grown(30))
            .signal(&[Game], SIGKILL)
            .reasons(&["signal sigkill"]),
        row("game_with_a_standby_killed", Playing, PlaysAgain)
            .keys("standby = 1")
            .signal(&[Game], SIGKILL)
            .reasons(&["signal sigkill"]),
        row("game_with_a_standby_hangs", Hanging, PlaysAgain)
            .keys("standby = 1")
            .deed(Gone)
            .reasons(&["hang"]),
        row("game_killed_while_starting", Starting, PlaysAgain).signal(&[Game], SIGKILL),
        row("game_killed_while_restoring", Crashing, PlaysAgain)
            .at("supervisor.hello", false, 2)
            .signal(&[Game], SIGKILL)
            .reasons(&["signal sigkill", "signal sigkill"]),
        row(
            "game_killed_while_draining",
            StoppingFrozen,
            Stays("stopped"),
        )
        .signal(&[Game], SIGKILL),
    ]
}

/// It lives and does not play.
pub fn game_hangs() -> Vec<Row> {
    vec![
        row("hang_in_the_script", Hanging, PlaysAgain).reasons(&["hang"]),
        row("hang_in_a_native_call", Playing, PlaysAgain)
            .script("sleep")
            .deed(Gone)
            .reasons(&["hang"]),
        row("game_frozen", Frozen, PlaysAgain)
            .deed(Gone)
            .reasons(&["hang"]),
        row(
            "frozen_game_does_not_drain",
            StoppingFrozen,
            Stays("stopped"),
        )
        .deed(Gone)
        .reasons(&[]),
        Row {
            orders: "start hang",
            ..row("hang_before_play", Starting, PlaysAgain)
                .keys("start_timeout = \"3s\"")
                .deed(Gone)
                .reasons(&["hang"])
        },
        Row {
            orders: "start crash",
            ..row("crash_at_start", Starting, PlaysAgain)
                .deed(Gone)
                .reasons(&["signal sigill"])
        },
        Row {
            orders: "start crash always",
            ..row("crash_loop", Starting, Stays("quarantined"))
                .keys(FEW)
                .reasons(&["signal sigill", "signal sigill"])
        },
        Row {
            project: "unparsable",
            ..row("main_script_does_not_parse", Starting, Stays("quarantined"))
                .keys("max_restarts = 0\nstart_timeout = \"2s\"")
                .reasons(&["hang"])
        },
    ]
}

/// sidekick, the guard, or several die.
pub fn ours_die() -> Vec<Row> {
    vec![
        row("sidekick_killed", Playing, PlaysOn)
            .signal(&[Sidekick], SIGKILL)
            .reasons(&[]),
        row("sidekick_killed_beside_a_standby", Playing, PlaysOn)
            .keys("standby = 1")
            .signal(&[Sidekick], SIGKILL)
            .reasons(&[]),
        row(
            "sidekick_and_game_killed_beside_a_standby",
            Playing,
            PlaysAgain,
        )
        .keys("standby = 1")
        .signal(&[Sidekick, Game], SIGKILL)
        .reasons(&["signal sigkill"]),
        row("sidekick_dies_of_an_illegal_instruction", Playing, PlaysOn)
            .signal(&[Sidekick], SIGILL)
            .reasons(&[]),
        row("sidekick_aborts", Playing, PlaysOn)
            .signal(&[Sidekick], SIGABRT)
            .reasons(&[]),
        row("sidekick_stopped_for_10_s", Playing, PlaysOn)
            .deed(Pause(Sidekick, 10))
            .reasons(&[]),
        // The first bundle may not be written yet; see the known limits in docs/SAFETY.md.
        row("sidekick_killed_while_backing_off", BackingOff, PlaysAgain)
            .signal(&[Sidekick], SIGKILL),
        row("sidekick_killed_while_draining", Stopping, Plays).signal(&[Sidekick], SIGKILL),
        row("guard_killed", Playing, PlaysAgain)
            .signal(&[Guard], SIGKILL)
            .reasons(&["unknown"]),
        row("guard_stopped_while_the_game_dies", Playing, PlaysAgain)
            .signal(&[Guard], SIGSTOP)
            .signal(&[Game], SIGKILL)
            .deed(Pause(Guard, 1))
            .reasons(&["signal sigkill"]),
        row("sidekick_and_game_killed", Playing, PlaysAgain)
            .signal(&[Sidekick, Game], SIGKILL)
            .reasons(&["signal sigkill"]),
        row("game_crashes_while_no_sidekick_runs", Playing, PlaysAgain)
            .signal(&[Sidekick], SIGKILL)
            .signal(&[Game], SIGSEGV)
            .deed(Gone)
            .reasons(&["signal sigsegv"]),
        row("sidekick_and_guard_killed", Playing, PlaysAgain)
            .signal(&[Sidekick, Guard], SIGKILL)
            .reasons(&["unknown"]),
        row("all_killed", Playing, PlaysAgain)
            .signal(&[Sidekick, Guard, Game], SIGKILL)
            .reasons(&["unknown"]),
        row("sidekick_and_guard_killed_with_a_tree", Playing, PlaysAgain)
            .script("fork")
            .deed(Grown(30))
            .signal(&[Sidekick, Guard], SIGKILL)
            .reasons(&["unknown"]),
        row("killed_again_while_adopting", Adopting, PlaysOn)
            .signal(&[Sidekick], SIGKILL)
            .reasons(&[]),
        Row {
            around: Some(
                "mkdir -p var/run/logs && chmod 700 var var/run && mount -t tmpfs -o size=64k tmpfs var/run/logs && exec \"$0\" \"$@\"",
            ),
            ..row("no_space_for_logs", Playing, PlaysAgain)
                .script("shout")
                .signal(&[Game], SIGKILL)
                .reasons(&["signal sigkill"])
        },
    ]
}
