//! Whether a database may take what another one has, and a note of what it took.
//!
//! The rows themselves go through the port. What the port cannot tell is whether a database is empty, or has a part of
//! the same source from a move that broke off; a small table remembers that. It is no migration, since only a database
//! that something was moved to has it.

use portwright_domain::{ErrorKind, PortError, Timestamp};
use sqlx::{Connection, PgConnection, Row};

use crate::config::PostgresConfig;
use crate::error::port_error;
use crate::migrate;

const OPERATION: &str = "store.import";

/// What a database is to those who want to move something to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It was empty, and is theirs now.
    New,
    /// An earlier move of the same source broke off.
    Resumed,
    /// The same source was moved to it, completely, at this time.
    Done(Timestamp),
}

/// Claims the database for what comes from this source, known by a moment that no other source shares. Its tables are
/// there.
///
/// # Errors
/// `Misconfigured` if it has something in it that is not from there, `Unavailable` if there is no primary.
pub async fn begin(config: &PostgresConfig, source: Timestamp) -> Result<Arrival, PortError> {
    const TABLE: &str = "CREATE TABLE IF NOT EXISTS moves \
         (source BIGINT PRIMARY KEY, began_at BIGINT NOT NULL, done_at BIGINT)";
    const IS_EMPTY: &str = "SELECT NOT EXISTS (SELECT FROM users) AND NOT EXISTS (SELECT FROM sessions) \
         AND NOT EXISTS (SELECT FROM idempotency_keys) AND NOT EXISTS (SELECT FROM outbox) \
         AND NOT EXISTS (SELECT FROM moves)";
    const CLAIM: &str = "INSERT INTO moves (source, began_at) \
         VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)";
    let failed = |error| port_error(OPERATION, error);
    let mut connection = migrate::connect_to_any(config, true).await?;
    let mut transaction = connection.begin().await.map_err(failed)?;
    sqlx::raw_sql(TABLE).execute(&mut *transaction).await.map_err(failed)?;
    let arrival = match noted(&mut transaction, source).await.map_err(failed)? {
        Some(Some(done)) => Arrival::Done(Timestamp::from_unix_micros(done)),
        Some(None) => Arrival::Resumed,
        None => {
            let is_empty: bool =
                sqlx::query_scalar(IS_EMPTY).fetch_one(&mut *transaction).await.map_err(failed)?;
            if !is_empty {
                let detail = "the database has something in it that is not from there";
                return Err(PortError::new(ErrorKind::Misconfigured, OPERATION, detail));
            }
            let claim = sqlx::query(CLAIM).bind(source.unix_micros());
            claim.execute(&mut *transaction).await.map_err(failed)?;
            Arrival::New
        }
    };
    transaction.commit().await.map_err(failed)?;
    Ok(arrival)
}

/// The time when this source was moved here, `None` within if it is under way.
async fn noted(connection: &mut PgConnection, source: Timestamp) -> Result<Option<Option<i64>>, sqlx::Error> {
    let question =
        sqlx::query("SELECT done_at FROM moves WHERE source = $1 FOR UPDATE").bind(source.unix_micros());
    question.fetch_optional(connection).await?.map(|row| row.try_get(0)).transpose()
}

/// Notes that everything of this source is there.
///
/// # Errors
/// `Unavailable` if there is no primary; the move can be repeated.
pub async fn done(config: &PostgresConfig, source: Timestamp) -> Result<(), PortError> {
    const NOTE: &str = "UPDATE moves SET done_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint \
         WHERE source = $1";
    let mut connection = migrate::connect_to_any(config, true).await?;
    let noted = sqlx::query(NOTE).bind(source.unix_micros()).execute(&mut connection).await;
    noted.map(drop).map_err(|error| port_error(OPERATION, error))
}
