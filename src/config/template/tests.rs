use crate::config::{Config, Overrides};
use std::path::Path;

/// What check prints, as a file could hold it.
pub fn without_cookie(config: &Config) -> String {
    let shown = config.effective();
    let lines = shown.lines().filter(|line| !line.starts_with("cookie"));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

fn parse(text: &str) -> Result<Config, String> {
    let overrides = Overrides {
        cookie: Some("c".to_owned()),
        ..Overrides::default()
    };
    Config::parse(text, Path::new("/etc/sidekick.toml"), &overrides)
        .map_err(|error| error.to_string())
}

const ZONES: &str = "[[server]]\nid = \"zone_{n}\"\ncount = 3\nports = \"7000-7009\"\n\
    command = [\"./zone{n}\", \"--port={port}\", \"${id} {{n}} {} {{x}} {A}\"]\n\
    directory = \"work/{id}\"\nenv = { NAME = \"{id}\", PEER = \"{n}{n}\" }\n";

#[test]
fn an_instance_keeps_its_number_id_and_port() {
    let config = parse(ZONES).expect("valid");
    let ids: Vec<&str> = config.servers.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids, ["zone_1", "zone_2", "zone_3"]);
    let third = &config.servers[2];
    let words = ["/etc/zone3", "--port=7002", "${id} {n} {} {{x}} {A}"];
    assert_eq!(third.command, words);
    assert_eq!(third.directory, Path::new("/etc/work/zone_3"));
    let env = third.env.expose();
    assert_eq!(
        (env["NAME"].as_str(), env["PEER"].as_str()),
        ("zone_3", "33")
    );
    let shown = without_cookie(&config);
    let again = parse(&shown).unwrap_or_else(|error| panic!("{error}\n{shown}"));
    assert_eq!(again.servers[2].command, words);
}

#[test]
fn a_server_that_is_no_template_may_say_its_id_and_port() {
    let text = "[[server]]\nid = \"a\"\nports = 7000\ncommand = [\"x\", \"{id}:{port}\"]\n\
                [[server]]\nid = \"b\"\ncommand = [\"sh\", \"-c\", \"f() { echo {other}; }\"]\n";
    let config = parse(text).expect("valid");
    assert_eq!(config.servers[0].command[1], "a:7000");
    assert_eq!(config.servers[1].command[2], "f() { echo {other}; }");
}

#[test]
fn slips_are_told_with_their_remedy() {
    let change = |from: &str, to: &str| ZONES.replace(from, to);
    let cases = [
        (
            change("zone_{n}", "zone"),
            "write such as id = \"zone_{n}\"",
        ),
        (change("zone_{n}", "{id}{n}"), "an id cannot hold itself"),
        (
            change("{port}", "{prt}"),
            "{prt} is not known; a template has {n}, {id} and {port}",
        ),
        (change("count = 3", "count = 0"), "count must be at least 1"),
        (
            change("7000-7009", "7000-7001"),
            "3 ports, but the range holds 2; end it at 7002",
        ),
        (change("7000-7009", "7009-7000"), "\"7000-7015\""),
        (change("7000-7009", "0-9"), "is not a range of ports"),
        (
            change("ports = \"7000-7009\"\n", ""),
            "has no `ports`; add such as",
        ),
        (
            change("count = 3\n", ""),
            "has no `count`; add such as count = 4",
        ),
        (
            change("count = 3", "count = 1001").replace("7009", "9009"),
            "more than 1000 servers",
        ),
        (
            format!("{ZONES}[[server]]\nid = \"b\"\ncommand = [\"x\"]\nports = \"7009-7010\"\n"),
            "overlap with those of server \"zone_{n}\"",
        ),
        (
            format!("{ZONES}[[server]]\nid = \"zone_2\"\ncommand = [\"x\"]\n"),
            "two servers have the id \"zone_2\"",
        ),
    ];
    for (text, part) in cases {
        let message = parse(&text).expect_err(&text);
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}
