//! Promise: when sidekick itself was stopped, nobody is judged by what it did not see. A real sidekick beside a real Godot (session) and
//! a server that is probed. Needs `SIDEKICK_GODOT` (`scripts/setup --env`).
#![allow(clippy::unwrap_used)]

#[path = "support/godot.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod godot;
#[path = "support/sidekick.rs"]
mod sidekick;

use serde_json::Value;
use sidekick::Sidekick;
use std::net::TcpListener;
use std::time::Duration;

/// Many times longer than any silence that the configuration below allows.
const STOPPED: Duration = Duration::from_secs(10);

fn server<'a>(status: &'a Value, id: &str) -> &'a Value {
    let servers = status["servers"].as_array().unwrap();
    servers.iter().find(|server| server["id"] == id).unwrap()
}

fn pids(status: &Value) -> [Value; 2] {
    ["lobby", "zone"].map(|id| server(status, id)["os_pid"].clone())
}

#[test]
fn a_sidekick_that_was_stopped_for_ten_seconds_judges_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || for _connection in listener.incoming() {});
    let (engine, game) = (godot::godot(), godot::repository("godot/demo"));
    let sidekick = Sidekick::start(&format!(
        "[[server]]\nid = \"lobby\"\ncommand = [{engine:?}, \"--headless\", \"--path\", {game:?}]\nstart_timeout = \"120s\"\nhang_timeout = \"2s\"\n\
         [[server]]\nid = \"zone\"\ncommand = [\"sleep\", \"600\"]\nsession = false\nstart_timeout = \"120s\"\n\
         [server.probe]\nkind = \"tcp\"\nport = {port}\ninterval = \"250ms\"\ntimeout = \"500ms\"\nfailures = 2\n"
    ));
    let play = |status: &Value| {
        ["lobby", "zone"]
            .iter()
            .all(|id| server(status, id)["state"] == "running")
    };
    let before = pids(&sidekick.ctl_until(&["status"], play));
    let measured = sidekick.ctl_until(&["status", "lobby"], |status| {
        status["health"]["cpu_percent"].is_number() && status["health"]["tick"].as_u64() > Some(10)
    });
    for figure in [
        "frame_ms",
        "frame_ms_max",
        "physics_ms",
        "tick_lag_ms",
        "memory_bytes",
        "rss_bytes",
        "rss_bytes_max",
        "players",
    ] {
        assert!(
            measured["health"][figure].is_number(),
            "{figure}: {measured:#}"
        );
    }
    sidekick.pause();
    // sleep: the promise is about this time.
    std::thread::sleep(STOPPED);
    sidekick.resume();
    let resumed_ms = sidekick_now_ms();
    // By then whoever was to be judged by the time that was not seen would have been.
    let after = sidekick.ctl_until(&["status"], |status| {
        let beat = server(status, "lobby")["health"]["beat_at_ms"].as_u64();
        beat.is_some_and(|beat| beat > resumed_ms + 5_000) || pids(status) != before
    });
    assert_eq!(pids(&after), before, "{after:#}");
    for id in ["lobby", "zone"] {
        assert_eq!(server(&after, id)["restarts"], 0);
        assert_eq!(server(&after, id)["state"], "running");
    }
    // It still judges what it sees.
    let pid = nix::unistd::Pid::from_raw(before[0].as_i64().unwrap() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let crashes = sidekick.ctl_until(&["crashes", "lobby"], |crashes| {
        !crashes.as_array().unwrap().is_empty()
    });
    assert_eq!(crashes[0]["reason"], "hang");
    let text = sidekick.ctl(&["crashes", "lobby", "1"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("while it was silent it was stopped (state T)"),
        "{text}"
    );
    assert!(
        text.contains("last heartbeats") && text.contains("engine backtrace"),
        "{text}"
    );
}

fn sidekick_now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_millis() as u64
}
