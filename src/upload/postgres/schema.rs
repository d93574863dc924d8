//! Makes the tables where they are missing, and checks those that are there.

use super::connection::connect;
use super::failure::Trouble;
use super::options::{PayloadForm, PostgresOptions};
use super::remedy;
use super::statements::{identity, quoted, schema};
use super::trial;
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
        let mut line = connect(options, options.connect_timeout(TIMEOUT))
            .await
            .map_err(|trouble| told(trouble, options))?;
        let client = &line.client;
        let mut tables = Vec::new();
        for (name, sql) in schema(options) {
            let made = !exists(client, options, &name).await?;
            if made {
                let done = client.batch_execute(&sql).await;
                done.map_err(|error| not_made(&error, &name, options))?;
            }
            tables.push((name, made));
        }
        check(client, options).await?;
        let store = name_store(client, options).await?;
        trial::run(&mut line, options).await?;
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

fn failed(options: &PostgresOptions) -> impl Fn(tokio_postgres::Error) -> InitError {
    |error| InitError::Database(remedy::told(&error, options))
}

fn not_made(error: &tokio_postgres::Error, table: &str, options: &PostgresOptions) -> InitError {
    let said = super::failure::text(error);
    let remedy = match error.code().map(SqlState::code) {
        Some("42501") => format!(
            "let somebody who may make tables run what  sidekick ctl sink init {} --sql  prints",
            options.sink()
        ),
        Some("3F000") => "make the schema first, or name another in [sink.tables]".to_owned(),
        _ => return InitError::Database(remedy::told(error, options)),
    };
    InitError::Database(format!("table {table} cannot be made: {said}; {remedy}"))
}

/// The identity of the store, which it is given where it has none.
async fn name_store(client: &Client, options: &PostgresOptions) -> Result<String, InitError> {
    let found = format!("SELECT id FROM {}", quoted(&options.tables.store));
    if client
        .query_opt(&found, &[])
        .await
        .map_err(failed(options))?
        .is_none()
    {
        let fresh = format!("'{}'", Uuid::new_v4());
        let named = client.batch_execute(&identity(options, &fresh)).await;
        named.map_err(failed(options))?;
    }
    let row = client.query_one(&found, &[]).await;
    let id = row.and_then(|row| row.try_get::<_, Uuid>(0));
    Ok(id.map_err(failed(options))?.to_string())
}

/// Nothing is read; only the name is looked up.
async fn exists(
    client: &Client,
    options: &PostgresOptions,
    table: &str,
) -> Result<bool, InitError> {
    let found = client
        .prepare(&format!("SELECT 1 FROM {}", quoted(table)))
        .await;
    match found {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(false),
        Err(error) => Err(failed(options)(error)),
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
            check_column(client, options, table, column, kind).await?;
        }
        check_others(client, options, table, columns).await?;
    }
    Ok(())
}

async fn check_column(
    client: &Client,
    options: &PostgresOptions,
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
            failed(options)(error)
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

/// Columns of a user's own get what they have for a default, so they have to have one.
async fn check_others(
    client: &Client,
    options: &PostgresOptions,
    table: &str,
    ours: &[(&str, &str)],
) -> Result<(), InitError> {
    let sql = "SELECT attname::text FROM pg_catalog.pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped \
               AND attnotnull AND NOT atthasdef AND attidentity = ''";
    let rows = client.query(sql, &[&quoted(table)]).await;
    for row in rows.map_err(failed(options))? {
        let column: String = row.try_get(0).map_err(failed(options))?;
        if !ours.iter().any(|(name, _)| *name == column) {
            return Err(InitError::Unfit {
                table: table.to_owned(),
                what: format!(
                    "its column {column} may not be null and has no default, and sidekick does not fill it"
                ),
            });
        }
    }
    Ok(())
}
