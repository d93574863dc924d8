use crate::config::template::tests::without_cookie;
use crate::config::{Config, ConfigError, Overrides, ProbeKind};
use std::path::Path;

fn parse(text: &str) -> Result<Config, ConfigError> {
    let overrides = Overrides {
        cookie: Some("cookie".to_owned()),
        ..Overrides::default()
    };
    Config::parse(text, Path::new("/etc/sidekick/sidekick.toml"), &overrides)
}

fn server(keys: &str, probe: &str) -> String {
    format!(
        "[[server]]\nid = \"zone\"\ncommand = [\"zone\"]\nsession = false\n{keys}\n[server.probe]\n{probe}\n"
    )
}

#[test]
fn a_probe_has_usable_defaults_and_shows_as_it_can_be_read() {
    let text = server("memory_warn = \"1500MiB\"", "kind = \"http\"\nport = 8080");
    let config = parse(&text).expect("is right");
    let probe = config.servers[0].probe.as_ref().expect("is there");
    assert_eq!(probe.address.to_string(), "127.0.0.1");
    assert_eq!((probe.path.as_deref(), probe.status), (Some("/"), None));
    assert_eq!((probe.failures.get(), probe.interval.as_secs()), (3, 1));
    assert_eq!(config.servers[0].memory_warn, Some(1500 << 20));
    let again = parse(&without_cookie(&config)).expect("what is shown can be read");
    assert_eq!(again.servers[0].probe, config.servers[0].probe);
    assert_eq!(again.servers[0].memory_warn, Some(1500 << 20));
}

#[test]
fn bytes_are_text_or_hexadecimal() {
    let text = server(
        "",
        "kind = \"udp\"\nport = 1\npayload = \"hex:ff 00FF\"\nexpect = \"pong\"",
    );
    let config = parse(&text).expect("is right");
    let probe = config.servers[0].probe.as_ref().expect("is there");
    assert_eq!(probe.payload.as_bytes(), [0xff, 0, 0xff]);
    assert_eq!(probe.expect.as_bytes(), b"pong");
    let again = parse(&without_cookie(&config)).expect("what is shown can be read");
    assert_eq!(again.servers[0].probe.as_ref(), Some(probe));
}

#[test]
fn each_instance_of_a_template_is_asked_at_its_port() {
    let text = "[[server]]\nid = \"zone_{n}\"\ncount = 2\nports = \"7000-7001\"\ncommand = [\"zone\"]\nsession = false\n\
        [server.probe]\nkind = \"tcp\"\nport = \"{port}\"\n";
    let config = parse(text).expect("is right");
    let ports: Vec<_> = config
        .servers
        .iter()
        .map(|server| {
            let probe = server.probe.as_ref().expect("is there");
            (probe.kind, probe.port.get())
        })
        .collect();
    assert_eq!(ports, [(ProbeKind::Tcp, 7000), (ProbeKind::Tcp, 7001)]);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_remedy() {
    let long = format!(
        "kind = \"udp\"\nport = 1\npayload = \"{}\"",
        "x".repeat(1201)
    );
    for (probe, part) in [
        ("kind = \"tcp\"\nport = 0", "from 1 to 65535"),
        ("kind = \"tcp\"\nport = \"{port}\"", "has no `ports`"),
        ("kind = \"icmp\"\nport = 1", "icmp"),
        ("kind = \"udp\"\nport = 1", "payload = \"ping\""),
        (
            "kind = \"udp\"\nport = 1\npayload = \"hex:fff\"",
            "pairs of hexadecimal",
        ),
        (long.as_str(), "at most 1200 bytes"),
        (
            "kind = \"tcp\"\nport = 1\npath = \"/\"",
            "kind = \"http\" only",
        ),
        (
            "kind = \"http\"\nport = 1\nexpect = \"x\"",
            "kind = \"udp\" only",
        ),
        (
            "kind = \"http\"\nport = 1\npath = \"a b\"",
            "begins with a slash",
        ),
        ("kind = \"http\"\nport = 1\npath = \"/a b\"", "%20"),
        ("kind = \"http\"\nport = 1\nstatus = 100", "from 200 to 599"),
        (
            "kind = \"tcp\"\nport = 1\naddress = \"localhost\"",
            "names are not looked up",
        ),
        ("kind = \"tcp\"\nport = 1\nfailures = 0", "from 1 to 1000"),
        ("kind = \"tcp\"\nport = 1\ninterval = \"1ms\"", "from 50ms"),
        ("kind = \"tcp\"\nport = 1\nretries = 3", "retries"),
    ] {
        let refused = parse(&server("", probe)).expect_err(probe).to_string();
        assert!(refused.contains(part), "{probe}: {refused}");
    }
    let with_session = server("", "kind = \"tcp\"\nport = 1").replace("session = false\n", "");
    let refused = parse(&with_session).expect_err("has a session").to_string();
    assert!(refused.contains("session = false"), "{refused}");
    let small = server("memory_warn = \"1500\"", "kind = \"tcp\"\nport = 1");
    let refused = parse(&small).expect_err("is too small").to_string();
    assert!(refused.contains("1500MiB"), "{refused}");
}
