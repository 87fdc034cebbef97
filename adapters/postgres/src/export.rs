//! [`PostgresExport`]: everything that a store keeps, page by page, as the twin of this module in the adapter of SQLite
//! has it: so what was carried from one to the other can be compared.

use portwright_domain::PortError;
use portwright_domain::idempotency::{IdempotencyKey, IdempotencyRecord};
use portwright_domain::job::NewJob;
use portwright_domain::session::{Session, SessionId};
use portwright_domain::user::{User, UserId};
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

use crate::config::PostgresConfig;
use crate::error::port_error;
use crate::users::{user_at, user_columns};
use crate::{idempotency, migrate, outbox, sessions};

const OPERATION: &str = "store.export";

/// Reads what the primary has. Each page has up to `limit` rows behind the row `after`, in the order of their keys.
#[derive(Debug)]
pub struct PostgresExport(PgConnection);

impl PostgresExport {
    /// Connects to the primary.
    ///
    /// # Errors
    /// `Unavailable` if there is none, `Misconfigured` if it refuses us.
    pub async fn open(config: &PostgresConfig) -> Result<Self, PortError> {
        migrate::connect_to_any(config, true).await.map(Self)
    }

    /// Users, by their ids.
    pub async fn users(&mut self, after: Option<&UserId>, limit: u32) -> Result<Vec<User>, PortError> {
        const SQL: &str =
            concat!("SELECT ", user_columns!(), " FROM users WHERE id > $1 ORDER BY id LIMIT $2");
        let question = sqlx::query(SQL).bind(key(after.map(|id| id.0))).bind(i64::from(limit));
        read(question.fetch_all(&mut self.0).await, |row| user_at(row, 0))
    }

    /// Sessions, by their ids.
    pub async fn sessions(
        &mut self,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<Session>, PortError> {
        const SQL: &str = "SELECT id, user_id, generation, created_at, expires_at FROM sessions WHERE id > $1 \
             ORDER BY id LIMIT $2";
        let question = sqlx::query(SQL).bind(key(after.map(|id| id.0))).bind(i64::from(limit));
        read(question.fetch_all(&mut self.0).await, |row| sessions::session_at(row, 0))
    }

    /// Idempotency keys, by scope and key.
    pub async fn idempotency(
        &mut self,
        after: Option<&IdempotencyKey>,
        limit: u32,
    ) -> Result<Vec<IdempotencyRecord>, PortError> {
        // Byte by byte, whatever the collation of the database is.
        const SQL: &str = "SELECT fingerprint, progress, status, headers, body, expires_at, begun_at, scope, key \
             FROM idempotency_keys WHERE (scope COLLATE \"C\", key COLLATE \"C\") > ($1, $2) \
             ORDER BY scope COLLATE \"C\", key COLLATE \"C\" LIMIT $3";
        let (scope, key) = after.map_or(("", ""), |after| (&after.scope, &after.key));
        let question = sqlx::query(SQL).bind(scope).bind(key).bind(i64::from(limit));
        read(question.fetch_all(&mut self.0).await, |row| {
            let key = IdempotencyKey { scope: row.try_get(7)?, key: row.try_get(8)? };
            idempotency::record(row, key)
        })
    }

    /// Jobs on their way to the queue, each with its number, oldest first.
    pub async fn outbox(&mut self, after: Option<&i64>, limit: u32) -> Result<Vec<(i64, NewJob)>, PortError> {
        const SQL: &str = "SELECT id, task, version, queue, priority, payload, max_attempts, backoff, backoff_cap, \
             timeout, scheduled_for, unique_key, created_by, trace, sequence FROM outbox WHERE sequence > $1 \
             ORDER BY sequence LIMIT $2";
        let question = sqlx::query(SQL).bind(after.copied().unwrap_or(i64::MIN)).bind(i64::from(limit));
        read(question.fetch_all(&mut self.0).await, |row| Ok((row.try_get(14)?, outbox::job(row)?)))
    }

    /// Ends the reading.
    pub async fn close(self) {
        // It only read.
        let _ = self.0.close().await;
    }
}

/// What an id must be behind: each has a version in it, so none is all zeros.
fn key(id: Option<Uuid>) -> Uuid {
    id.unwrap_or_default()
}

fn read<T>(
    found: Result<Vec<PgRow>, sqlx::Error>,
    row: impl Fn(&PgRow) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, PortError> {
    let read = found.and_then(|rows| rows.iter().map(row).collect());
    read.map_err(|error| port_error(OPERATION, error))
}
