//! `[[sink]]`: who gets the uploads.

use super::buffer::check_pattern;
use super::build::Context;
use super::error::Fault;
use super::model::{BreakerConfig, DeadLettersConfig, SinkConfig, SinkKind, SinkLimits};
use super::postgres;
use super::raw::{RawBreaker, RawDeadLetters, RawLimits, RawSink};
use crate::types::SinkName;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::Spanned;

/// One upload is one message, held in memory on both sides.
const RECORDS: RangeInclusive<u32> = 1..=10_000;
/// As above.
const BYTES: RangeInclusive<u64> = 1 << 10..=8 << 20;
/// Less would not let a usual record pass in a second, and no line has more.
const RATE: RangeInclusive<u64> = 1 << 10..=1 << 40;

/// The sinks, and where in the file their nodes stand.
pub(super) struct Sinks {
    pub list: Vec<SinkConfig>,
    pub nodes: Vec<(Range<usize>, String)>,
}

pub(super) fn build(raw: Vec<Spanned<RawSink>>, context: &mut Context<'_>) -> Result<Sinks, Fault> {
    let mut sinks = Sinks {
        list: Vec::new(),
        nodes: Vec::new(),
    };
    for sink in raw {
        let whole = sink.span();
        let mut sink = sink.into_inner();
        let name = SinkName::try_from(sink.name.get_ref().as_str())
            .map_err(|error| Fault::at(sink.name.span(), error.to_string()))?;
        // Its dead letters are kept in a scope of this name behind a word of ours.
        if name.as_bytes().len() > 240 {
            let told = "the name of a sink is at most 240 bytes long";
            return Err(Fault::at(sink.name.span(), told));
        }
        if sinks.list.iter().any(|other| other.name == name) {
            return Err(Fault::at(
                sink.name.span(),
                format!(
                    "two sinks are named {name:?}; the name keys the sink's cursors, so give each its own"
                ),
            ));
        }
        let kind = match sink.kind.get_ref().as_str() {
            "beam" => beam(&sink, &name, &whole)?,
            "postgres" => {
                let config = postgres::build(&mut sink, &whole, context)?;
                SinkKind::Postgres(Box::new(config))
            }
            other => {
                return Err(Fault::at(
                    sink.kind.span(),
                    format!("unknown sink kind {other:?}; write \"beam\" or \"postgres\""),
                ));
            }
        };
        let nodes = sink.nodes.iter();
        let nodes = nodes.map(|node| (node.span(), node.get_ref().clone()));
        sinks.nodes.extend(nodes);
        sinks.list.push(SinkConfig {
            kind,
            streams: streams(sink.streams, &name, whole)?,
            name,
            start: sink.start,
            limits: limits(sink.limits)?,
            breaker: breaker(sink.breaker)?,
            dead_letters: dead_letters(sink.dead_letters)?,
        });
    }
    Ok(sinks)
}

fn beam(sink: &RawSink, name: &SinkName, whole: &Range<usize>) -> Result<SinkKind, Fault> {
    postgres::refuse(sink, whole)?;
    if sink.nodes.is_empty() {
        return Err(Fault::at(
            whole.clone(),
            format!("sink {name:?} names no node; add `nodes = [\"frontend@127.0.0.1\"]`"),
        ));
    }
    let nodes = sink.nodes.iter().map(|node| node.get_ref().clone());
    Ok(SinkKind::Beam {
        nodes: nodes.collect(),
    })
}

fn streams(
    raw: Option<Vec<Spanned<String>>>,
    name: &SinkName,
    whole: Range<usize>,
) -> Result<Vec<String>, Fault> {
    let Some(raw) = raw else {
        return Ok(vec!["*".to_owned()]);
    };
    if raw.is_empty() {
        return Err(Fault::at(
            whole,
            format!(
                "sink {name:?} gets no stream; write streams = [\"*\"] for all, or remove the sink"
            ),
        ));
    }
    raw.into_iter()
        .map(|pattern| check_pattern(&pattern).map(|()| pattern.into_inner()))
        .collect()
}

fn limits(raw: RawLimits) -> Result<SinkLimits, Fault> {
    within(
        raw.records.as_ref(),
        &RECORDS,
        "`records` must be from 1 to 10000",
    )?;
    let bytes = raw.bytes.map(|bytes| spanned(bytes, |bytes| bytes.0));
    within(bytes.as_ref(), &BYTES, "`bytes` must be from 1KiB to 8MiB")?;
    let timeout = raw
        .timeout
        .map(|timeout| spanned(timeout, |timeout| timeout.0));
    let bounds = Duration::from_millis(100)..=Duration::from_secs(600);
    within(
        timeout.as_ref(),
        &bounds,
        "`timeout` must be from 100ms to 10m",
    )?;
    let age = raw.age.map(|age| spanned(age, |age| age.0));
    let bounds = Duration::ZERO..=Duration::from_secs(60);
    within(
        age.as_ref(),
        &bounds,
        "`age` must be from 0s to 1m: records wait in the buffer, not here",
    )?;
    let rate = raw
        .max_bytes_per_second
        .map(|rate| spanned(rate, |rate| rate.0));
    within(
        rate.as_ref(),
        &RATE,
        "`max_bytes_per_second` must be from 1KiB to 1TiB",
    )?;
    Ok(SinkLimits {
        records: value(raw.records, 1000),
        bytes: value(bytes, 1 << 20),
        age: value(age, Duration::from_millis(50)),
        max_bytes_per_second: rate.map(Spanned::into_inner),
        timeout: value(timeout, Duration::from_secs(10)),
    })
}

fn breaker(raw: RawBreaker) -> Result<BreakerConfig, Fault> {
    within(
        raw.failures.as_ref(),
        &(1..=1000),
        "`failures` must be from 1 to 1000",
    )?;
    let bounds = Duration::from_millis(10)..=Duration::from_secs(3600);
    let open = raw.open.map(|open| spanned(open, |open| open.0));
    within(open.as_ref(), &bounds, "`open` must be from 10ms to 1h")?;
    let open_max = raw.open_max.map(|open| spanned(open, |open| open.0));
    within(
        open_max.as_ref(),
        &bounds,
        "`open_max` must be from 10ms to 1h",
    )?;
    let span = open_max.as_ref().or(open.as_ref()).map(Spanned::span);
    let open = value(open, Duration::from_secs(1));
    let open_max = value(open_max, Duration::from_secs(30).max(open));
    if open > open_max {
        let told = "`open` must not be above `open_max`";
        return Err(Fault::at(span.unwrap_or_default(), told));
    }
    Ok(BreakerConfig {
        failures: value(raw.failures, 5),
        open,
        open_max,
    })
}

fn dead_letters(raw: RawDeadLetters) -> Result<DeadLettersConfig, Fault> {
    within(
        raw.after.as_ref(),
        &(1..=100),
        "`after` must be from 1 to 100",
    )?;
    within(
        raw.max.as_ref(),
        &(0..=100_000),
        "`max` must be from 0 (the sink halts instead) to 100000",
    )?;
    Ok(DeadLettersConfig {
        after: value(raw.after, 3),
        max: value(raw.max, 1000),
    })
}

fn within<T: PartialOrd>(
    given: Option<&Spanned<T>>,
    bounds: &RangeInclusive<T>,
    told: &str,
) -> Result<(), Fault> {
    match given {
        Some(given) if !bounds.contains(given.get_ref()) => Err(Fault::at(given.span(), told)),
        _ => Ok(()),
    }
}

fn spanned<T, U>(given: Spanned<T>, of: impl FnOnce(T) -> U) -> Spanned<U> {
    Spanned::new(given.span(), of(given.into_inner()))
}

fn value<T>(given: Option<Spanned<T>>, default: T) -> T {
    given.map_or(default, Spanned::into_inner)
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{parse, refused};
    use std::time::Duration;

    fn sink(lines: &str) -> String {
        format!("[[sink]]\nname = \"k\"\nkind = \"beam\"\nnodes = [\"f@127.0.0.1\"]\n{lines}")
    }

    #[test]
    fn limits_breaker_and_dead_letters_are_read_and_have_defaults() {
        let config = parse(&sink(
            "limits = { age = \"1s\", max_bytes_per_second = \"64KiB\" }\nbreaker = { failures = 2, open = \"100ms\" }\n\
             dead_letters = { after = 5, max = 0 }\n",
        ))
        .unwrap();
        let sink_of = |config: &crate::config::Config| config.sinks[0].clone();
        let given = sink_of(&config);
        assert_eq!(given.limits.age, Duration::from_secs(1));
        assert_eq!(given.limits.max_bytes_per_second, Some(64 << 10));
        assert_eq!(
            (given.breaker.failures, given.breaker.open),
            (2, Duration::from_millis(100))
        );
        assert_eq!((given.dead_letters.after, given.dead_letters.max), (5, 0));
        let plain = sink_of(&parse(&sink("")).unwrap());
        assert_eq!(
            (plain.breaker.failures, plain.breaker.open_max),
            (5, Duration::from_secs(30))
        );
        assert_eq!(
            (plain.dead_letters.after, plain.dead_letters.max),
            (3, 1000)
        );
        assert_eq!(
            (plain.limits.age, plain.limits.max_bytes_per_second),
            (Duration::from_millis(50), None)
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (lines, told) in [
            (
                "limits = { max_bytes_per_second = 10 }",
                "`max_bytes_per_second` must be",
            ),
            ("limits = { age = \"2m\" }", "`age` must be"),
            (
                "breaker = { open = \"1m\", open_max = \"1s\" }",
                "`open` must not be above",
            ),
            ("dead_letters = { after = 0 }", "`after` must be"),
        ] {
            let error = refused(&sink(lines));
            assert!(error.contains(told), "{error}");
        }
        let long = sink("").replace("\"k\"", &format!("\"{}\"", "k".repeat(241)));
        assert!(refused(&long).contains("at most 240 bytes"));
    }
}
