use crate::config::{Config, Overrides, Strategy};
use std::path::Path;
use std::time::Duration;

fn parse(text: &str) -> Result<Config, String> {
    let overrides = Overrides {
        cookie: Some("c".to_owned()),
        ..Overrides::default()
    };
    Config::parse(text, Path::new("/etc/sidekick.toml"), &overrides)
        .map_err(|error| error.to_string())
}

fn with(group: &str, server: &str) -> String {
    format!(
        "[[group]]\nname = \"zones\"\n{group}\n[[server]]\nid = \"a\"\ncommand = [\"x\"]\ngroup = \"zones\"\n{server}\n"
    )
}

#[test]
fn members_take_from_their_group_what_they_leave_open() {
    let text = with("max_restarts = 7\nquarantine = \"5m\"", "max_seconds = 9");
    let config = parse(&text).expect("valid");
    let (group, server) = (&config.groups[0], &config.servers[0]);
    assert_eq!(group.strategy, Strategy::OneForOne);
    assert_eq!((server.max_restarts, server.max_seconds.get()), (7, 9));
    assert_eq!(server.quarantine, Some(Duration::from_secs(300)));
    let shown = crate::config::template::tests::without_cookie(&config);
    let again = parse(&shown).expect("what check prints can be read");
    assert_eq!(again.groups, config.groups);
    let off = parse(&with("quarantine = \"5m\"", "quarantine = \"off\"")).expect("valid");
    assert_eq!(off.servers[0].quarantine, None);
}

#[test]
fn what_is_wrong_with_a_group_is_said() {
    let linked = "strategy = \"one_for_all\"";
    let cases = [
        (
            with(linked, "max_restarts = 9"),
            "move them from server \"a\" to the [[group]]",
        ),
        (with(linked, "quarantine = \"1m\""), "restarted together"),
        (
            with("strategy = \"one_for_al\"", ""),
            "did you mean `one_for_all`",
        ),
        (with("quarantine = \"10ms\"", ""), "from 1s to 24h"),
        (
            with("", "").replace("group = \"zones\"", "group = \"zone\""),
            "there is no group \"zone\"; known here: zones",
        ),
        (
            with("", "").replace("name = \"zones\"", "name = \"Zones\""),
            "group name \"Zones\" must be",
        ),
        (
            "[[group]]\nname = \"a\"\n[[group]]\nname = \"a\"\n".into(),
            "two groups have the name",
        ),
    ];
    for (text, part) in cases {
        let message = parse(&text).expect_err("refused");
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    let empty = parse("[[group]]\nname = \"a\"\n").expect("valid");
    assert!(empty.warnings[0].contains("has no members"));
}
