//! What an error of the database means for a request.

use super::super::outcome::Failure;
use super::options::PostgresOptions;
use super::remedy::{is_partition, told};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Near the largest message that CockroachDB takes where its setting `sql.conn.max_read_buffer_message_size` (16 MiB) was left
/// alone.
const LARGE_BYTES: usize = 15 << 20;

/// Why a transaction did not end well.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Before the commit was sent: nothing was done, as what is not committed is undone.
    Before(Error),
    /// After it was sent: without a word from the database it may be done.
    Commit(Error),
    /// No connection.
    Connect(String),
    /// Nothing was done, and why.
    NotDone(String),
    /// The tables are not as they have to be.
    Schema(String),
    /// A payload that cannot be sent.
    Payload(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Before(error)
    }
}

impl Trouble {
    /// Of a statement with so many bytes of values. CockroachDB ends a connection on which it meets too large a message, without a
    /// word: tried again it would do the same for ever.
    pub(super) fn sending(error: Error, bytes: usize, cockroach: bool) -> Self {
        let dumb = error
            .code()
            .is_none_or(|code| *code == SqlState::PROTOCOL_VIOLATION);
        if !cockroach || !dumb || bytes < LARGE_BYTES {
            return Self::Before(error);
        }
        Self::Payload(format!(
            "{}; this is one message of {bytes} bytes, and CockroachDB takes no larger ones than sql.conn.max_read_buffer_message_size",
            text(&error)
        ))
    }

    pub(super) fn failure(self, options: &PostgresOptions) -> Failure {
        match self {
            Self::Before(error) => refused(&error, options),
            Self::Commit(error) => match error.code() {
                // CockroachDB's "statement completion unknown".
                Some(code) if code.code() == "40003" => Failure::Unknown(text(&error)),
                // Deferred constraints and triggers judge what the records hold only here.
                Some(_) => refused(&error, options),
                None => {
                    Failure::Unknown(format!("the answer to a commit was lost: {}", text(&error)))
                }
            },
            Self::Connect(why) => {
                Failure::NotDone(format!("cannot connect to {}: {why}", options.label()))
            }
            Self::Schema(why) => Failure::NotDone(format!("{why}; {}", options.remedy())),
            Self::NotDone(why) => Failure::NotDone(why),
            Self::Payload(why) => Failure::Refused(why),
        }
    }
}

/// Nothing was done, as the database says.
fn refused(error: &Error, options: &PostgresOptions) -> Failure {
    let said = told(error, options);
    let Some(code) = error.code() else {
        return Failure::NotDone(said);
    };
    if *code == SqlState::UNIQUE_VIOLATION && is_place(error, options) {
        return Failure::Fatal(format!(
            "{said}: table {} holds a record above the watermark. Another put it there, or the watermark was set back: set seq in table {} to \
             the highest number that is stored, then  sidekick ctl sink retry {}",
            options.tables.records,
            options.tables.watermarks,
            options.sink()
        ));
    }
    // What a trigger says that refuses a record by `RAISE EXCEPTION` without a code of its own.
    if *code == SqlState::RAISE_EXCEPTION {
        return Failure::Refused(said);
    }
    // It took too long, like what gets no answer at all: smaller uploads may not.
    if *code == SqlState::QUERY_CANCELED {
        return Failure::Late(said);
    }
    match &code.code()[..2] {
        // Values, constraints and sizes: the same request will meet the same answer.
        "22" | "23" | "54" if !is_partition(error) => Failure::Refused(said),
        _ => Failure::NotDone(said),
    }
}

/// Whether the key that is there already is that of a record's place, and not one of the user's own. The words around it are in
/// the database's language; CockroachDB puts no spaces between the names.
fn is_place(error: &Error, options: &PostgresOptions) -> bool {
    let columns = &options.columns;
    let place = [&columns.origin, &columns.stream, &columns.seq];
    let detail = error
        .as_db_error()
        .and_then(tokio_postgres::error::DbError::detail);
    let named = detail.map(|detail| detail.replace(['"', ' '], ""));
    let Some(named) = named.as_deref().and_then(columns_of) else {
        return true;
    };
    // In whichever order the table has them.
    let mut named: Vec<&str> = named.split(',').collect();
    named.sort_unstable();
    let mut place = place.map(String::as_str);
    place.sort_unstable();
    named == place
}

/// `a,b` of `Key(a,b)=(1,2)alreadyexists.`
fn columns_of(detail: &str) -> Option<&str> {
    let (before, _) = detail.split_once(")=(")?;
    before.split_once('(').map(|(_, columns)| columns)
}

/// An error with its causes. The database's own words, without its detail, which may quote data.
pub(super) fn text(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", said.message(), said.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
