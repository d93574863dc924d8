//! The connections of a database: each request takes one, and gives it back where all went well.

use super::Database;
use super::connection::Connection;
use super::failure::Trouble;
use super::remedy;
use crate::upload::outcome::Failure;
use std::sync::PoisonError;

impl Database {
    /// Does some work on a connection, which is kept where all went well.
    pub(super) async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, Trouble>,
    ) -> Result<T, Failure> {
        let work = async {
            let mut connection = self.connection().await?;
            let done = work(&mut connection).await?;
            self.idle().push(connection);
            Ok(done)
        };
        match tokio::time::timeout(self.timeout, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(trouble)) => Err(self.told(trouble)),
            Err(_) => Err(Failure::Late(remedy::late(self.timeout, &self.options))),
        }
    }

    async fn connection(&self) -> Result<Connection, Trouble> {
        loop {
            let kept = self.idle().pop();
            match kept {
                Some(connection) if connection.is_open() => return Ok(connection),
                Some(_) => {}
                None => return Connection::open(&self.options, self.timeout).await,
            }
        }
    }

    fn told(&self, trouble: Trouble) -> Failure {
        // What one connection met, such as the end of the server, the others will meet as well.
        self.idle().clear();
        trouble.failure(&self.options)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
