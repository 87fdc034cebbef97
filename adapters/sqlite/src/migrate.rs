//! Brings the tables of a file up to date; see `migrations/README.md` for how a migration is written.
//!
//! The driver's own migrator takes no lock on SQLite, so two processes that start at once would run one file twice.
//! This one looks again inside each transaction, and instead of a checksum keeps the whole text, which also tells the
//! next reader what was run.

use portwright_domain::{ErrorKind, PortError, Timestamp};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use crate::config::SqliteConfig;
use crate::error::port_error;
use crate::open;

/// One step of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Counts from 1 without gaps.
    pub number: u32,
    /// The name of the file, without number and ending.
    pub name: &'static str,
    sql: &'static str,
}

/// Every migration of the store that this program knows, in order.
pub const MIGRATIONS: [Migration; 6] = [
    Migration {
        number: 1,
        name: "users_and_sessions",
        sql: include_str!("../../../migrations/sqlite/0001_users_and_sessions.sql"),
    },
    Migration {
        number: 2,
        name: "idempotency_keys",
        sql: include_str!("../../../migrations/sqlite/0002_idempotency_keys.sql"),
    },
    Migration { number: 3, name: "outbox", sql: include_str!("../../../migrations/sqlite/0003_outbox.sql") },
    Migration {
        number: 4,
        name: "avatars",
        sql: include_str!("../../../migrations/sqlite/0004_avatars.sql"),
    },
    Migration {
        number: 5,
        name: "outbox_handed_over",
        sql: include_str!("../../../migrations/sqlite/0005_outbox_handed_over.sql"),
    },
    Migration {
        number: 6,
        name: "idempotency_begun_at",
        sql: include_str!("../../../migrations/sqlite/0006_idempotency_begun_at.sql"),
    },
];

/// Every migration of the queue, in order.
pub(crate) const QUEUE: [Migration; 2] = [
    Migration {
        number: 1,
        name: "jobs",
        sql: include_str!("../../../migrations/sqlite-queue/0001_jobs.sql"),
    },
    Migration {
        number: 2,
        name: "removed",
        sql: include_str!("../../../migrations/sqlite-queue/0002_removed.sql"),
    },
];

/// How a file stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Each applied migration with the time when it was.
    pub applied: Vec<(Migration, Timestamp)>,
    /// Those to come, in order.
    pub pending: Vec<Migration>,
}

/// How the file stands, without changing it. A file that is missing has everything pending.
///
/// # Errors
/// `Misconfigured` if the file is newer than this program, if a migration was applied with another text, or if the file
/// belongs to another program; `Corrupt` if it is damaged or no database.
pub async fn status(config: &SqliteConfig) -> Result<Status, PortError> {
    if !config.path.exists() {
        return Ok(Status { applied: Vec::new(), pending: MIGRATIONS.to_vec() });
    }
    let here = |error| open::at_path(&config.path, error);
    let mut connection = open::reader(&config.path)
        .connect()
        .await
        .map_err(|error| here(port_error("store.migrate", error)))?;
    status_of(&mut connection, &MIGRATIONS).await.map_err(here)
}

/// Applies what is pending, making the file if it is missing; answers what it applied. Any number of processes may try
/// at once: one works, the others wait for it and find less to do.
///
/// # Errors
/// As for [`status`]; and `Contended` if another process held the file for too long. Each migration happens as a whole
/// or not at all.
pub async fn up(config: &SqliteConfig) -> Result<Vec<Migration>, PortError> {
    let mut connection = open::first(config).await?;
    apply(&mut connection, &MIGRATIONS).await
}

/// Does the work of [`up`] for a file that wants these migrations.
pub(crate) async fn apply(
    connection: &mut SqliteConnection,
    wanted: &[Migration],
) -> Result<Vec<Migration>, PortError> {
    let failed = |error| port_error("store.migrate", error);
    let mut applied = Vec::new();
    for migration in status_of(connection, wanted).await?.pending {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        if status_of(&mut transaction, wanted).await?.pending.first() != Some(&migration) {
            // Another process was here first; dropping the transaction ends it.
            continue;
        }
        sqlx::raw_sql(migration.sql).execute(&mut *transaction).await.map_err(failed)?;
        record(&mut transaction, &migration).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        tracing::info!(number = migration.number, name = migration.name, "migration applied");
        applied.push(migration);
    }
    Ok(applied)
}

/// Refuses a file on which anything is pending.
pub(crate) async fn require_all(connection: &mut SqliteConnection) -> Result<(), PortError> {
    match status_of(connection, &MIGRATIONS).await?.pending.first() {
        None => Ok(()),
        Some(next) => {
            Err(refusal(format!("migration {} ({}) is pending; apply it first", next.number, next.name)))
        }
    }
}

/// The table is made with the first migration, in the same transaction, so that to look changes nothing.
async fn record(connection: &mut SqliteConnection, migration: &Migration) -> Result<(), sqlx::Error> {
    const TABLE: &str = "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, \
         sql TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT";
    const ROW: &str = "INSERT INTO migrations (number, name, sql, applied_at) \
         VALUES (?, ?, ?, CAST(unixepoch('subsec') * 1000000 AS INTEGER))";
    sqlx::query(TABLE).execute(&mut *connection).await?;
    sqlx::query(ROW)
        .bind(migration.number)
        .bind(migration.name)
        .bind(migration.sql)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

pub(crate) async fn status_of(
    connection: &mut SqliteConnection,
    wanted: &[Migration],
) -> Result<Status, PortError> {
    let failed = |error| port_error("store.migrate", error);
    let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    if tables.is_empty() {
        return Ok(Status { applied: Vec::new(), pending: wanted.to_vec() });
    }
    if !tables.iter().any(|table| table == "migrations") {
        return Err(refusal("the file is the database of another program".to_owned()));
    }

    let recorded = sqlx::query("SELECT number, name, sql, applied_at FROM migrations ORDER BY number")
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let mut known = wanted.iter().copied();
    let mut applied = Vec::with_capacity(recorded.len());
    for row in &recorded {
        let (number, name): (u32, &str) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        let Some(migration) = known.next() else {
            return Err(refusal(format!(
                "the database is newer than this program: migration {number} ({name}) is unknown"
            )));
        };
        if number != migration.number {
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
    PortError::new(ErrorKind::Misconfigured, "store.migrate", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_is_its_folder() {
        assert_listed("sqlite", &MIGRATIONS);
        assert_listed("sqlite-queue", &QUEUE);
    }

    fn assert_listed(folder: &str, list: &[Migration]) {
        let folder = format!("{}/../../migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").path())
            .map(|path| (path.file_name().map(Into::into), std::fs::read_to_string(path).expect("a text")))
            .collect();
        files.sort();
        let listed = list
            .iter()
            .map(|step| (Some(format!("{:04}_{}.sql", step.number, step.name).into()), step.sql.to_owned()))
            .collect::<Vec<(Option<std::ffi::OsString>, _)>>();
        assert_eq!(listed, files);
        assert!((1..).zip(list).all(|(number, step)| step.number == number), "no gaps");
    }
}
