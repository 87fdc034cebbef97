//! [`SqliteHealth`]: whether the database answers, and how large it is.

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::ports::{Health, HealthProbe, HealthStatus};

use crate::store::SqliteStore;

/// Above this many bytes the log is larger than its upkeep should ever let it become: some reader holds on to it.
const WAL_TOO_LARGE: u64 = 64 << 20;

/// The probe named `database`: reads a row, and tells the sizes of the file and its log in bytes. It waits for a reader
/// like anybody else, so it also shows when there are too few.
pub struct SqliteHealth(SqliteStore);

impl SqliteHealth {
    /// Watches this store.
    #[must_use]
    pub const fn of(store: SqliteStore) -> Self {
        Self(store)
    }

    async fn read_something(&self) -> Result<(), PortError> {
        let mut reader = self.0.take_reader("health.check").await?;
        let answer =
            sqlx::query("SELECT id FROM users LIMIT 1").fetch_optional(reader.ask("health.check")?).await;
        reader.heard("health.check", answer).map(drop)
    }
}

#[async_trait]
impl HealthProbe for SqliteHealth {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn check(&self) -> Health {
        let mut health = match self.read_something().await {
            Ok(()) => Health::pass(),
            Err(error) => Health::fail(error.to_string()),
        };
        let file = std::fs::metadata(self.0.path()).map_or(0, |file| file.len());
        let wal = self.0.wal().size();
        if wal > WAL_TOO_LARGE {
            health.status = health.status.max(HealthStatus::Warn);
        }
        health.with("file_bytes", file.to_string()).with("wal_bytes", wal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SqliteConfig;

    #[tokio::test]
    async fn a_store_that_answers_passes_and_tells_its_sizes() {
        let folder = tempfile::tempdir().expect("a folder");
        let store =
            SqliteStore::init(&SqliteConfig::at(folder.path().join("test.db"))).await.expect("a store");
        let probe = SqliteHealth::of(store.clone());
        let health = probe.check().await;
        assert_eq!((probe.name(), health.status), ("database", HealthStatus::Pass));
        let names: Vec<_> = health.details.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["file_bytes", "wal_bytes"]);
        assert!(health.details.iter().all(|(_, bytes)| bytes.parse::<u64>().is_ok_and(|bytes| bytes > 0)));

        store.close().await;
        let health = probe.check().await;
        assert_eq!(health.status, HealthStatus::Fail);
        assert_eq!(
            health.details[0],
            ("error", "health.check: unavailable (the store is closed)".to_owned())
        );
    }
}
