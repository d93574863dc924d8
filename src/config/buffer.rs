//! `[buffer]`, `[[stream]]` and `[[state]]`: where data stands and how much of it.

use super::build::Context;
use super::error::Fault;
use super::model::{BufferConfig, Keep, StateRule, StreamLimit, StreamRule, WhenFull};
use super::raw::{RawBuffer, RawKeep, RawState, RawStream};
use super::values::show_size;
use toml::Spanned;

/// Kept free for state when streams fill the buffer.
const RESERVE_BYTES: u64 = 64 << 20;
const MAX_BYTES: u64 = 4 << 30;
const SEGMENT_BYTES: u64 = 16 << 20;
const SEGMENT_MIN: u64 = 1 << 20;
const SEGMENT_MAX: u64 = 1 << 30;
/// Earlier values of a key, and rules that say how many, are bounded by what the buffer takes.
const HISTORY_MAX: u32 = 64;
const RULES_MAX: usize = 64;

pub(super) fn build(
    raw: RawBuffer,
    streams: Vec<Spanned<RawStream>>,
    states: Vec<Spanned<RawState>>,
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
        states: histories(states)?,
    })
}

fn rules(raw: Vec<Spanned<RawStream>>, of_buffer: WhenFull) -> Result<Vec<StreamRule>, Fault> {
    let mut rules: Vec<StreamRule> = Vec::new();
    for rule in raw.into_iter().map(Spanned::into_inner) {
        let earlier = rules.iter().map(|earlier| earlier.pattern.as_str());
        check_reached("stream", &rule.pattern, earlier)?;
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

fn histories(raw: Vec<Spanned<RawState>>) -> Result<Vec<StateRule>, Fault> {
    let mut rules: Vec<StateRule> = Vec::new();
    for rule in raw.into_iter().map(Spanned::into_inner) {
        let earlier = rules.iter().map(|earlier| earlier.pattern.as_str());
        check_reached("state", &rule.pattern, earlier)?;
        let history = *rule.history.get_ref();
        if history > HISTORY_MAX {
            let message = format!(
                "a history of {history} is too long: at most {HISTORY_MAX} earlier values of each key are kept; \
                 record what must stay longer to a stream"
            );
            return Err(Fault::at(rule.history.span(), message));
        }
        if rules.len() == RULES_MAX {
            let message = format!("more than {RULES_MAX} [[state]] rules; join some by patterns");
            return Err(Fault::at(rule.pattern.span(), message));
        }
        rules.push(StateRule {
            pattern: rule.pattern.into_inner(),
            history,
        });
    }
    Ok(rules)
}

/// A rule whose pattern has a proper length and is not hidden by an earlier one.
fn check_reached<'a>(
    kind: &str,
    rule: &Spanned<String>,
    mut earlier: impl Iterator<Item = &'a str>,
) -> Result<(), Fault> {
    check_pattern(rule)?;
    let pattern = rule.get_ref();
    let hiding = earlier.find(|earlier| *earlier == "*" || earlier == pattern);
    hiding.map_or(Ok(()), |hiding| {
        Err(Fault::at(
            rule.span(),
            format!(
                "the [[{kind}]] rule {pattern:?} never holds, because {hiding:?} stands before it and the first that fits counts; \
                 remove one or swap them"
            ),
        ))
    })
}

/// A pattern has the length of a name.
pub(super) fn check_pattern(pattern: &Spanned<String>) -> Result<(), Fault> {
    match pattern.get_ref().len() {
        1..=255 => Ok(()),
        length => Err(Fault::at(
            pattern.span(),
            format!(
                "a pattern is 1 to 255 bytes long, this one has {length}; \"*\" fits every name"
            ),
        )),
    }
}
