//! [`Pool`]: connections that are handed out one at a time and never come back dirty.
//!
//! The driver's own pool starts a task and asks the connection a question on each return, which doubles the price of
//! the small reads that every request makes. This one takes a connection back in the drop of [`Pooled`], if it is known
//! to be at rest. A connection that is not, because a statement failed or because its future was dropped half-way or
//! because a transaction is open, is closed, by which SQLite rolls back. Its place stays taken until then: an abandoned
//! statement still works, and still locks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portwright_domain::{ErrorKind, PortError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::port_error;

pub(crate) struct Pool {
    options: SqliteConnectOptions,
    places: Arc<Semaphore>,
    size: u32,
    wait: Duration,
    idle: Mutex<Vec<SqliteConnection>>,
}

impl Pool {
    /// At most `size` connections, which are those given and others opened when they are first needed; `wait` bounds
    /// the wait for one.
    pub(crate) fn new(
        options: SqliteConnectOptions,
        size: u32,
        wait: Duration,
        idle: Vec<SqliteConnection>,
    ) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(size as usize));
        Arc::new(Self { options, places, size, wait, idle: Mutex::new(idle) })
    }

    /// A connection at rest; `too_busy` is the kind of the error if none is free in time.
    pub(crate) async fn take(
        self: &Arc<Self>,
        operation: &'static str,
        too_busy: ErrorKind,
    ) -> Result<Pooled, PortError> {
        let place = match timeout(self.wait, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_closed)) => {
                return Err(PortError::new(ErrorKind::Unavailable, operation, "the store is closed"));
            }
            Err(_elapsed) => {
                return Err(PortError::new(too_busy, operation, "no connection was free in time"));
            }
        };
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(|error| port_error(operation, error))?,
        };
        Ok(Pooled {
            connection: Some(connection),
            place: Some(place),
            pool: Arc::clone(self),
            in_transaction: false,
            trouble: None,
        })
    }

    /// Hands out nothing more and closes every connection, as soon as it is given back; those that are not within the
    /// wait of this pool close themselves later.
    pub(crate) async fn close(&self) {
        let all_back = timeout(self.wait, self.places.acquire_many(self.size)).await;
        self.places.close();
        drop(all_back);
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            close(connection).await;
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that belongs to one view or one unit of work.
///
/// Each statement stands between [`Pooled::ask`] and [`Pooled::heard`]. Whoever is dropped in between has left the
/// connection in trouble, and nothing more is asked of it: what was abandoned half-way is not to be committed.
pub(crate) struct Pooled {
    connection: Option<SqliteConnection>,
    place: Option<OwnedSemaphorePermit>,
    pool: Arc<Pool>,
    in_transaction: bool,
    trouble: Option<ErrorKind>,
}

impl Pooled {
    /// The connection, for one statement.
    pub(crate) fn ask(&mut self, operation: &'static str) -> Result<&mut SqliteConnection, PortError> {
        let abandoned = ErrorKind::Unavailable;
        match (self.trouble.replace(abandoned), &mut self.connection) {
            (None, Some(connection)) => Ok(connection),
            (trouble, _) => {
                let kind = trouble.unwrap_or(abandoned);
                self.trouble = Some(kind);
                Err(PortError::new(kind, operation, "an earlier statement failed or was abandoned"))
            }
        }
    }

    /// The answer of that statement. A broken rule leaves the connection usable, any other error does not.
    pub(crate) fn heard<T>(
        &mut self,
        operation: &'static str,
        answer: Result<T, sqlx::Error>,
    ) -> Result<T, PortError> {
        let answer = answer.map_err(|error| port_error(operation, error));
        self.trouble = match &answer {
            Err(error) if error.kind() != ErrorKind::Conflict => Some(error.kind()),
            _ => None,
        };
        answer
    }

    /// Runs `statement`, which begins a transaction.
    pub(crate) async fn begin(&mut self, statement: &'static str) -> Result<(), PortError> {
        self.command("store.begin", statement).await?;
        self.in_transaction = true;
        Ok(())
    }

    /// Commits the transaction. After an error the drop rolls back.
    pub(crate) async fn commit(&mut self) -> Result<(), PortError> {
        self.command("store.commit", "COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Rolls the transaction back, by closing the connection if nothing else may be asked of it.
    pub(crate) async fn rollback(mut self) -> Result<(), PortError> {
        if self.trouble.is_none() {
            self.command("store.rollback", "ROLLBACK").await?;
            self.in_transaction = false;
        } else if let Some(connection) = self.connection.take() {
            close(connection).await;
        }
        Ok(())
    }

    async fn command(&mut self, operation: &'static str, sql: &'static str) -> Result<(), PortError> {
        let answer = sqlx::query(sql).execute(self.ask(operation)?).await;
        self.heard(operation, answer).map(drop)
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if !self.in_transaction && self.trouble.is_none() && !self.pool.places.is_closed() {
            // The place is given back after this, with the other fields.
            self.pool.idle().push(connection);
        } else if let Ok(runtime) = Handle::try_current() {
            let place = self.place.take();
            // Nobody awaits this task: when its runtime ends, the connection closes by being dropped.
            runtime.spawn(async move {
                close(connection).await;
                drop(place);
            });
        }
    }
}

/// Waits until the file is closed and with it any transaction is rolled back.
async fn close(connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "a database connection did not close cleanly");
    }
}
