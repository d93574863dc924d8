//! The configuration is read again while servers run: what differs is changed, everything else keeps its process.

#![allow(clippy::unwrap_used)]

#[path = "support/sidekick.rs"]
mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::Sidekick;

fn server(id: &str, more: &str) -> String {
    format!(
        "[[server]]\nid = \"{id}\"\nsession = false\non_exit = \"stop\"\n\
         command = [\"sh\", \"-c\", \"trap 'exit 0' TERM; while :; do sleep 0.05; done\"]\n{more}\n"
    )
}

/// Replaces all servers in the file.
fn rewrite(sidekick: &Sidekick, servers: &str) {
    let file = sidekick.dir.join("sidekick.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let head = text.find("[[").map_or(text.as_str(), |at| &text[..at]);
    std::fs::write(&file, format!("{head}{servers}")).unwrap();
}

fn pids(sidekick: &Sidekick) -> BTreeMap<String, u64> {
    let status = sidekick.ctl_until(&["status"], |status| {
        let servers = status["servers"].as_array().unwrap();
        servers.iter().all(|server| server["state"] == "running")
    });
    let servers = status["servers"].as_array().unwrap();
    let pid = |server: &Value| {
        let id = server["id"].as_str().unwrap().to_owned();
        (id, server["os_pid"].as_u64().unwrap())
    };
    servers.iter().map(pid).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_differs_is_planned_then_done_and_the_rest_keeps_its_process() {
    let before: String = ["same", "number", "command", "gone"]
        .map(|id| server(id, ""))
        .concat();
    let sidekick = Sidekick::start(&before);
    let old = pids(&sidekick);

    let after = [
        server("fresh_{n}", "count = 2"),
        server("same", ""),
        server("number", "max_restarts = 2\nstop_timeout = \"3s\""),
        server("command", "env = { KEY = \"hush\" }"),
        "[[sink]]\nname = \"k\"\nkind = \"beam\"\nnodes = [\"f@127.0.0.1\"]\n".to_owned(),
    ];
    rewrite(&sidekick, &after.concat());
    let told = text(&sidekick.ctl(&["reload", "--plan"]).stdout);
    let expected = "\
+ fresh_1  is added
+ fresh_2  is added
~ number   goes on with another max_restarts, stop_timeout
~ command  restarts with another env
- gone     stops and is removed
1 unchanged
[sink] changed too: needs a restart of sidekick; games with on_exit = \"keep\" play on meanwhile
nothing was done: this is the plan
";
    assert_eq!(told, expected);
    assert_eq!(pids(&sidekick), old, "a plan changes nothing");

    let done = sidekick.ctl_json(&["reload"]);
    assert_eq!(done["done"], true, "{done:#}");
    assert!(!done.to_string().contains("hush"), "{done:#}");
    let now = pids(&sidekick);
    let ids: Vec<&str> = now.keys().map(String::as_str).collect();
    assert_eq!(ids, ["command", "fresh_1", "fresh_2", "number", "same"]);
    assert_eq!((now["same"], now["number"]), (old["same"], old["number"]));
    assert_ne!(now["command"], old["command"]);
    assert!(!std::path::Path::new(&format!("/proc/{}", old["gone"])).exists());
    let environ = std::fs::read(format!("/proc/{}/environ", now["command"])).unwrap();
    assert!(text(&environ).contains("KEY=hush"));
    let order = sidekick.ctl_json(&["info"])["servers"].clone();
    let file = json!(["fresh_1", "fresh_2", "same", "number", "command"]);
    assert_eq!(order, file, "the order is the file's");

    let again = text(&sidekick.ctl(&["reload"]).stdout);
    assert!(again.ends_with("no server changes\n"), "{again}");
    assert_eq!(pids(&sidekick), now);
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_hangup_is_the_same_as_the_command() {
    let mut sidekick = Sidekick::start(&server("lobby", ""));
    let old = pids(&sidekick);
    let wrong = [
        (
            server("other", "hang_timout = \"2s\""),
            "did you mean `hang_timeout`",
        ),
        (
            server("other", "directory = \"no-such-directory\""),
            "does not exist",
        ),
    ];
    for (servers, words) in &wrong {
        rewrite(&sidekick, servers);
        let output = sidekick.ctl(&["reload"]);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(
            said.contains(words) && said.contains("nothing was changed"),
            "{said}"
        );
        assert_eq!(pids(&sidekick), old);
    }
    let pid = sidekick.ctl_json(&["info"])["os_pid"].as_i64().unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    let hangup = || nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    hangup();
    sidekick.wait_log("SIGHUP");
    let line = sidekick.wait_log("was not taken over");
    assert!(line.contains("no-such-directory"), "{line}");
    assert_eq!(pids(&sidekick), old);

    rewrite(
        &sidekick,
        &[server("lobby", ""), server("other", "")].concat(),
    );
    hangup();
    sidekick.wait_log("the configuration was taken over");
    let now = pids(&sidekick);
    assert_eq!((now.len(), now["lobby"]), (2, old["lobby"]));
}

#[test]
fn a_change_that_does_not_start_stops_before_it_takes_the_whole_group_down() {
    let group = "[[group]]\nname = \"zones\"\n";
    let zones = |more: &str| format!("{group}{}", server("zone_{n}", more));
    let common = "count = 3\ngroup = \"zones\"\nmax_restarts = 0\n";
    let sidekick = Sidekick::start(&zones(common));
    let old = pids(&sidekick);
    let broken = sidekick.dir.join("broken");
    std::fs::write(&broken, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let servers = zones(common).replace("[\"sh\", ", "[\"./broken\", ");
    rewrite(&sidekick, &servers);
    let output = sidekick.ctl(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("zone_1: ") && said.contains("interpreter"),
        "{said}"
    );
    assert!(
        said.contains("zone_3: not restarted, because zone_1"),
        "{said}"
    );
    for zone in ["zone_2", "zone_3"] {
        let status = sidekick.ctl_json(&["status", zone]);
        assert_eq!(
            status["os_pid"].as_u64(),
            Some(old[zone]),
            "{zone} plays on"
        );
    }
    // Mended by going back: who plays by the old command keeps its process.
    rewrite(&sidekick, &zones(common));
    let done = sidekick.ctl_json(&["reload"]);
    assert_eq!(done["done"], true, "{done:#}");
    sidekick.ctl_json(&["start", "zone_1"]);
    let now = pids(&sidekick);
    assert_eq!(
        (now["zone_2"], now["zone_3"]),
        (old["zone_2"], old["zone_3"])
    );
}
