//! What an error of the database means for a request.

use super::super::outcome::Failure;
use super::options::PostgresOptions;
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
            Self::Before(error) => before(&error, options),
            Self::Commit(error) => match error.code() {
                // CockroachDB's "statement completion unknown".
                Some(code) if code.code() == "40003" => Failure::Unknown(text(&error)),
                Some(_) => Failure::NotDone(text(&error)),
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

fn before(error: &Error, options: &PostgresOptions) -> Failure {
    let said = text(error);
    let Some(code) = error.code() else {
        return Failure::NotDone(said);
    };
    if *code == SqlState::UNIQUE_VIOLATION && is_place(error, options) {
        return Failure::Fatal(format!(
            "{said}: the table holds a record above the watermark, which sidekick did not put there"
        ));
    }
    // What a trigger says that refuses a record by `RAISE EXCEPTION` without a code of its own.
    if *code == SqlState::RAISE_EXCEPTION {
        return Failure::Refused(said);
    }
    match &code.code()[..2] {
        // Values, constraints and sizes: the same request will meet the same answer.
        "22" | "23" | "54" => Failure::Refused(said),
        // Tables and columns can be mended without restarting anything, so this is tried again.
        "42" | "3D" | "3F" => Failure::NotDone(format!("{said}; {}", options.remedy())),
        _ => Failure::NotDone(said),
    }
}

/// Whether the key that is there already is that of a record's place, and not one of the user's own. The words around it are in
/// the database's language; CockroachDB puts no spaces between the names.
fn is_place(error: &Error, options: &PostgresOptions) -> bool {
    let columns = &options.columns;
    let place = format!("({},{},{})=", columns.origin, columns.stream, columns.seq);
    let detail = error
        .as_db_error()
        .and_then(tokio_postgres::error::DbError::detail);
    detail.is_none_or(|detail| detail.replace(['"', ' '], "").contains(&place))
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
