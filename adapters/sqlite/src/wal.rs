//! Keeps the write-ahead log small.
//!
//! SQLite copies the log back into the file every 1,000 pages, but begins it anew only in a moment without readers. With
//! readers at all times that moment never comes and the log grows for ever, so past a size it is truncated by force: new
//! readers wait for the old ones, a quarter of a second at most.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::{Row, SqliteConnection};

/// The log is truncated when it is larger than this many bytes.
pub(crate) const TRUNCATED_AT: u64 = 16 << 20;

/// How much more has to come after a vain attempt before the next one.
const PATIENCE: u64 = 4 << 20;

/// The file beside the database whose name ends like this.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// The log of one database file.
pub(crate) struct Wal {
    path: PathBuf,
    truncate_at: AtomicU64,
}

impl Wal {
    pub(crate) fn of(database: &Path) -> Self {
        Self { path: beside(database, "-wal"), truncate_at: AtomicU64::new(TRUNCATED_AT) }
    }

    /// The size in bytes; 0 if there is no log.
    pub(crate) fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// Whether the log is worth a call of [`Wal::truncate`].
    pub(crate) fn is_large(&self) -> bool {
        self.size() >= self.truncate_at.load(Ordering::Relaxed)
    }

    /// Truncates the log unless a reader stays for too long; then it is tried again when more has been written.
    pub(crate) async fn truncate(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::query("PRAGMA busy_timeout = 250").execute(&mut *connection).await?;
        let outcome = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await?;
        sqlx::query("PRAGMA busy_timeout = 5000").execute(&mut *connection).await?;

        let truncate_at = if outcome.try_get::<i64, _>(0)? == 0 {
            TRUNCATED_AT
        } else {
            tracing::warn!(
                bytes = self.size(),
                "the write-ahead log could not be truncated, a reader holds it"
            );
            self.size() + PATIENCE
        };
        self.truncate_at.store(truncate_at, Ordering::Relaxed);
        Ok(())
    }
}
