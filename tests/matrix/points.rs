//! The failpoints, each with a scene in which it is passed.

use super::row::Who::{Game, Guard, Sidekick};
use super::row::{Deed, Row, Scene, Then, Who};

/// The point, where it is passed, and what becomes of the game when the passing process is killed there.
pub const POINTS: &[(&str, Scene, Then)] = &[
    ("guard.locked", Scene::Starting, Then::PlaysAgain),
    ("guard.prepared", Scene::Starting, Then::PlaysAgain),
    ("guard.identity_written", Scene::Starting, Then::PlaysAgain),
    ("stub.before_exec", Scene::Starting, Then::PlaysAgain),
    ("guard.start_given", Scene::Starting, Then::PlaysAgain),
    ("guard.executed", Scene::Starting, Then::PlaysAgain),
    ("guard.spawn_told", Scene::Starting, Then::PlaysAgain),
    ("guard.exit_seen", Scene::Crashing, Then::PlaysAgain),
    ("guard.exit_recorded", Scene::Crashing, Then::PlaysAgain),
    ("guard.exit_told", Scene::Crashing, Then::PlaysAgain),
    ("guard.lock_released", Scene::Crashing, Then::PlaysAgain),
    ("guard.gone_told", Scene::Crashing, Then::PlaysAgain),
    ("guard.exit_synced", Scene::Crashing, Then::PlaysAgain),
    ("guard.adopted", Scene::Adopting, Then::PlaysAgain),
    ("supervisor.launching", Scene::Starting, Then::Plays),
    ("supervisor.guard_spawned", Scene::Starting, Then::Plays),
    ("supervisor.activated", Scene::Starting, Then::Plays),
    ("supervisor.start_sent", Scene::Starting, Then::Plays),
    ("supervisor.launched", Scene::Starting, Then::Plays),
    ("supervisor.hello", Scene::Starting, Then::PlaysOn),
    ("supervisor.playing", Scene::Starting, Then::PlaysOn),
    ("session.committed", Scene::Playing, Then::PlaysOn),
    ("supervisor.end_heard", Scene::Crashing, Then::PlaysAgain),
    (
        "supervisor.restart_decided",
        Scene::Crashing,
        Then::PlaysAgain,
    ),
    (
        "supervisor.bundle_written",
        Scene::Crashing,
        Then::PlaysAgain,
    ),
    (
        "supervisor.end_forgotten",
        Scene::Crashing,
        Then::PlaysAgain,
    ),
    ("supervisor.hang_judged", Scene::Hanging, Then::PlaysAgain),
    ("supervisor.dump_sent", Scene::Hanging, Then::PlaysAgain),
    ("supervisor.killed", Scene::Killing, Then::PlaysAgain),
    ("supervisor.stop_begun", Scene::Stopping, Then::PlaysOn),
    ("supervisor.drained", Scene::Stopping, Then::PlaysAgain),
    ("supervisor.terminated", Scene::StoppingFrozen, Then::Plays),
    ("supervisor.adoption_begun", Scene::Adopting, Then::PlaysOn),
    ("supervisor.adoption_ended", Scene::Adopting, Then::PlaysOn),
];

/// Keys of the scene: a game that hangs cannot come back to the next sidekick, which waits so long for it.
fn keys(scene: Scene) -> &'static str {
    if scene == Scene::Hanging {
        "start_timeout = \"5s\""
    } else {
        ""
    }
}

/// Commits of play, not the first of a start.
fn passing(point: &str) -> u32 {
    if point == "session.committed" { 40 } else { 1 }
}

/// One row for each point: who passes it first is killed there.
pub fn killed() -> Vec<Row> {
    let row = |(point, scene, then): &(&'static str, Scene, Then)| {
        Row::new(format!("killed_at_{point}"), *scene, *then)
            .at(point, true, passing(point))
            .keys(keys(*scene))
    };
    POINTS.iter().map(row).collect()
}

/// The product: at each point of a start, that of a restart too; and at each point its process stands still while others are
/// killed, then goes on.
pub fn product() -> Vec<Row> {
    let mut rows = Vec::new();
    for (point, scene, _) in POINTS {
        if *scene == Scene::Starting {
            let name = format!("killed_at_{point}_of_a_restart");
            rows.push(Row::new(name, Scene::Crashing, Then::Plays).at(point, true, 2));
        }
        let ours = !point.starts_with("guard.") && !point.starts_with("stub.");
        let whom: [(&str, &'static [Who]); 3] = if ours {
            [
                ("game", &[Game]),
                ("guard", &[Guard]),
                ("both", &[Guard, Game]),
            ]
        } else {
            [
                ("game", &[Game]),
                ("sidekick", &[Sidekick]),
                ("both", &[Sidekick, Game]),
            ]
        };
        for (name, whom) in whom {
            let name = format!("{name}_killed_at_{point}");
            let row = Row::new(name, *scene, Then::Plays).at(point, false, passing(point));
            rows.push(row.keys(keys(*scene)).deed(Deed::Strike(whom)));
        }
    }
    rows
}
