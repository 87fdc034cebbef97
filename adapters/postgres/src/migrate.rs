//! Brings the tables of a database up to date; see `migrations/README.md` for how a migration is written.
//!
//! Everything happens in one transaction under an advisory lock, so any number of processes may try at once: one works,
//! the others wait for it and find it done. Instead of a checksum, the whole text of each migration is kept, which also
//! tells the next reader what was run.

use std::time::Duration;

use portwright_domain::{ErrorKind, PortError, Timestamp};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, Row};
use tokio::time::timeout;

use crate::config::PostgresConfig;
use crate::error::port_error;
use crate::server::open;

const OPERATION: &str = "store.migrate";

/// How long others may take to migrate before we give up waiting for them.
const PATIENCE: Duration = Duration::from_mins(5);

/// Says whose lock it is, among all advisory locks of the database.
const LOCK: i64 = i64::from_be_bytes(*b"portwrig");

/// One step of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Counts from 1 without gaps; the same number is the same step on every database.
    pub number: u32,
    /// The name of the file, without number and ending.
    pub name: &'static str,
    sql: &'static str,
}

/// Every migration that this program knows, in order.
pub const MIGRATIONS: [Migration; 6] = [
    Migration {
        number: 1,
        name: "users_and_sessions",
        sql: include_str!("../../../migrations/postgres/0001_users_and_sessions.sql"),
    },
    Migration {
        number: 2,
        name: "idempotency_keys",
        sql: include_str!("../../../migrations/postgres/0002_idempotency_keys.sql"),
    },
    Migration {
        number: 3,
        name: "outbox",
        sql: include_str!("../../../migrations/postgres/0003_outbox.sql"),
    },
    Migration {
        number: 4,
        name: "avatars",
        sql: include_str!("../../../migrations/postgres/0004_avatars.sql"),
    },
    Migration {
        number: 5,
        name: "outbox_handed_over",
        sql: include_str!("../../../migrations/postgres/0005_outbox_handed_over.sql"),
    },
    Migration {
        number: 6,
        name: "idempotency_begun_at",
        sql: include_str!("../../../migrations/postgres/0006_idempotency_begun_at.sql"),
    },
];

/// How a database stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Each applied migration with the time when it was.
    pub applied: Vec<(Migration, Timestamp)>,
    /// Those to come, in order.
    pub pending: Vec<Migration>,
}

/// How the database stands, without changing it, as the primary shows it or else whoever answers.
///
/// # Errors
/// `Misconfigured` if the database is newer than this program, or a migration was applied with another text;
/// `Unavailable` if no server can be reached.
pub async fn status(config: &PostgresConfig) -> Result<Status, PortError> {
    status_of(&mut connect_to_any(config, false).await?).await
}

/// Applies what is pending; answers what it applied. Any number of processes may try at once: one works, the others
/// wait for it and find it done. All of it happens or nothing.
///
/// # Errors
/// As for [`status`]; and `Contended` if another process worked for too long, `Unavailable` if no server is the primary.
pub async fn up(config: &PostgresConfig) -> Result<Vec<Migration>, PortError> {
    apply_in_time(&mut connect_to_any(config, true).await?).await
}

/// The primary, or else a standby if that will do.
pub(crate) async fn connect_to_any(
    config: &PostgresConfig,
    to_write: bool,
) -> Result<PgConnection, PortError> {
    let (mut standby, mut refusal) = (None, None);
    for server in &config.servers {
        let looked = async {
            let mut connection = connect(server, config).await?;
            let is_standby: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()")
                .fetch_one(&mut connection)
                .await
                .map_err(|error| port_error(OPERATION, error))?;
            Ok((connection, is_standby))
        };
        match looked.await {
            Ok((connection, false)) => return Ok(connection),
            Ok((connection, true)) => standby = Some(connection),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    let nobody = || PortError::new(ErrorKind::Unavailable, OPERATION, "no server is the primary");
    standby.filter(|_| !to_write).ok_or_else(|| refusal.unwrap_or_else(nobody))
}

/// Applies what is pending on this server, or makes sure that nothing is.
pub(crate) async fn prepare(
    server: &PgConnectOptions,
    config: &PostgresConfig,
) -> Result<Vec<Migration>, PortError> {
    let mut connection = connect(server, config).await?;
    if !config.migrate {
        return match status_of(&mut connection).await?.pending.first() {
            None => Ok(Vec::new()),
            Some(next) => {
                Err(refusal(format!("migration {} ({}) is pending; apply it first", next.number, next.name)))
            }
        };
    }
    apply_in_time(&mut connection).await
}

async fn apply_in_time(connection: &mut PgConnection) -> Result<Vec<Migration>, PortError> {
    let applied = timeout(PATIENCE, apply(connection)).await;
    applied.unwrap_or_else(|_elapsed| {
        let detail = "another process has been migrating for too long";
        Err(PortError::new(ErrorKind::Contended, OPERATION, detail))
    })
}

async fn connect(server: &PgConnectOptions, config: &PostgresConfig) -> Result<PgConnection, PortError> {
    // A migration may take as long as it needs.
    let server = server.clone().options([("statement_timeout", "0"), ("lock_timeout", "0")]);
    open(&server, config.connect).await.map_err(|error| port_error(OPERATION, error))
}

async fn apply(connection: &mut PgConnection) -> Result<Vec<Migration>, PortError> {
    let failed = |error| port_error(OPERATION, error);
    // To look first costs nothing where nothing is to be done, which is at almost every start.
    if status_of(connection).await?.pending.is_empty() {
        return Ok(Vec::new());
    }
    // Before the transaction, since within one a table that another process has made may stay unknown. An error leaves the
    // lock to the end of the connection, which is near then.
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut *connection).await.map_err(failed)?;
    let mut transaction = connection.begin().await.map_err(failed)?;
    let pending = status_of(&mut transaction).await?.pending;
    for migration in &pending {
        sqlx::raw_sql(migration.sql).execute(&mut *transaction).await.map_err(failed)?;
        record(&mut transaction, migration).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(LOCK)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    for Migration { number, name, .. } in &pending {
        tracing::info!(number, name, "migration applied");
    }
    Ok(pending)
}

/// The table is made with the first migration, in the same transaction, so that to look changes nothing.
async fn record(connection: &mut PgConnection, migration: &Migration) -> Result<(), sqlx::Error> {
    const TABLE: &str = "CREATE TABLE IF NOT EXISTS migrations (number BIGINT PRIMARY KEY, name TEXT NOT NULL, \
         sql TEXT NOT NULL, applied_at BIGINT NOT NULL)";
    const ROW: &str = "INSERT INTO migrations (number, name, sql, applied_at) \
         VALUES ($1, $2, $3, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)";
    sqlx::raw_sql(TABLE).execute(&mut *connection).await?;
    sqlx::query(ROW)
        .bind(i64::from(migration.number))
        .bind(migration.name)
        .bind(migration.sql)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

async fn status_of(connection: &mut PgConnection) -> Result<Status, PortError> {
    const ROWS: &str = "SELECT number, name, sql, applied_at FROM migrations ORDER BY number";
    let failed = |error| port_error(OPERATION, error);
    let is_known: bool = sqlx::query_scalar("SELECT to_regclass('migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if !is_known {
        return Ok(Status { applied: Vec::new(), pending: MIGRATIONS.to_vec() });
    }

    let recorded = sqlx::query(ROWS).fetch_all(&mut *connection).await.map_err(failed)?;
    let mut known = MIGRATIONS.iter().copied();
    let mut applied = Vec::with_capacity(recorded.len());
    for row in &recorded {
        let number: i64 = row.try_get(0).map_err(failed)?;
        let name: &str = row.try_get(1).map_err(failed)?;
        let Some(migration) = known.next() else {
            return Err(refusal(format!(
                "the database is newer than this program: migration {number} ({name}) is unknown"
            )));
        };
        if number != i64::from(migration.number) {
            return Err(refusal(format!(
                "migration {} was never applied, but {number} was",
                migration.number
            )));
        }
        if row.try_get::<&str, _>(2).map_err(failed)? != migration.sql {
            return Err(refusal(format!(
                "migration {number} ({name}) was applied with another text than this program has"
            )));
        }
        applied.push((migration, Timestamp::from_unix_micros(row.try_get(3).map_err(failed)?)));
    }
    Ok(Status { applied, pending: known.collect() })
}

fn refusal(detail: String) -> PortError {
    PortError::new(ErrorKind::Misconfigured, OPERATION, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_folder_and_has_the_names_of_sqlite() {
        let files = |database: &str| {
            let folder = format!("{}/../../migrations/{database}", env!("CARGO_MANIFEST_DIR"));
            let mut names: Vec<_> = std::fs::read_dir(folder)
                .expect("the folder")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
                .collect();
            names.sort();
            names
        };
        let listed = MIGRATIONS.map(|step| format!("{:04}_{}.sql", step.number, step.name));
        assert_eq!(files("postgres"), listed);
        assert_eq!(files("sqlite"), listed, "one number is one step on every database");
    }
}
