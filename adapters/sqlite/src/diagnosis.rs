//! What an operator wants to know of a file of ours. What is in it is not changed by asking, also beside a server.

use std::path::Path;
use std::time::Duration;

use portwright_domain::{ErrorKind, PortError};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use crate::error::port_error;
use crate::{open, wal};

const OPERATION: &str = "store.diagnose";

/// To read the largest file through takes no longer; what is not read by then is not known to be damaged.
const READING: Duration = Duration::from_secs(10);

/// How a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its length in bytes.
    pub bytes: u64,
    /// That of its write-ahead log.
    pub log_bytes: u64,
    /// What is wrong with its pages; `None` if nothing was found.
    pub damage: Option<String>,
}

/// Reads the file through, for ten seconds at most.
///
/// # Errors
/// `Misconfigured` if it cannot be opened, `Corrupt` if it is no database.
pub async fn look(path: &Path) -> Result<Facts, PortError> {
    let failed = |error| open::at_path(path, port_error(OPERATION, error));
    let size = |file: &Path| std::fs::metadata(file).map_or(0, |file| file.len());
    if !path.is_file() {
        let detail = format!("{}: there is no such file", path.display());
        return Err(PortError::new(ErrorKind::Misconfigured, OPERATION, detail));
    }
    let mut connection = open::reader(path).connect().await.map_err(failed)?;
    let question = sqlx::query_scalar::<_, String>("PRAGMA quick_check(1)").fetch_one(&mut connection);
    let damage = match timeout(READING, question).await {
        Ok(verdict) => Some(verdict.map_err(failed)?).filter(|verdict| verdict != "ok"),
        Err(_elapsed) => None,
    };
    let facts = Facts { bytes: size(path), log_bytes: size(&wal::beside(path, "-wal")), damage };
    // It only read.
    let _ = connection.close().await;
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SqliteConfig, SqliteStore};

    #[tokio::test]
    async fn a_file_that_is_missing_or_none_of_ours_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("test.db");
        assert_eq!(look(&path).await.expect_err("missing").kind(), ErrorKind::Misconfigured);
        std::fs::write(&path, "no database ".repeat(1_000)).expect("written");
        let error = look(&path).await.expect_err("none");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.detail().contains("test.db"), "{error}");
    }

    #[tokio::test]
    async fn a_file_in_use_is_read_through() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = SqliteConfig::at(folder.path().join("test.db"));
        let store = SqliteStore::init(&config).await.expect("a store");
        let facts = look(&config.path).await.expect("looked");
        assert_eq!(facts.damage, None);
        assert!(facts.bytes > 0);
        store.close().await;
    }
}
