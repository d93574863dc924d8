//! Names that match, names that look secret, controllers.

use super::*;

#[test]
fn names_match_and_look_secret() {
    let patterns = ["ONE".to_owned(), "GAME_*".to_owned()];
    for (name, is) in [
        ("ONE", true),
        ("ONES", false),
        ("GAME_X", true),
        ("GAME", false),
    ] {
        assert_eq!(matches(name, &patterns), is, "{name}");
    }
    for (name, is) in [
        ("API_KEY", true),
        ("db_password", true),
        ("KEYBOARD", false),
        ("PATH", false),
    ] {
        assert_eq!(looks_secret(name), is, "{name}");
    }
}

#[test]
fn limits_name_their_controllers() {
    let none = Limits {
        nofile: Some(1),
        ..Limits::default()
    };
    assert_eq!(none.controllers(), None);
    let own = Limits {
        cgroup: true,
        ..none.clone()
    };
    assert_eq!(own.controllers(), Some(vec![]));
    let all = Limits {
        memory: Some(1),
        cpu_millis: Some(1),
        pids: Some(1),
        ..none
    };
    assert_eq!(all.controllers(), Some(vec!["memory", "cpu", "pids"]));
}
