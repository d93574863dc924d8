//! `[[sink]]`: who gets the uploads.

use super::buffer::check_pattern;
use super::build::Context;
use super::error::Fault;
use super::model::{SinkConfig, SinkKind, SinkLimits};
use super::postgres;
use super::raw::{RawLimits, RawSink};
use crate::types::SinkName;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;

/// One upload is one message, held in memory on both sides.
const RECORDS: std::ops::RangeInclusive<u32> = 1..=10_000;
/// As above.
const BYTES: std::ops::RangeInclusive<u64> = 1 << 10..=8 << 20;

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
    if let Some(records) = raw
        .records
        .as_ref()
        .filter(|r| !RECORDS.contains(r.get_ref()))
    {
        return Err(Fault::at(
            records.span(),
            "`records` must be from 1 to 10000",
        ));
    }
    if let Some(bytes) = raw
        .bytes
        .as_ref()
        .filter(|b| !BYTES.contains(&b.get_ref().0))
    {
        return Err(Fault::at(bytes.span(), "`bytes` must be from 1KiB to 8MiB"));
    }
    let bounds = Duration::from_millis(100)..=Duration::from_secs(600);
    if let Some(timeout) = raw
        .timeout
        .as_ref()
        .filter(|t| !bounds.contains(&t.get_ref().0))
    {
        return Err(Fault::at(
            timeout.span(),
            "`timeout` must be from 100ms to 10m",
        ));
    }
    Ok(SinkLimits {
        records: raw.records.map_or(1000, Spanned::into_inner),
        bytes: raw.bytes.map_or(1 << 20, |bytes| bytes.into_inner().0),
        timeout: raw
            .timeout
            .map_or(Duration::from_secs(10), |timeout| timeout.into_inner().0),
    })
}
