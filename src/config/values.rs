//! Sizes, durations and paths as people write them, and back.

// serde's `serialize_with` hands over `&Option<T>`.
#![allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref)]

use crate::types::UNLIMITED;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serializer};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Units by which sizes are shown, largest first.
const UNITS: [(u64, &str); 4] = [
    (1 << 40, "TiB"),
    (1 << 30, "GiB"),
    (1 << 20, "MiB"),
    (1 << 10, "KiB"),
];

/// A number of bytes: `4096`, `"64MiB"`, `"4GiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub u64);

/// A size, or `"unlimited"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SizeOrUnlimited(pub u64);

/// A duration with its unit: `"250ms"`, `"2s"`, `"1m 30s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub Duration);

/// A duration, or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanOrOff(pub Option<Duration>);

/// A path, or `false` for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathOrOff(pub Option<PathBuf>);

/// A port, or a range of ports with both ends: `7000`, `"7000-7015"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub first: u16,
    pub last: u16,
}

/// A port as a number, or as text in which a template fills `{port}` in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PortText(pub String);

/// A time of day: `"04:30"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeOfDay {
    pub minute: u16,
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"64MiB\", \"4GiB\" or a number of bytes")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Size, E> {
        u64::try_from(value)
            .map(Size)
            .map_err(|_| E::custom(format!("a size cannot be negative, this one is {value}")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        let size = text.parse::<bytesize::ByteSize>().map_err(|_| {
            E::custom(format!(
                "{text:?} is not a size; write such as \"64MiB\", \"4GiB\" or a number of bytes"
            ))
        })?;
        Ok(Size(size.as_u64()))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct UnlimitedVisitor;

impl Visitor<'_> for UnlimitedVisitor {
    type Value = SizeOrUnlimited;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"1GiB\", 0 for none, or \"unlimited\"")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<SizeOrUnlimited, E> {
        SizeVisitor
            .visit_i64(value)
            .map(|size| SizeOrUnlimited(size.0))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SizeOrUnlimited, E> {
        if text == "unlimited" {
            return Ok(SizeOrUnlimited(UNLIMITED));
        }
        SizeVisitor
            .visit_str(text)
            .map(|size| SizeOrUnlimited(size.0))
    }
}

impl<'de> Deserialize<'de> for SizeOrUnlimited {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnlimitedVisitor)
    }
}

struct SpanVisitor {
    off: bool,
}

impl Visitor<'_> for SpanVisitor {
    type Value = SpanOrOff;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration with its unit, such as \"250ms\" or \"2s\"")?;
        if self.off {
            f.write_str(", or \"off\"")
        } else {
            Ok(())
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<SpanOrOff, E> {
        Err(E::custom(format!(
            "a duration needs a unit: \"{value}s\" or \"{value}ms\"?"
        )))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<SpanOrOff, E> {
        if self.off && !value {
            Ok(SpanOrOff(None))
        } else {
            Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SpanOrOff, E> {
        if self.off && text == "off" {
            return Ok(SpanOrOff(None));
        }
        humantime::parse_duration(text)
            .map(|duration| SpanOrOff(Some(duration)))
            .map_err(|_| {
                E::custom(format!(
                    "{text:?} is not a duration; write such as \"250ms\", \"2s\" or \"1m 30s\""
                ))
            })
    }
}

impl<'de> Deserialize<'de> for SpanOrOff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor { off: true })
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(SpanVisitor { off: false })?;
        Ok(Self(
            value.0.expect("\"off\" is not accepted by this visitor"),
        ))
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = |text: &str, below: u16| {
            let two_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse::<u16>().ok().filter(|_| two_digits);
            number.filter(|number| *number < below)
        };
        let parts = text.split_once(':');
        let parts = parts.and_then(|(hour, minute)| number(hour, 24).zip(number(minute, 60)));
        let (hour, minute) = parts.ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is not a time of day in UTC; write such as \"04:30\""
            ))
        })?;
        Ok(Self {
            minute: hour * 60 + minute,
        })
    }
}

struct PortsVisitor;

impl Visitor<'_> for PortsVisitor {
    type Value = Ports;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a range of ports such as \"7000-7015\", or one port")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Ports, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Ports, E> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Ports { first, last }),
            _ => Err(E::custom(format!(
                "{text:?} is not a range of ports; write the first and the last one, such as \"7000-7015\""
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortsVisitor)
    }
}

struct PortTextVisitor;

impl Visitor<'_> for PortTextVisitor {
    type Value = PortText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port, or \"{port}\"")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<PortText, E> {
        Ok(PortText(value.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PortText, E> {
        Ok(PortText(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for PortText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortTextVisitor)
    }
}

struct PathVisitor;

impl Visitor<'_> for PathVisitor {
    type Value = PathOrOff;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path, or false for none")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<PathOrOff, E> {
        if value {
            Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self))
        } else {
            Ok(PathOrOff(None))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PathOrOff, E> {
        Ok(PathOrOff(Some(PathBuf::from(text))))
    }
}

impl<'de> Deserialize<'de> for PathOrOff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PathVisitor)
    }
}

/// Makes a path absolute: `~` is the home directory, anything relative starts at `base`.
///
/// # Errors
/// For an empty path, `~user`, and `~` where no home directory is known.
pub(super) fn resolve(path: &Path, base: &Path, home: Option<&Path>) -> Result<PathBuf, String> {
    let Some(first) = path.components().next() else {
        return Err("a path cannot be empty".to_owned());
    };
    let first = first.as_os_str().to_string_lossy();
    if first == "~" {
        let home = home.ok_or_else(|| {
            format!(
                "{} needs a home directory, but HOME is not set; write the full path",
                path.display()
            )
        })?;
        return Ok(home.join(path.strip_prefix("~").expect("the first component is ~")));
    }
    if first.starts_with('~') {
        return Err(format!(
            "{}: only \"~/\" is understood, not the home of another user; write the full path",
            path.display()
        ));
    }
    Ok(base.join(path.strip_prefix(".").unwrap_or(path)))
}

/// A size as it would be written in the file.
pub(super) fn show_size(bytes: u64) -> String {
    UNITS
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes % unit == 0)
        .map_or_else(
            || bytes.to_string(),
            |(unit, name)| format!("{}{name}", bytes / unit),
        )
}

/// A duration as it would be written in the file.
pub(super) fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

pub(super) fn size_text<T: Copy + Into<u64>, S: Serializer>(
    bytes: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show_size((*bytes).into()))
}

pub(super) fn opt_size_text<S: Serializer>(
    bytes: &Option<u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => size_text(bytes, serializer),
        None => serializer.serialize_none(),
    }
}

pub(super) fn duration_text<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show_duration(*duration))
}

pub(super) fn opt_duration_text<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => duration_text(duration, serializer),
        None => serializer.serialize_none(),
    }
}

pub(super) fn hang_text<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => duration_text(duration, serializer),
        None => serializer.serialize_str("off"),
    }
}

pub(super) fn time_text<S: Serializer>(
    minute: &Option<u16>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match minute {
        Some(minute) => serializer.serialize_str(&format!("{:02}:{:02}", minute / 60, minute % 60)),
        None => serializer.serialize_none(),
    }
}

pub(super) fn socket_text<S: Serializer>(
    path: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => serializer.collect_str(&path.display()),
        None => serializer.serialize_bool(false),
    }
}

pub(super) fn display<T: fmt::Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_resolve_from_home_and_base() {
        let (base, home) = (Path::new("/etc/sidekick"), Some(Path::new("/users/me")));
        let resolved =
            |path: &str| resolve(Path::new(path), base, home).map(|p| p.display().to_string());
        assert_eq!(
            resolved("var/buffer"),
            Ok("/etc/sidekick/var/buffer".to_owned())
        );
        assert_eq!(resolved("./var"), Ok("/etc/sidekick/var".to_owned()));
        assert_eq!(resolved("/srv/x"), Ok("/srv/x".to_owned()));
        assert_eq!(
            resolved("~/.erlang.cookie"),
            Ok("/users/me/.erlang.cookie".to_owned())
        );
        assert!(resolved("~other/x").is_err_and(|e| e.contains("full path")));
        assert!(resolved("").is_err());
        assert!(resolve(Path::new("~/x"), base, None).is_err_and(|e| e.contains("HOME")));
    }

    #[test]
    fn sizes_and_durations_show_as_they_are_written() {
        assert_eq!(show_size(4 << 30), "4GiB");
        assert_eq!(show_size(1500), "1500");
        assert_eq!(show_size(0), "0");
        assert_eq!(show_duration(Duration::from_millis(2500)), "2s 500ms");
    }
}
