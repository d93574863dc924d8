//! What helps where the database refuses: the remedies, by SQLSTATE, that stand behind its own words.

use super::failure::text;
use super::options::PostgresOptions;
use std::error::Error as _;
use std::io;
use std::time::Duration;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// What the database said to a statement, and what helps where that is known.
pub(super) fn told(error: &Error, options: &PostgresOptions) -> String {
    let said = text(error);
    match of_statement(error, options) {
        Some(remedy) => format!("{said}; {remedy}"),
        None => said,
    }
}

fn of_statement(error: &Error, options: &PostgresOptions) -> Option<String> {
    let sink = options.sink();
    let remedy = match error.code()?.code() {
        // Rights, which no `init` can give.
        "42501" => "grant SELECT, INSERT, UPDATE and DELETE on the sink's tables to its user, and USAGE on their schema".to_owned(),
        "25006" => only_reads(options),
        "57014" => slow(options),
        "53300" => format!("raise max_connections there, or lower `connections` of sink {sink}"),
        // A check without a name of its own: a partition's.
        "23514" if is_partition(error) => {
            "make the partition that these records belong to; it goes on by itself".to_owned()
        }
        // Tables and columns can be mended without restarting anything.
        code if ["42", "3F"].contains(&&code[..2]) => options.remedy(),
        _ => return None,
    };
    Some(remedy)
}

/// Whether no partition takes a record: a fault of the tables, and not of what the record holds. A user's own check has a name.
pub(super) fn is_partition(error: &Error) -> bool {
    let said = error.as_db_error();
    said.is_some_and(|said| {
        *said.code() == SqlState::CHECK_VIOLATION && said.constraint().is_none()
    })
}

/// Why no connection came about, and what helps where that is known.
pub(super) fn no_connection(error: &Error, options: &PostgresOptions) -> String {
    let said = text(error);
    let correct = |what: &str| {
        format!(
            "{said}; {what} in {}, then restart sidekick",
            options.source()
        )
    };
    if let Some(code) = error.code() {
        return match code.code() {
            "28000" | "28P01" => correct("correct the user or the password"),
            "3D000" => format!("{said}; create it, or name another in {}", options.source()),
            _ => told(error, options),
        };
    }
    let cause = error
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>());
    if cause.is_some_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
        && said.contains("does not allow writes")
    {
        return format!("{said}; {}", only_reads(options));
    }
    if said.contains("password missing") {
        return correct("write the password");
    }
    if said.contains("does not support TLS") {
        return correct("turn TLS on there, or write sslmode=disable");
    }
    if said.contains("UnknownIssuer") {
        return format!(
            "{said}; name the CA that signed its certificate by `ca_file` of sink {}",
            options.sink()
        );
    }
    if said.contains("NotValidForName") || said.contains("not valid for name") {
        return correct("name the host as its certificate does");
    }
    said
}

/// No answer came in time.
pub(super) fn late(timeout: Duration, options: &PostgresOptions) -> String {
    let timeout = humantime::format_duration(timeout);
    let (label, remedy) = (options.label(), slow(options));
    format!("no answer from {label} within {timeout}; {remedy}")
}

fn slow(options: &PostgresOptions) -> String {
    format!(
        "where it is that slow, raise `limits.timeout` of sink {}, or lower its `limits.records` and `limits.bytes`",
        options.sink()
    )
}

fn only_reads(options: &PostgresOptions) -> String {
    format!(
        "it only takes questions, as a standby does or one with default_transaction_read_only: name the primary in {}, or several hosts, of \
         which the one that takes writes is used",
        options.source()
    )
}
