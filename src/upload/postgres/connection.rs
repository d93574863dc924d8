//! One connection, with everything prepared on it.

use super::failure::{Trouble, text};
use super::options::PostgresOptions;
use super::remedy::no_connection;
use super::statements::Statements;
use super::tls::Connector;
use std::time::Duration;
use tokio_postgres::{Client, Statement};
use tokio_util::task::AbortOnDropHandle;

/// Statements as the database prepared them.
pub(super) struct Prepared {
    pub(super) store: Statement,
    pub(super) watermark: Statement,
    pub(super) lock_watermark: Statement,
    pub(super) new_watermark: Statement,
    pub(super) records: Statement,
    pub(super) move_watermark: Statement,
    pub(super) lock_scope: Statement,
    pub(super) new_scope: Statement,
    pub(super) scope: Statement,
    pub(super) delete_state: Statement,
    pub(super) clear_state: Statement,
    pub(super) put_state: Statement,
    pub(super) move_scope: Statement,
}

/// An open connection.
pub(super) struct Connection {
    line: Line,
    prepared: Prepared,
}

/// A client, and the task that serves its connection. Both end together: left alone, the task would wait for what the database
/// still owes, and one that has gone quiet never pays.
pub(super) struct Line {
    pub(super) client: Client,
    /// Whether the database is CockroachDB.
    pub(super) cockroach: bool,
    _task: AbortOnDropHandle<()>,
}

impl Connection {
    /// Connects and prepares. `timeout` is that of a request: what a lost one has locked must not be locked for longer.
    pub(super) async fn open(
        options: &PostgresOptions,
        timeout: Duration,
    ) -> Result<Self, Trouble> {
        let line = connect(options, options.connect_timeout(timeout)).await?;
        let client = &line.client;
        // A little less, so that the database says itself what it waited for.
        let ms = (timeout * 9 / 10).as_millis();
        client
            .batch_execute(&format!(
                "SET statement_timeout = {ms}; SET idle_in_transaction_session_timeout = {ms}"
            ))
            .await?;
        let prepared = Prepared::new(client, &Statements::new(options)).await?;
        Ok(Self { line, prepared })
    }

    /// Whether the database is CockroachDB.
    pub(super) fn is_cockroach(&self) -> bool {
        self.line.cockroach
    }

    pub(super) fn is_open(&self) -> bool {
        !self.line.client.is_closed()
    }

    pub(super) fn parts(&mut self) -> (&mut Client, &Prepared) {
        (&mut self.line.client, &self.prepared)
    }
}

/// Connects. Each address is waited for that long.
pub(super) async fn connect(options: &PostgresOptions, timeout: Duration) -> Result<Line, Trouble> {
    let connector = Connector::new(options).map_err(Trouble::Connect)?;
    let mut database = options.database().clone();
    database.connect_timeout(timeout);
    let connected = database.connect(connector).await;
    let (client, connection) =
        connected.map_err(|error| Trouble::Connect(no_connection(&error, options)))?;
    let cockroach = connection.parameter("crdb_version").is_some();
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = text(&error), "a connection to the database ended");
        }
    });
    Ok(Line {
        client,
        cockroach,
        _task: AbortOnDropHandle::new(task),
    })
}

impl Prepared {
    async fn new(client: &Client, sql: &Statements) -> Result<Self, Trouble> {
        let (store, watermark, lock_watermark, new_watermark, records, move_watermark) = tokio::try_join!(
            client.prepare(&sql.store),
            client.prepare(&sql.watermark),
            client.prepare(&sql.lock_watermark),
            client.prepare(&sql.new_watermark),
            client.prepare(&sql.records),
            client.prepare(&sql.move_watermark),
        )?;
        let (lock_scope, new_scope, scope, delete_state, clear_state, put_state, move_scope) = tokio::try_join!(
            client.prepare(&sql.lock_scope),
            client.prepare(&sql.new_scope),
            client.prepare(&sql.scope),
            client.prepare(&sql.delete_state),
            client.prepare(&sql.clear_state),
            client.prepare(&sql.put_state),
            client.prepare(&sql.move_scope),
        )?;
        Ok(Self {
            store,
            watermark,
            lock_watermark,
            new_watermark,
            records,
            move_watermark,
            lock_scope,
            new_scope,
            scope,
            delete_state,
            clear_state,
            put_state,
            move_scope,
        })
    }
}
