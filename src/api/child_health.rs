//! Health in child specs: `busy_max_ms`, `memory_warn_bytes`, `probe`.
//!
//! `probe` is a map: `kind` (`tcp`, `udp`, `http`), `address` (`<<"127.0.0.1:7000">>`), and where they differ from the defaults
//! `interval_ms` and `timeout_ms` (1000), `failures` (3); for `udp` `payload` and `expect` (binaries), for `http` `path` (`<<"/">>`)
//! and `status` (any of 200 to 299). Bounds are those of the configuration.

use crate::etf::Term;
use crate::supervisor::{ProbeKind, ProbeSpec, ServerSpec};
use std::time::Duration;

/// Longest path, payload or expectation.
const BYTES_MAX: usize = 1_024;
/// The least pause or wait.
const LEAST: Duration = Duration::from_millis(50);

/// Reads one key; `None` where it is none of these.
pub fn read(name: &str, value: &Term, spec: &mut ServerSpec) -> Option<Result<(), String>> {
    let number = || {
        value
            .as_u64()
            .ok_or_else(|| format!("{name} must be a non-negative integer"))
    };
    Some(match name {
        "busy_max_ms" => number().map(|ms| spec.busy_max = Duration::from_millis(ms)),
        "memory_warn_bytes" => number().map(|bytes| spec.memory_warn = Some(bytes)),
        "probe" => probe(value).map(|probe| spec.probe = Some(probe)),
        _ => return None,
    })
}

fn probe(map: &Term) -> Result<ProbeSpec, String> {
    let known = [
        "kind",
        "address",
        "interval_ms",
        "timeout_ms",
        "failures",
        "payload",
        "expect",
        "path",
        "status",
    ];
    for (key, _) in map.as_map().ok_or("probe must be a map")? {
        if !key.as_text().is_some_and(|key| known.contains(&key)) {
            return Err(format!("probe holds the unknown key {key}"));
        }
    }
    let address = map.map_get("address").and_then(Term::as_text);
    let address = address.and_then(|text| text.parse().ok());
    let failures = number(map, "failures")?.unwrap_or(3);
    Ok(ProbeSpec {
        kind: kind(map)?,
        address: address.ok_or("probe.address must be a binary such as <<\"127.0.0.1:7000\">>")?,
        interval: pause(map, "interval_ms")?,
        timeout: pause(map, "timeout_ms")?,
        failures: u32::try_from(failures)
            .ok()
            .filter(|failures| *failures > 0)
            .ok_or("probe.failures must be a positive integer")?,
    })
}

fn kind(map: &Term) -> Result<ProbeKind, String> {
    let word = map.map_get("kind").and_then(Term::as_text);
    let none = |keys: [&str; 2]| match keys.iter().find(|key| map.map_get(key).is_some()) {
        Some(key) => Err(format!("probe.{key} means nothing for this kind")),
        None => Ok(()),
    };
    match word {
        Some("tcp") => {
            none(["payload", "expect"])?;
            none(["path", "status"])?;
            Ok(ProbeKind::Tcp)
        }
        Some("udp") => {
            none(["path", "status"])?;
            let payload = bytes(map, "payload")?;
            let payload = payload.ok_or("a probe of kind udp needs a payload to be answered")?;
            let expect = bytes(map, "expect")?.unwrap_or_default();
            Ok(ProbeKind::Udp { payload, expect })
        }
        Some("http") => {
            none(["payload", "expect"])?;
            let path = bytes(map, "path")?.unwrap_or_else(|| b"/".to_vec());
            let plain = path.starts_with(b"/") && path.iter().all(u8::is_ascii_graphic);
            let path = String::from_utf8(path).ok().filter(|_| plain);
            let status = number(map, "status")?.map(|status| {
                u16::try_from(status)
                    .ok()
                    .filter(|status| (200..600).contains(status))
                    .ok_or("probe.status must be from 200 to 599")
            });
            Ok(ProbeKind::Http {
                path: path.ok_or("probe.path must begin with a slash and be printable ASCII")?,
                status: status.transpose()?,
            })
        }
        _ => Err("probe.kind must be tcp, udp or http".to_owned()),
    }
}

fn number(map: &Term, key: &str) -> Result<Option<u64>, String> {
    let Some(value) = map.map_get(key) else {
        return Ok(None);
    };
    let number = value.as_u64();
    number
        .map(Some)
        .ok_or_else(|| format!("probe.{key} must be a non-negative integer"))
}

fn pause(map: &Term, key: &str) -> Result<Duration, String> {
    let pause = Duration::from_millis(number(map, key)?.unwrap_or(1_000));
    if pause < LEAST {
        return Err(format!(
            "probe.{key} must be at least {}",
            LEAST.as_millis()
        ));
    }
    Ok(pause)
}

fn bytes(map: &Term, key: &str) -> Result<Option<Vec<u8>>, String> {
    let Some(value) = map.map_get(key) else {
        return Ok(None);
    };
    let bytes = value.as_binary().filter(|bytes| bytes.len() <= BYTES_MAX);
    bytes
        .map(|bytes| Some(bytes.to_vec()))
        .ok_or_else(|| format!("probe.{key} must be a binary of at most {BYTES_MAX} bytes"))
}

/// The keys that say something.
pub fn write(spec: &ServerSpec) -> Vec<(&'static str, Term)> {
    let pairs = [
        ("busy_max_ms", Some(millis(spec.busy_max))),
        ("memory_warn_bytes", spec.memory_warn.map(Term::int)),
        ("probe", spec.probe.as_ref().map(probe_map)),
    ];
    let said = pairs.into_iter();
    said.filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

fn millis(duration: Duration) -> Term {
    Term::int(duration.as_millis() as u64)
}

fn probe_map(probe: &ProbeSpec) -> Term {
    let mut pairs = vec![
        ("address", Term::text(&probe.address.to_string())),
        ("interval_ms", millis(probe.interval)),
        ("timeout_ms", millis(probe.timeout)),
        ("failures", Term::int(probe.failures)),
    ];
    match &probe.kind {
        ProbeKind::Tcp => pairs.push(("kind", Term::atom("tcp"))),
        ProbeKind::Udp { payload, expect } => pairs.extend([
            ("kind", Term::atom("udp")),
            ("payload", Term::binary(payload.clone())),
            ("expect", Term::binary(expect.clone())),
        ]),
        ProbeKind::Http { path, status } => {
            pairs.extend([("kind", Term::atom("http")), ("path", Term::text(path))]);
            pairs.extend(status.map(|status| ("status", Term::int(status))));
        }
    }
    Term::map(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ServerId;

    fn spec() -> ServerSpec {
        ServerSpec::new(ServerId::new("arena").expect("valid"), vec!["zone".into()])
    }

    fn probe_of(pairs: &[(&'static str, Term)]) -> Result<ServerSpec, String> {
        let mut spec = spec();
        let map = Term::map(pairs.iter().map(|(key, value)| (*key, value.clone())));
        read("probe", &map, &mut spec).expect("a key of ours")?;
        Ok(spec)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (tcp, udp, http) = (Term::atom("tcp"), Term::atom("udp"), Term::atom("http"));
        let address = || ("address", Term::text("[::1]:7000"));
        for pairs in [
            vec![("kind", tcp), address(), ("failures", Term::int(9))],
            vec![("kind", udp), address(), ("payload", Term::text("ping"))],
            vec![("kind", http), address(), ("status", Term::int(204))],
        ] {
            let told = probe_of(&pairs).expect("valid");
            let mut again = spec();
            for (key, value) in write(&told) {
                read(key, &value, &mut again)
                    .expect("a key of ours")
                    .expect("valid");
            }
            assert_eq!(again, told);
        }
        assert!(read("colour", &Term::int(1), &mut spec()).is_none());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let address = ("address", Term::text("127.0.0.1:7000"));
        let tcp = ("kind", Term::atom("tcp"));
        for (pairs, complaint) in [
            (vec![tcp.clone()], "address"),
            (vec![address.clone()], "probe.kind"),
            (
                vec![tcp.clone(), address.clone(), ("colour", Term::int(1))],
                "unknown key",
            ),
            (
                vec![tcp.clone(), address.clone(), ("path", Term::text("/"))],
                "means nothing",
            ),
            (
                vec![tcp.clone(), address.clone(), ("interval_ms", Term::int(1))],
                "at least",
            ),
            (
                vec![tcp, address.clone(), ("failures", Term::int(0))],
                "positive",
            ),
            (
                vec![("kind", Term::atom("udp")), address.clone()],
                "payload",
            ),
            (
                vec![
                    ("kind", Term::atom("http")),
                    address,
                    ("path", Term::text("x")),
                ],
                "slash",
            ),
        ] {
            let error = probe_of(&pairs).expect_err("invalid");
            assert!(error.contains(complaint), "{error}");
        }
    }
}
