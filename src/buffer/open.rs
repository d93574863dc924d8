//! Opening a buffer: from options to running threads.

use super::committer::{Committer, Halt};
use super::dirs::{make_private_dir, sync_names};
use super::handle::Inner;
use super::journal::facts::Fact;
use super::journal::recovery::{Recovered, journal_dir, recover};
use super::journal::segment::io_at;
use super::journal::writer::Journal;
use super::keeper::Keeper;
use super::lock::DirLock;
use super::options::{HISTORY_MAX, Start, StateRule, WhenFull};
use super::shared::Shared;
use super::tables::Tables;
use super::{AppendError, Buffer, OpenError, Opened, Options};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// The smallest segment.
const SEGMENT_MIN: u64 = 64 << 10;
/// Of so many segments at least a buffer consists when it is full.
const SEGMENTS_MIN: u64 = 8;

impl Buffer {
    /// Opens (or makes) the buffer of a directory: takes the lock, checks the whole journal, brings the index up to
    /// date, counts the incarnation durably, starts the threads. Blocking; call it before or beside the runtime.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing acknowledged was changed.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let began = Instant::now();
        let options = checked(options)?;
        let lock = DirLock::take(&options.dir)?;
        let journal_dir = journal_dir(&options.dir);
        make_private_dir(&journal_dir)?;
        sync_names(&options.dir, &journal_dir)?;
        let recovered = recover(&options)?;
        let Recovered {
            tables,
            dir,
            active,
            active_bytes,
            ..
        } = recovered;
        let opened = Opened {
            records: recovered.records,
            checked_bytes: recovered.checked_bytes,
            cut_bytes: recovered.cut_bytes,
            index_rebuilt: recovered.index_rebuilt,
            took_ms: began.elapsed().as_millis() as u64,
        };
        let facts = opening_facts(&tables, &options);
        let (origin, incarnation) = (dir.origin, tables.incarnation + 1);
        let sealed = tables
            .segments
            .get(&tables.end.segment)
            .is_some_and(|segment| segment.sealed);
        let journal = Journal::resume(dir.clone(), active, active_bytes, tables.end, tables.commit);
        let shared = Arc::new(Shared::new(options, dir, tables, lock, opened));
        let mut committer = Committer::new(Arc::clone(&shared), journal);
        match committer.start(&facts, sealed) {
            Ok(true) => {}
            Ok(false) | Err(Halt::Closed) => {
                let options = &shared.options;
                return Err(OpenError::Full {
                    dir: options.dir.clone(),
                    needed_bytes: options.segment_bytes,
                });
            }
            Err(Halt::Failed(reason)) => {
                return Err(OpenError::Io {
                    path: journal_dir,
                    source: std::io::Error::other(reason),
                });
            }
        }
        let keeper = Keeper::new(Arc::clone(&shared), recovered.mark);
        start(&shared, committer, keeper).map_err(io_at(&journal_dir))?;
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                origin,
                incarnation,
            }),
        })
    }
}

/// Checks the options, and makes segments small enough for the bound.
fn checked(mut options: Options) -> Result<Options, OpenError> {
    let invalid = |what: String| Err(OpenError::Options(what));
    let least = SEGMENT_MIN * SEGMENTS_MIN;
    if options.max_bytes < least {
        return invalid(format!(
            "max_bytes is {}, at least {least} are needed",
            options.max_bytes
        ));
    }
    let largest = options.max_bytes / SEGMENTS_MIN;
    // Offsets and lengths in a segment are 32 bits wide.
    options.segment_bytes = options
        .segment_bytes
        .clamp(SEGMENT_MIN, largest.min(1 << 30))
        / 4096
        * 4096;
    for rule in &options.streams {
        let limit = &rule.limit;
        if limit.bytes == Some(0)
            || limit.count == Some(0)
            || limit.age.is_some_and(|age| age.is_zero())
        {
            return invalid(format!(
                "a limit of {:?} is 0, at least 1 is needed",
                rule.pattern
            ));
        }
        let when_full = rule.when_full.unwrap_or(options.when_full);
        if limit.age.is_some() && when_full != WhenFull::DropOldest {
            return invalid(format!(
                "an age limit of {:?} drops what is older, so it needs WhenFull::DropOldest",
                rule.pattern
            ));
        }
    }
    let states = &options.states;
    let unfit = |rule: &StateRule| {
        rule.history > HISTORY_MAX || rule.pattern.is_empty() || rule.pattern.len() > 255
    };
    if states.len() > 64 || states.iter().any(unfit) {
        return invalid(format!(
            "at most 64 state rules, each with a pattern of 1 to 255 bytes and a history of at most {HISTORY_MAX}"
        ));
    }
    for (n, sink) in options.sinks.iter().enumerate() {
        if options.sinks[..n]
            .iter()
            .any(|other| other.name == sink.name)
        {
            return invalid(format!("two sinks are named {}", sink.name));
        }
    }
    Ok(options)
}

/// What the journal must hear when the buffer is opened: the incarnation, and where new sinks begin.
fn opening_facts(tables: &Tables, options: &Options) -> Vec<Fact> {
    let mut facts = vec![Fact::Incarnation(tables.incarnation + 1)];
    if tables.histories != options.states {
        facts.push(Fact::Histories(options.states.clone()));
    }
    for sink in &options.sinks {
        for stream in tables
            .streams
            .iter()
            .filter(|stream| sink.reads(&stream.name) && !stream.cursors.contains_key(&sink.name))
        {
            let seq = match sink.start {
                Start::First => stream.first - 1,
                Start::Now => stream.last(),
            };
            facts.push(Fact::Cursor {
                sink: sink.name.clone(),
                stream: stream.name.clone(),
                seq,
            });
        }
    }
    facts
}

/// Starts the threads.
fn start(shared: &Arc<Shared>, committer: Committer, keeper: Keeper) -> std::io::Result<()> {
    // The stored index gets its first position at once, so that a crash does not cost a rebuild.
    shared.ask(|chores| chores.index_now = true);
    let of_committer = Arc::clone(shared);
    std::thread::Builder::new()
        .name("buffer-commit".to_owned())
        .spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| committer.run())).is_err() {
                of_committer.fail("the committer panicked");
                let error = AppendError::Stopped("the committer panicked".to_owned());
                of_committer
                    .queue
                    .close()
                    .into_iter()
                    .for_each(|command| command.refuse(error.clone()));
                of_committer.ask(|chores| chores.stop = true);
            }
        })?;
    let of_keeper = Arc::clone(shared);
    std::thread::Builder::new()
        .name("buffer-keep".to_owned())
        .spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| keeper.run())).is_err() {
                of_keeper.fail("the keeper panicked");
                of_keeper.closed.send_replace(true);
            }
        })?;
    Ok(())
}
