//! Every message names the thing, its place and the remedy; what is shown hides secrets.

use super::*;
use std::time::Duration;

fn overrides() -> Overrides {
    Overrides {
        cookie: Some("s3cret-cookie".to_owned()),
        ..Overrides::default()
    }
}

pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/sidekick/sidekick.toml"), &overrides())
}

pub(super) fn refused(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn an_empty_file_has_usable_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.node.name, "sidekick@127.0.0.1");
    assert_eq!(
        config.node.epmd,
        EpmdConfig {
            serve: true,
            port: 4369
        }
    );
    assert_eq!(config.buffer.dir, Path::new("/etc/sidekick/var/buffer"));
    assert_eq!(
        config.session.socket.as_deref(),
        Some(Path::new("/etc/sidekick/var/run/session.sock"))
    );
    assert!(config.servers.is_empty() && config.warnings.is_empty());
}

#[test]
fn with_certificates_distribution_may_leave_the_machine() {
    let text = r#"
        [node]
        name = "sidekick@game1.example"
        connect = ["frontend@web1.example"]
        listen = "0.0.0.0"
        [node.tls]
        cert_file = "node.pem"
        key_file = "/secret/node.key"
        ca_file = "ca.pem"
    "#;
    let config = parse(text).unwrap();
    let tls = config.node.tls.as_ref().unwrap();
    assert_eq!(tls.cert_file, Path::new("/etc/sidekick/node.pem"));
    assert_eq!(tls.key_file, Path::new("/secret/node.key"));
    assert!(config.effective().contains("[node.tls]\ncert_file"));
    assert!(parse(&text.replace("[node.tls]", "[node.epmd]")).is_err());
}

#[test]
fn the_default_address_is_of_the_kind_of_the_name() {
    let listen = |name: &str| {
        let config = parse(&format!("[node]\nname = {name:?}\n")).unwrap();
        config.node.listen.to_string()
    };
    assert_eq!(listen("sidekick@::1"), "::1");
    assert_eq!(listen("sidekick@localhost"), "127.0.0.1");
    assert_eq!(listen("sidekick@game1.example"), "127.0.0.1");
}

#[test]
fn the_documented_example_is_read() {
    let config = parse(
        r#"
        [node]
        name = "sidekick@127.0.0.1"
        connect = ["frontend@127.0.0.1"]
        allow_start = "any"
        [buffer]
        dir = "/srv/buffer"
        max_bytes = "2GiB"
        when_full = "drop_oldest"
        [[stream]]
        pattern = "audit:*"
        keep = { age = "1h", count = 10 }
        limit = { bytes = "256MiB", count = 1000000 }
        when_full = "block"
        [[server]]
        id = "lobby"
        command = ["./bin/godot", "--headless", "--path", "game"]
        restart = "transient"
        max_restarts = 3
        max_seconds = 5
        hang_timeout = "2s 500ms"
        on_exit = "stop"
        env = { ROOM = "a" }
        [[sink]]
        name = "khepri"
        kind = "beam"
        nodes = ["other@127.0.0.1", "frontend@127.0.0.1"]
        start = "now"
        "#,
    )
    .unwrap();
    assert_eq!(config.buffer.max_bytes, 2 << 30);
    assert_eq!(
        config.buffer.streams[0].keep.age,
        Some(Duration::from_secs(3600))
    );
    let limit = config.buffer.streams[0].limit;
    assert_eq!(
        (limit.bytes, limit.count),
        (Some(256 << 20), Some(1_000_000))
    );
    let server = &config.servers[0];
    assert_eq!(server.command[0], "/etc/sidekick/bin/godot");
    assert_eq!(server.hang_timeout, Some(Duration::from_millis(2500)));
    assert_eq!(
        (server.restart, server.on_exit),
        (Restart::Transient, OnExit::Stop)
    );
    assert_eq!(config.sinks[0].start, SinkStart::Now);
    assert_eq!(config.peers(), ["frontend@127.0.0.1", "other@127.0.0.1"]);
}

#[test]
#[allow(clippy::too_many_lines)] // A table.
fn faults_name_place_thing_and_remedy() {
    let server = "[[server]]\nid = \"a\"\ncommand = [\"x\"]\n";
    let cases: &[(String, &[&str])] = &[
        ("[node\n".into(), &["sidekick.toml:1:6"]),
        (
            "[nod]\n".into(),
            &[":1:2", "unknown key `nod`", "did you mean `node`"],
        ),
        (
            "[[servers]]\nid = \"a\"\n".into(),
            &["did you mean `server`"],
        ),
        (
            format!("{server}hang_timout = \"2s\"\n"),
            &[":4:1", "did you mean `hang_timeout`"],
        ),
        (
            format!("{server}zzz = 1\n"),
            &["unknown key `zzz`; known here", "`restart`"],
        ),
        (
            format!("{server}restart = \"permanant\"\n"),
            &[":4:11", "did you mean `permanent`"],
        ),
        ("[[server]]\nid = \"a\"\n".into(), &["`command` is missing"]),
        (
            format!("{server}{server}"),
            &[":5:6", "two servers have the id \"a\""],
        ),
        (
            server.replace("\"a\"", "\"Lobby\""),
            &[":2:6", "lower-case letter"],
        ),
        (
            server.replace("\"a\"", "\"rex\""),
            &["reserved", "choose another"],
        ),
        (
            server.replace("\"x\"", ""),
            &["empty command", "write the program first"],
        ),
        (
            server.replace("\"x\"", "\"godot --headless\""),
            &["no shell", "[\"godot\", \"--headless\"]"],
        ),
        (
            format!("{server}max_seconds = 0\n"),
            &[":4:15", "at least 1"],
        ),
        (
            format!("{server}hang_timeout = 2\n"),
            &["needs a unit: \"2s\" or \"2ms\"?"],
        ),
        (
            format!("{server}hang_timeout = \"2 parsecs\"\n"),
            &["is not a duration", "\"250ms\""],
        ),
        (
            format!("{server}hang_timeout = \"10ms\"\n"),
            &["from 500ms to 24h"],
        ),
        (
            format!("{server}session = false\nhang_timeout = \"2s\"\n"),
            &["no heartbeats", "remove hang_timeout"],
        ),
        (
            format!("{server}session = false\nrestart_when_empty = true\n"),
            &["no players", "remove restart_when_empty"],
        ),
        (
            format!("{server}restart_at = \"4:30\"\n"),
            &[":4:14", "time of day in UTC", "\"04:30\""],
        ),
        (
            format!("{server}env = {{ SIDEKICK_TOKEN = \"x\" }}\n"),
            &["itself sets SIDEKICK_TOKEN"],
        ),
        (
            format!("{server}backoff = {{ initial = \"9s\", max = \"1s\" }}\n"),
            &["must not be above"],
        ),
        (
            "[buffer]\nmax_bytes = \"4 gigs\"\n".into(),
            &[":2:13", "is not a size", "\"4GiB\""],
        ),
        ("[buffer]\nmax_bytes = -1\n".into(), &["cannot be negative"]),
        (
            "[buffer]\nmax_bytes = \"1MiB\"\n".into(),
            &["too small", "at least 128MiB"],
        ),
        (
            "[buffer]\ndir = \"x\"\n[run]\ndir = \"x\"\n".into(),
            &["its own directory"],
        ),
        (
            "[[stream]]\npattern = \"*\"\n[[stream]]\npattern = \"a\"\n".into(),
            &[":4:11", "never holds", "swap"],
        ),
        (
            "[[state]]\npattern = \"a\"\nhistory = 65\n".into(),
            &[":3:11", "at most 64", "stream"],
        ),
        (
            "[[state]]\npattern = \"a\"\nhistory = 1\n[[state]]\npattern = \"a\"\nhistory = 2\n".into(),
            &[":5:11", "[[state]] rule", "never holds"],
        ),
        (
            "[[stream]]\npattern = \"a\"\nlimit = { age = \"1h\" }\n".into(),
            &[":3:9", "limit.age drops", "when_full = \"drop_oldest\""],
        ),
        (
            "[[stream]]\npattern = \"a\"\nlimit = { count = 0 }\n".into(),
            &[":3:9", "lets nothing in", "leave it out"],
        ),
        (
            "[node]\nname = \"sidekick\"\n".into(),
            &[":2:8", "has no host", "sidekick@127.0.0.1"],
        ),
        ("[node]\nname = \"side kick@x\"\n".into(), &["before the @"]),
        (
            "[node]\nconnect = [\"a@127.0.0.1\", \"b@short\"]\n".into(),
            &[":2:27", "short node name", "same form"],
        ),
        (
            "[node]\nconnect = [\"a@10.1.2.3\"]\n".into(),
            &["unencrypted", "plain_network = true"],
        ),
        (
            "[node]\nlisten = \"0.0.0.0\"\n".into(),
            &[":2:10", "unencrypted", "plain_network = true"],
        ),
        (
            "[node]\nlisten = \"::\"\n".into(),
            &["give this node certificates in [node.tls]"],
        ),
        (
            "[node.tls]\ncert_file = \"a\"\nca_file = \"b\"\n".into(),
            &[":1:1", "`key_file` is missing"],
        ),
        (
            "[node.tls]\ncert = \"a\"\n".into(),
            &["did you mean `cert_file`"],
        ),
        (
            "[node]\nplain_network = true\n[node.tls]\ncert_file = \"a\"\nkey_file = \"b\"\nca_file = \"c\"\n".into(),
            &[":3:1", "contradict each other", "remove one"],
        ),
        (
            "[node]\nconnect = [\"sidekick@127.0.0.1\"]\n".into(),
            &["own name"],
        ),
        ("[node]\nticktime = \"1s\"\n".into(), &["from 4s to 1h"]),
        (
            "[node]\ncookie = \"x\"\n".into(),
            &["did you mean `cookie_file`"],
        ),
        (
            "[session]\ntcp = \"0.0.0.0:7000\"\n".into(),
            &["loopback", "127.0.0.1:7000"],
        ),
        (
            format!("[session]\nsocket = false\n{server}"),
            &["neither `socket` nor `tcp`"],
        ),
        (
            format!("[run]\ndir = \"/{}\"\n", "x".repeat(100)),
            &["Unix allows 107", "shorter [run] dir"],
        ),
        (
            "[[sink]]\nname = \"a\"\nkind = \"postgres\"\n".into(),
            &[":1:1", "`url_file`", "`url_env`"],
        ),
        (
            "[[sink]]\nname = \"a\"\nkind = \"beam\"\n".into(),
            &["names no node", "add `nodes"],
        ),
        (
            "[log]\nfilter = \"sidekick=loud\"\n".into(),
            &[":2:10", "not a log filter", "\"info\""],
        ),
    ];
    for (text, parts) in cases {
        let message = refused(text);
        for part in *parts {
            assert!(
                message.contains(part),
                "{part:?} is not in {message:?} for:\n{text}"
            );
        }
    }
}

#[test]
fn outside_wins_over_the_file() {
    let text = "[node]\nname = \"file@127.0.0.1\"\n[log]\nformat = \"human\"\nfilter = \"warn\"\n[run]\ndir = \"a\"\n";
    let outside = Overrides {
        name: Some("outside@127.0.0.1".to_owned()),
        log_format: Some(LogFormat::Json),
        log_filter: Some("debug".to_owned()),
        run_dir: Some("b".into()),
        epmd_port: Some(14369),
        ..overrides()
    };
    let config = Config::parse(text, Path::new("/etc/sidekick.toml"), &outside).unwrap();
    assert_eq!(config.node.name, "outside@127.0.0.1");
    assert_eq!(
        config.log,
        LogConfig {
            format: LogFormat::Json,
            filter: "debug".to_owned()
        }
    );
    assert_eq!(config.run.dir, std::env::current_dir().unwrap().join("b"));
    assert_eq!(config.node.epmd.port, 14369);
}

#[test]
fn restarts_that_never_end_are_warned_of() {
    let text = |backoff| {
        format!(
            "[[server]]\nid = \"a\"\ncommand = [\"x\"]\nbackoff = {{ initial = \"{backoff}\" }}\n"
        )
    };
    assert!(parse(&text("200ms")).unwrap().warnings.is_empty());
    let warnings = parse(&text("2s")).unwrap().warnings;
    assert!(
        warnings[0].contains("for ever") && warnings[0].contains("max_seconds"),
        "{warnings:?}"
    );
}

#[test]
fn secrets_show_nowhere() {
    let text = "[[server]]\nid = \"a\"\ncommand = [\"x\"]\nenv = { KEY = \"hush\" }\n";
    let config = parse(text).unwrap();
    assert_eq!(config.node.cookie.expose(), "s3cret-cookie");
    assert_eq!(config.servers[0].env.expose()["KEY"], "hush");
    for shown in [format!("{config:?}"), config.effective()] {
        assert!(
            !shown.contains("s3cret") && !shown.contains("hush"),
            "{shown}"
        );
        assert!(shown.contains("KEY") && shown.contains("***"), "{shown}");
    }
}

#[test]
fn what_check_prints_is_itself_a_configuration() {
    let text = "[buffer]\nmax_bytes = \"1GiB\"\n[[stream]]\npattern = \"log\"\nkeep = { bytes = \"1MiB\" }\n\
                limit = { bytes = \"256MiB\", count = 1000000, age = \"1h\" }\nwhen_full = \"drop_oldest\"\n[[state]]\npattern = \"lob*\"\nhistory = 9\n[[server]]\nid = \"a\"\n\
                command = [\"x\"]\nhang_timeout = \"off\"\nrestart_at = \"04:05\"\n[[sink]]\nname = \"k\"\nkind = \"beam\"\nnodes = [\"f@127.0.0.1\"]\n\
                [session]\ntcp = \"127.0.0.1:7000\"\n";
    let shown = parse(text).unwrap().effective();
    let without_cookie: String = shown
        .lines()
        .filter(|line| !line.starts_with("cookie"))
        .fold(String::new(), |text, line| text + line + "\n");
    let again = parse(&without_cookie)
        .unwrap_or_else(|error| panic!("{error}\n{shown}"))
        .effective();
    assert_eq!(shown, again);
}

mod cookies {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn with(content: &str, mode: u32) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cookie");
        std::fs::write(&file, content).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let text = "[node]\ncookie_file = \"cookie\"\n";
        Config::parse(
            text,
            &dir.path().join("sidekick.toml"),
            &Overrides::default(),
        )
    }

    #[test]
    fn a_file_is_read_as_otp_reads_it() {
        let config = with("ABCDEF\n", 0o400).unwrap();
        assert_eq!(config.node.cookie.expose(), "ABCDEF");
        assert!(config.warnings.is_empty());
    }

    #[test]
    fn an_open_file_is_warned_of() {
        let warnings = with("ABCDEF", 0o644).unwrap().warnings;
        assert!(
            warnings[0].contains("mode 644") && warnings[0].contains("chmod 400"),
            "{warnings:?}"
        );
    }

    #[test]
    fn unusable_cookies_are_refused_with_their_place() {
        for (content, part) in [
            ("", "is empty"),
            ("a\nb\n", "one line"),
            ("ü", "ASCII"),
            (&"x".repeat(300), "255"),
        ] {
            let message = with(content, 0o400).unwrap_err().to_string();
            assert!(
                message.contains("sidekick.toml:2:15") && message.contains(part),
                "{message}"
            );
            assert!(!message.contains("xxx"), "{message}");
        }
    }

    #[test]
    fn a_missing_file_says_how_to_make_one() {
        let message = Config::parse(
            "[node]\ncookie_file = \"/nowhere/c\"\n",
            Path::new("x.toml"),
            &Overrides::default(),
        )
        .unwrap_err()
        .to_string();
        assert!(
            message.contains("does not exist") && message.contains("umask 377"),
            "{message}"
        );
    }
}

mod on_this_machine {
    use super::*;

    fn check(server: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("[[server]]\nid = \"a\"\n{server}\n");
        let config = Config::parse(&text, &dir.path().join("sidekick.toml"), &overrides()).unwrap();
        config
            .check_machine()
            .map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn missing_things_are_named() {
        assert_eq!(check("command = [\"sh\"]"), "fine");
        assert_eq!(check("command = [\"/bin/sh\"]"), "fine");
        assert!(check("command = [\"no-such-program\"]").contains("not in PATH; install it"));
        assert!(check("command = [\"./godot\"]").contains("correct `command`"));
        assert!(check("command = [\"/etc/passwd\"]").contains("not an executable file"));
        assert!(
            check("command = [\"sh\"]\ndirectory = \"gone\"").contains("does not exist; make it")
        );
    }

    #[test]
    fn a_missing_project_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let godot = dir.path().join("godot");
        std::os::unix::fs::symlink("/bin/sh", &godot).unwrap();
        let command = format!("command = [{godot:?}, \"--headless\", \"--path\", \"game\"]");
        assert!(check(&command).contains("no project.godot; correct `--path`"));
    }

    #[test]
    fn an_unreadable_file_says_what_to_do() {
        let message = Config::load(Path::new("/nowhere/sidekick.toml"), &overrides())
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("/nowhere/sidekick.toml") && message.contains("--config"),
            "{message}"
        );
    }
}
