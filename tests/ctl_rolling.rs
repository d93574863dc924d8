//! A group is restarted one server at a time, and the first that does not come back ends it.

#![allow(clippy::unwrap_used)]

#[path = "support/sidekick.rs"]
mod support;

use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use support::Sidekick;

const ZONES: &str = "[[group]]\nname = \"zones\"\n[[server]]\nid = \"zone_{n}\"\ncount = 4\ngroup = \"zones\"\n\
    command = [\"./game\"]\nsession = false\non_exit = \"stop\"\nmax_restarts = 0\n";
const GAME: &str = "#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 0.05; done\n";

fn put_game(dir: &std::path::Path, text: &str) {
    // Renamed into place: a script that runs must not be written to.
    let fresh = dir.join("game.new");
    std::fs::write(&fresh, text).unwrap();
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&fresh, dir.join("game")).unwrap();
}

fn zones(sidekick: &Sidekick, up: usize) -> Vec<Value> {
    let fits = |status: &Value| {
        let servers = status["servers"].as_array().unwrap();
        servers
            .iter()
            .filter(|server| server["state"] == "running")
            .count()
            == up
    };
    let status = sidekick.ctl_until(&["status"], fits);
    status["servers"].as_array().unwrap().clone()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_next_is_restarted_once_the_one_before_plays() {
    let place = tempfile::tempdir().unwrap();
    put_game(place.path(), GAME);
    let port = support::free_port();
    let name = format!("sidekick_{}@127.0.0.1", std::process::id());
    let file = format!("[node]\nname = {name:?}\n[node.epmd]\nport = {port}\n{ZONES}");
    std::fs::write(place.path().join("sidekick.toml"), file).unwrap();
    let sidekick = Sidekick::start_in(place.path());
    zones(&sidekick, 4);
    sidekick.ctl_json(&["stop", "zone_2"]);
    let before = zones(&sidekick, 3);

    let said = text(&sidekick.ctl(&["restart", "--rolling", "zones"]).stdout);
    assert_eq!(said, "zone_1, zone_3, zone_4 restarted\n");
    let after = zones(&sidekick, 3);
    assert_eq!(after[1]["state"], "stopped", "what was stopped stays so");
    for at in [0, 2, 3] {
        assert_ne!(after[at]["os_pid"], before[at]["os_pid"]);
        assert_eq!(after[at]["restarts"], 0);
    }
    // The one before ran before the next was stopped.
    for (one, next) in [(0, 2), (2, 3)] {
        let ended = after[next]["last_exit"]["at_ms"].as_u64().unwrap();
        assert!(
            after[one]["since_ms"].as_u64().unwrap() <= ended,
            "{after:#?}"
        );
    }

    put_game(place.path(), "#!/no/such/interpreter\n");
    let output = sidekick.ctl(&["restart", "--rolling", "zones"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("zone_1: ") && said.contains("interpreter"),
        "{said}"
    );
    assert!(
        said.contains("zone_4: not restarted, because zone_1"),
        "{said}"
    );
    let now = zones(&sidekick, 2);
    for at in [2, 3] {
        assert_eq!(now[at]["os_pid"], after[at]["os_pid"], "they play on");
    }
    let output = sidekick.ctl(&["restart", "--rolling", "zoens"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("zoens") && said.contains("[[group]]"),
        "{said}"
    );
}
