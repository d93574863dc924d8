//! Every statement of an upload, tried with nothing to store and undone: what is missing of rights, keys or columns that can be
//! written is found when the tables are checked, and not with the first record.

use super::connection::Line;
use super::failure::text;
use super::options::PostgresOptions;
use super::records::Parameter;
use super::remedy;
use super::schema::InitError;
use super::statements::Statements;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Transaction};
use uuid::Uuid;

/// Tries all of them.
pub(super) async fn run(line: &mut Line, options: &PostgresOptions) -> Result<(), InitError> {
    let failed = |error: Error| InitError::Database(remedy::told(&error, options));
    let transaction = line.client.transaction().await.map_err(failed)?;
    let sql = Statements::new(options);
    let tables = &options.tables;
    let (origin, name, node, zero) = (Uuid::nil(), "", "", 0_i64);
    let numbers: Vec<i64> = Vec::new();
    let (texts, bytes): (Vec<String>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    let payloads: Parameter<'_> = match options.payload {
        super::options::PayloadForm::Jsonb => &texts,
        super::options::PayloadForm::Bytea => &bytes,
    };
    let of: [Parameter<'_>; 2] = [&origin, &name];
    let rows: [Parameter<'_>; 6] = [&origin, &name, &node, &numbers, &numbers, payloads];
    let moved: [Parameter<'_>; 4] = [&origin, &name, &zero, &zero];
    let put: [Parameter<'_>; 5] = [&origin, &name, &zero, &texts, payloads];
    let gone: [Parameter<'_>; 3] = [&origin, &name, &texts];
    let steps: [(&str, &str, &[Parameter<'_>]); 13] = [
        (&tables.store, &sql.store, &[]),
        (&tables.watermarks, &sql.watermark, &of),
        (&tables.watermarks, &sql.new_watermark, &of),
        (&tables.watermarks, &sql.lock_watermark, &of),
        (&tables.records, &sql.records, &rows),
        (&tables.watermarks, &sql.move_watermark, &moved),
        (&tables.scopes, &sql.new_scope, &of),
        (&tables.scopes, &sql.lock_scope, &of),
        (&tables.scopes, &sql.scope, &of),
        (&tables.state, &sql.delete_state, &gone),
        (&tables.state, &sql.clear_state, &of),
        (&tables.state, &sql.put_state, &put),
        (&tables.scopes, &sql.move_scope, &moved),
    ];
    for (table, statement, parameters) in steps {
        step(&transaction, options, table, statement, parameters).await?;
    }
    transaction.rollback().await.map_err(failed)
}

async fn step(
    transaction: &Transaction<'_>,
    options: &PostgresOptions,
    table: &str,
    statement: &str,
    parameters: &[Parameter<'_>],
) -> Result<(), InitError> {
    let done = transaction.execute(statement, parameters).await;
    let Err(error) = done else { return Ok(()) };
    let unfit = |what| InitError::Unfit {
        table: table.to_owned(),
        what,
    };
    Err(match error.code() {
        Some(code) if *code == SqlState::INVALID_COLUMN_REFERENCE => unfit(
            "it has no unique key on what tells its rows apart, as `--sql` shows it".to_owned(),
        ),
        Some(code)
            if code.code().starts_with("42") && *code != SqlState::INSUFFICIENT_PRIVILEGE =>
        {
            unfit(format!("it cannot be written: {}", text(&error)))
        }
        _ => InitError::Database(remedy::told(&error, options)),
    })
}
