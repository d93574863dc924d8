//! Keys are read and shown, slips are refused.

use crate::config::tests::parse;
use crate::types::{Limits, UNLIMITED};
use std::time::Duration;

fn server(keys: &str) -> String {
    format!("[[server]]\nid = \"a\"\ncommand = [\"sh\"]\n{keys}\n")
}

#[test]
fn every_key_is_read_and_shown_as_it_is_written() {
    let text = server(
        "user = \"game:players\"\ninherit_env = [\"LANGUAGE\", \"GAME_*\"]\nsecret_env = [\"PIN\"]\n\
         logs = { bytes = \"64MiB\", age = \"12h\" }\n[server.limits]\nmemory = \"1GiB\"\nmemory_high = \"900MiB\"\ncpu = 1.5\n\
         pids = 64\ncgroup = true\nnofile = 1024\nnproc = 99\ncore = \"unlimited\"\naddress_space = \"8GiB\"\n",
    );
    let config = parse(&text).unwrap();
    let contain = &config.servers[0].contain;
    let limits = Limits {
        memory: Some(1 << 30),
        memory_high: Some(900 << 20),
        cpu_millis: Some(1500),
        pids: Some(64),
        cgroup: true,
        nofile: Some(1024),
        nproc: Some(99),
        core: Some(UNLIMITED),
        address_space: Some(8 << 30),
    };
    assert_eq!(contain.limits, limits);
    assert_eq!(contain.user.as_deref(), Some("game:players"));
    assert!(contain.forbids_privs());
    assert_eq!(
        (contain.log_bytes, contain.log_age),
        (Some(64 << 20), Some(Duration::from_secs(12 * 3600)))
    );
    let shown = config.effective();
    let at = shown.find("[[server]]").unwrap();
    let again = parse(&shown[at..]).unwrap_or_else(|error| panic!("{error}\n{shown}"));
    // What was the default is now said.
    let mut said = contain.clone();
    said.no_new_privs = Some(true);
    assert_eq!(again.servers[0].contain, said, "{shown}");
}

#[test]
fn slips_are_refused_with_the_remedy() {
    let table = [
        ("limits = { memory = \"1MiB\" }", "at least 16MiB"),
        ("limits = { cpu = 0 }", "counts cores"),
        (
            "limits = { memory = \"1GiB\", memory_high = \"2GiB\" }",
            "lower it",
        ),
        ("limits = { memroy = \"1GiB\" }", "did you mean `memory`"),
        ("limits = { core = \"much\" }", "not a size"),
        ("user = \"a:b:c\"", "is no user"),
        ("inherit_env = [\"*\"]", "no name of a variable"),
        ("secret_env = [\"A_*\"]", "no name of a variable"),
        ("logs = { bytes = \"1KiB\" }", "at least 4MiB"),
        ("logs = { age = \"1ms\" }", "from 1s"),
    ];
    for (keys, part) in table {
        let error = parse(&server(keys)).unwrap_err().to_string();
        assert!(error.contains(part), "{keys}: {error}");
    }
}
