//! [`SqliteExport`]: everything that a store keeps, page by page, for whoever carries it elsewhere.
//!
//! The file is opened for reading alone, so it stays as it is to the last byte. The twin of this module in the adapter of
//! PostgreSQL reads back what was carried there.

use std::path::{Path, PathBuf};

use portwright_domain::idempotency::{IdempotencyKey, IdempotencyRecord};
use portwright_domain::job::NewJob;
use portwright_domain::session::{Session, SessionId};
use portwright_domain::user::{User, UserId};
use portwright_domain::{ErrorKind, PortError, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

pub use crate::job_queue::export::{QueueExport, QueuedJob};

use crate::error::port_error;
use crate::users::{user_at, user_columns};
use crate::{idempotency, migrate, open, outbox, sessions};

const OPERATION: &str = "store.export";

/// Reads a store's file. Each page has up to `limit` rows behind the row `after`, in the order of their keys.
pub struct SqliteExport {
    connection: SqliteConnection,
    path: PathBuf,
    since: Timestamp,
}

impl SqliteExport {
    /// Opens the file.
    ///
    /// # Errors
    /// `Misconfigured` if it is missing, another program's, or not of this version; `Corrupt` if it is no database.
    pub async fn open(path: &Path) -> Result<Self, PortError> {
        let here = |error| open::at_path(path, error);
        let refused =
            |detail: &'static str| here(PortError::new(ErrorKind::Misconfigured, OPERATION, detail));
        if !path.is_file() {
            return Err(refused("there is no such file"));
        }
        let connected = open::spectator(path).connect().await;
        let mut connection = connected.map_err(|error| here(port_error(OPERATION, error)))?;
        let status = migrate::status_of(&mut connection, &migrate::MIGRATIONS).await.map_err(here)?;
        let Some((_, since)) = status.applied.first().copied() else {
            return Err(refused("the database is empty"));
        };
        if !status.pending.is_empty() {
            return Err(refused("the database is of an older version: migrate it first"));
        }
        Ok(Self { connection, path: path.to_owned(), since })
    }

    /// When its first migration was applied: tells this database from every other.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// Users, by their ids.
    pub async fn users(&mut self, after: Option<&UserId>, limit: u32) -> Result<Vec<User>, PortError> {
        const SQL: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id > ? ORDER BY id LIMIT ?");
        let question = sqlx::query(SQL).bind(key(after.map(|id| &id.0))).bind(limit);
        let found = question.fetch_all(&mut self.connection).await;
        self.read(found, |row| user_at(row, 0))
    }

    /// Sessions, by their ids.
    pub async fn sessions(
        &mut self,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<Session>, PortError> {
        const SQL: &str = "SELECT id, user_id, generation, created_at, expires_at FROM sessions WHERE id > ? \
             ORDER BY id LIMIT ?";
        let question = sqlx::query(SQL).bind(key(after.map(|id| &id.0))).bind(limit);
        let found = question.fetch_all(&mut self.connection).await;
        self.read(found, sessions::session)
    }

    /// Idempotency keys, by scope and key.
    pub async fn idempotency(
        &mut self,
        after: Option<&IdempotencyKey>,
        limit: u32,
    ) -> Result<Vec<IdempotencyRecord>, PortError> {
        const SQL: &str = "SELECT fingerprint, progress, status, headers, body, expires_at, begun_at, scope, key \
             FROM idempotency_keys WHERE (scope, key) > (?, ?) ORDER BY scope, key LIMIT ?";
        let (scope, key) = after.map_or(("", ""), |after| (&after.scope, &after.key));
        let found = sqlx::query(SQL).bind(scope).bind(key).bind(limit).fetch_all(&mut self.connection).await;
        self.read(found, |row| {
            let key = IdempotencyKey { scope: row.try_get(7)?, key: row.try_get(8)? };
            idempotency::record(row, key)
        })
    }

    /// Jobs on their way to the queue, each with its number, oldest first.
    pub async fn outbox(&mut self, after: Option<&i64>, limit: u32) -> Result<Vec<(i64, NewJob)>, PortError> {
        const SQL: &str = "SELECT id, task, version, queue, priority, payload, max_attempts, backoff, backoff_cap, \
             timeout, scheduled_for, unique_key, created_by, trace, sequence FROM outbox WHERE sequence > ? \
             ORDER BY sequence LIMIT ?";
        let question = sqlx::query(SQL).bind(after.copied().unwrap_or(i64::MIN)).bind(limit);
        let found = question.fetch_all(&mut self.connection).await;
        self.read(found, |row| Ok((row.try_get(14)?, outbox::job(row)?)))
    }

    /// Ends the reading.
    pub async fn close(self) {
        // It only read.
        let _ = self.connection.close().await;
    }

    fn read<T>(
        &self,
        found: Result<Vec<SqliteRow>, sqlx::Error>,
        row: impl Fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, PortError> {
        let read = found.and_then(|rows| rows.iter().map(row).collect());
        read.map_err(|error| open::at_path(&self.path, port_error(OPERATION, error)))
    }
}

/// The bytes that an id must be behind; any is behind none.
fn key(id: Option<&uuid::Uuid>) -> &[u8] {
    id.map_or(&[], |id| id.as_bytes())
}

impl std::fmt::Debug for SqliteExport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteExport").field("path", &self.path).finish_non_exhaustive()
    }
}
