//! Makes the tables where they are missing, and checks those that are there.

use super::connection::connect;
use super::failure::{Trouble, text};
use super::options::{PayloadForm, PostgresOptions};
use super::statements::{identity, quoted, schema};
use std::time::Duration;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why the tables of a sink could not be made or are of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// No such sink runs.
    #[error("no sink of that name runs; `sidekick ctl sink list` lists the sinks")]
    UnknownSink,
    /// It has no tables.
    #[error(
        "this sink is of kind \"beam\", whose store makes itself; only sinks of kind \"postgres\" have tables"
    )]
    NoTables,
    /// The database did not do it.
    #[error("{0}")]
    Database(String),
    /// A table is there, but not as it has to be.
    #[error(
        "table {table} exists, but {what}; change it, or name another in [sink.tables] or [sink.columns]"
    )]
    Unfit {
        /// The table.
        table: String,
        /// What is wrong with it.
        what: String,
    },
}

/// What was done to a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initialized {
    /// Each table, and whether it was made now.
    pub tables: Vec<(String, bool)>,
    /// The identity of the store.
    pub store: String,
}

/// All statements that make a sink's tables, as text.
pub(super) fn sql(options: &PostgresOptions) -> String {
    let tables = schema(options).into_iter().map(|(_, sql)| sql);
    let all = tables.chain([identity(options, "gen_random_uuid()")]);
    all.fold(String::new(), |text, sql| text + &sql + ";\n")
}

/// Makes what is missing and checks the rest. Doing so again changes nothing.
pub(super) async fn init(options: &PostgresOptions) -> Result<Initialized, InitError> {
    let work = async {
        let (client, _) = connect(options)
            .await
            .map_err(|trouble| told(trouble, options))?;
        let mut tables = Vec::new();
        for (name, sql) in schema(options) {
            let made = !exists(&client, &name).await?;
            if made {
                client.batch_execute(&sql).await.map_err(failed)?;
            }
            tables.push((name, made));
        }
        check(&client, options).await?;
        let fresh = format!("'{}'", Uuid::new_v4());
        client
            .batch_execute(&identity(options, &fresh))
            .await
            .map_err(failed)?;
        let found = format!("SELECT id FROM {}", quoted(&options.tables.store));
        let row = client.query_one(&found, &[]).await.map_err(failed)?;
        let store: Uuid = row.try_get(0).map_err(failed)?;
        let store = store.to_string();
        Ok(Initialized { tables, store })
    };
    let late = || InitError::Database(format!("{} took too long", options.label()));
    tokio::time::timeout(TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(late()))
}

fn told(trouble: Trouble, options: &PostgresOptions) -> InitError {
    let failure = trouble.failure(options);
    InitError::Database(failure.to_string())
}

// By value, for `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn failed(error: tokio_postgres::Error) -> InitError {
    InitError::Database(text(&error))
}

/// Nothing is read; only the name is looked up.
async fn exists(client: &Client, table: &str) -> Result<bool, InitError> {
    let found = client
        .prepare(&format!("SELECT 1 FROM {}", quoted(table)))
        .await;
    match found {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// Each table has the columns that it has to have, of the right types.
async fn check(client: &Client, options: &PostgresOptions) -> Result<(), InitError> {
    let tables = &options.tables;
    let payload = match options.payload {
        PayloadForm::Jsonb => "jsonb",
        PayloadForm::Bytea => "bytea",
    };
    let types = ["uuid", "text", "int8", "int8", "text", payload];
    let names = options.columns.each().map(|(_, name)| name);
    let records: Vec<_> = names.into_iter().zip(types).collect();
    let wanted: [(&str, &[(&str, &str)]); 5] = [
        (&tables.store, &[("id", "uuid")]),
        (
            &tables.watermarks,
            &[("origin", "uuid"), ("stream", "text"), ("seq", "int8")],
        ),
        (&tables.records, &records),
        (
            &tables.scopes,
            &[
                ("origin", "uuid"),
                ("scope", "text"),
                ("epoch", "int8"),
                ("rev", "int8"),
            ],
        ),
        (
            &tables.state,
            &[
                ("origin", "uuid"),
                ("scope", "text"),
                ("key", "text"),
                ("rev", "int8"),
                ("value", payload),
            ],
        ),
    ];
    for (table, columns) in wanted {
        for (column, kind) in columns {
            check_column(client, table, column, kind).await?;
        }
    }
    Ok(())
}

async fn check_column(
    client: &Client,
    table: &str,
    column: &str,
    kind: &str,
) -> Result<(), InitError> {
    let unfit = |what| InitError::Unfit {
        table: table.to_owned(),
        what,
    };
    let sql = format!("SELECT \"{column}\" FROM {}", quoted(table));
    let statement = client.prepare(&sql).await.map_err(|error| {
        if error.code() == Some(&SqlState::UNDEFINED_COLUMN) {
            unfit(format!("it has no column {column} of type {kind}"))
        } else {
            failed(error)
        }
    })?;
    let found = statement
        .columns()
        .first()
        .map_or("nothing", |column| column.type_().name());
    if found == kind || (kind == "text" && found == "varchar") {
        return Ok(());
    }
    Err(unfit(format!(
        "its column {column} is of type {found}, not {kind}"
    )))
}
