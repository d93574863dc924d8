//! `[server.probe]`: checks.

use super::error::Fault;
use super::model::{ProbeBytes, ProbeConfig, ProbeKind};
use super::raw::RawProbe;
use super::servers::bounded;
use super::values::Span;
use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;
use toml::Spanned;

/// Longest path that is asked for.
const PATH_MAX: usize = 1_024;
/// The least that a pause or a wait makes sense for.
const LEAST: Duration = Duration::from_millis(50);

pub(super) fn build(
    raw: Option<Spanned<RawProbe>>,
    session: bool,
) -> Result<Option<ProbeConfig>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    let span = raw.span();
    let raw = raw.into_inner();
    if session {
        return Err(Fault::at(
            span,
            "a process that speaks the session protocol tells by its heartbeats how it is; remove [server.probe], or write session = false \
             for a process without the addon",
        ));
    }
    let kind = *raw.kind.get_ref();
    only_for(
        ProbeKind::Http,
        kind,
        "path",
        raw.path.as_ref().map(Spanned::span),
    )?;
    only_for(
        ProbeKind::Http,
        kind,
        "status",
        raw.status.as_ref().map(Spanned::span),
    )?;
    only_for(
        ProbeKind::Udp,
        kind,
        "payload",
        raw.payload.as_ref().map(Spanned::span),
    )?;
    only_for(
        ProbeKind::Udp,
        kind,
        "expect",
        raw.expect.as_ref().map(Spanned::span),
    )?;
    if kind == ProbeKind::Udp && raw.payload.is_none() {
        return Err(Fault::at(
            span,
            "a probe of kind \"udp\" sends something that the process answers; add such as payload = \"ping\" or payload = \"hex:ff00\"",
        ));
    }
    let port = raw.port.get_ref().0.parse::<NonZeroU16>().map_err(|_| {
        Fault::at(
            raw.port.span(),
            format!(
                "{:?} is not a port; write a number from 1 to 65535, or \"{{port}}\" where the server has `ports`",
                raw.port.get_ref().0
            ),
        )
    })?;
    Ok(Some(ProbeConfig {
        kind,
        address: address(raw.address)?,
        port,
        path: path(kind, raw.path)?,
        status: status(raw.status)?,
        payload: bytes(raw.payload)?,
        expect: bytes(raw.expect)?,
        interval: pause("interval", raw.interval, Duration::from_secs(1))?,
        timeout: pause("timeout", raw.timeout, Duration::from_secs(1))?,
        failures: failures(raw.failures)?,
    }))
}

fn only_for(
    wanted: ProbeKind,
    kind: ProbeKind,
    key: &str,
    span: Option<std::ops::Range<usize>>,
) -> Result<(), Fault> {
    let Some(span) = span.filter(|_| wanted != kind) else {
        return Ok(());
    };
    let name = if wanted == ProbeKind::Http {
        "http"
    } else {
        "udp"
    };
    Err(Fault::at(
        span,
        format!("`{key}` means something for kind = \"{name}\" only; remove it"),
    ))
}

fn address(raw: Option<Spanned<String>>) -> Result<IpAddr, Fault> {
    let Some(raw) = raw else {
        return Ok(Ipv4Addr::LOCALHOST.into());
    };
    raw.get_ref().parse().map_err(|_| {
        Fault::at(
            raw.span(),
            format!(
                "{:?} is not an address; write such as \"127.0.0.1\" or \"::1\" (names are not looked up)",
                raw.get_ref()
            ),
        )
    })
}

fn path(kind: ProbeKind, raw: Option<Spanned<String>>) -> Result<Option<String>, Fault> {
    if kind != ProbeKind::Http {
        return Ok(None);
    }
    let Some(raw) = raw else {
        return Ok(Some("/".to_owned()));
    };
    let path = raw.get_ref();
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic());
    if path.starts_with('/') && plain && path.len() <= PATH_MAX {
        return Ok(Some(path.clone()));
    }
    Err(Fault::at(
        raw.span(),
        format!(
            "{path:?} cannot be asked for; a path begins with a slash and has at most {PATH_MAX} printable ASCII characters and no space \
             (write others as such as %20)"
        ),
    ))
}

fn status(raw: Option<Spanned<u16>>) -> Result<Option<u16>, Fault> {
    match raw {
        Some(raw) if !(200..=599).contains(raw.get_ref()) => Err(Fault::at(
            raw.span(),
            format!(
                "{} is not a final status of HTTP; write one from 200 to 599",
                raw.get_ref()
            ),
        )),
        raw => Ok(raw.map(Spanned::into_inner)),
    }
}

fn bytes(raw: Option<Spanned<String>>) -> Result<ProbeBytes, Fault> {
    let Some(raw) = raw else {
        return Ok(ProbeBytes::default());
    };
    ProbeBytes::read(raw.get_ref()).ok_or_else(|| {
        Fault::at(
            raw.span(),
            format!(
                "{:?} is neither text nor \"hex:\" and pairs of hexadecimal digits of at most {} bytes",
                raw.get_ref(),
                ProbeBytes::MAX
            ),
        )
    })
}

fn pause(key: &str, raw: Option<Spanned<Span>>, default: Duration) -> Result<Duration, Fault> {
    let Some(raw) = raw else {
        return Ok(default);
    };
    bounded(key, raw.span(), raw.get_ref().0, LEAST)
}

fn failures(raw: Option<Spanned<u32>>) -> Result<NonZeroU32, Fault> {
    let Some(raw) = raw else {
        return Ok(NonZeroU32::MIN.saturating_add(2));
    };
    NonZeroU32::new(*raw.get_ref())
        .filter(|failures| failures.get() <= 1_000)
        .ok_or_else(|| {
            Fault::at(
                raw.span(),
                "failures must be from 1 to 1000; for a process that is not to be judged remove [server.probe]",
            )
        })
}

#[cfg(test)]
mod tests;
