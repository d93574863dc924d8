//! `[buffer]` and `[[stream]]`: where data stands and how much of it.

use super::build::Context;
use super::error::Fault;
use super::model::{BufferConfig, Keep, StreamLimit, StreamRule, WhenFull};
use super::raw::{RawBuffer, RawKeep, RawStream};
use super::values::show_size;
use toml::Spanned;

/// Kept free for state when streams fill the buffer.
const RESERVE_BYTES: u64 = 64 << 20;
const MAX_BYTES: u64 = 4 << 30;
const SEGMENT_BYTES: u64 = 16 << 20;
const SEGMENT_MIN: u64 = 1 << 20;
const SEGMENT_MAX: u64 = 1 << 30;

pub(super) fn build(
    raw: RawBuffer,
    streams: Vec<Spanned<RawStream>>,
    context: &Context<'_>,
) -> Result<BufferConfig, Fault> {
    let segment_bytes = match &raw.segment_bytes {
        None => SEGMENT_BYTES,
        Some(size) if (SEGMENT_MIN..=SEGMENT_MAX).contains(&size.get_ref().0) => size.get_ref().0,
        Some(size) => {
            return Err(Fault::at(
                size.span(),
                "segment_bytes must be from 1MiB to 1GiB",
            ));
        }
    };
    let max_bytes = raw
        .max_bytes
        .as_ref()
        .map_or(MAX_BYTES, |size| size.get_ref().0);
    let least = RESERVE_BYTES + 4 * segment_bytes;
    if max_bytes < least {
        let message = format!(
            "max_bytes {} is too small: 64MiB stay reserved for state, and 4 segments of {} have to fit; give at least {}",
            show_size(max_bytes),
            show_size(segment_bytes),
            show_size(least)
        );
        let span = raw.max_bytes.or(raw.segment_bytes).map(|size| size.span());
        return Err(Fault { span, message });
    }
    Ok(BufferConfig {
        dir: context.path(context.overrides.buffer_dir.as_ref(), raw.dir, "var/buffer")?,
        max_bytes,
        when_full: raw.when_full,
        segment_bytes,
        streams: rules(streams, raw.when_full)?,
    })
}

fn rules(raw: Vec<Spanned<RawStream>>, of_buffer: WhenFull) -> Result<Vec<StreamRule>, Fault> {
    let mut rules: Vec<StreamRule> = Vec::new();
    for rule in raw.into_iter().map(Spanned::into_inner) {
        let (span, pattern) = (rule.pattern.span(), rule.pattern.get_ref());
        check_pattern(&rule.pattern)?;
        if let Some(earlier) = rules
            .iter()
            .find(|earlier| earlier.pattern == "*" || earlier.pattern == *pattern)
        {
            return Err(Fault::at(
                span,
                format!(
                    "the [[stream]] rule {pattern:?} never holds, because {:?} stands before it and the first that fits counts; \
                     remove one or swap them",
                    earlier.pattern
                ),
            ));
        }
        let when_full = rule.when_full.unwrap_or(of_buffer);
        rules.push(StreamRule {
            pattern: rule.pattern.into_inner(),
            limit: rule
                .limit
                .map_or(Ok(StreamLimit::default()), |raw| limit(raw, when_full))?,
            keep: Keep {
                bytes: rule.keep.bytes.map(|size| size.0),
                age: rule.keep.age.map(|span| span.0),
                count: rule.keep.count,
            },
            when_full: rule.when_full,
        });
    }
    Ok(rules)
}

fn limit(raw: Spanned<RawKeep>, when_full: WhenFull) -> Result<StreamLimit, Fault> {
    let (span, raw) = (raw.span(), raw.into_inner());
    let limit = StreamLimit {
        bytes: raw.bytes.map(|size| size.0),
        age: raw.age.map(|span| span.0),
        count: raw.count,
    };
    if limit.bytes == Some(0)
        || limit.count == Some(0)
        || limit.age.is_some_and(|age| age.is_zero())
    {
        let message = "a limit of 0 lets nothing in; give more, or leave it out for no limit";
        return Err(Fault::at(span, message));
    }
    if limit.age.is_some() && when_full != WhenFull::DropOldest {
        let message = "limit.age drops records that are older, so it needs when_full = \"drop_oldest\" in the same [[stream]]; \
                       add that, or limit bytes or count";
        return Err(Fault::at(span, message));
    }
    Ok(limit)
}

/// A stream pattern has the length of a stream name.
pub(super) fn check_pattern(pattern: &Spanned<String>) -> Result<(), Fault> {
    match pattern.get_ref().len() {
        1..=255 => Ok(()),
        length => Err(Fault::at(
            pattern.span(),
            format!(
                "a stream pattern is 1 to 255 bytes long, this one has {length}; \"*\" fits every stream"
            ),
        )),
    }
}
