//! [`Log`]: keeps the write-ahead log of the queue small.
//!
//! The writer does not checkpoint by itself, since SQLite would do so in the middle of a commit that somebody waits for.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Result};

use crate::wal;

/// The log begins anew when it is larger than this many bytes.
const LARGE: u64 = 16 << 20;
/// How much more has to come after a vain attempt before the next one.
const PATIENCE: u64 = 4 << 20;

pub(super) struct Log {
    path: PathBuf,
    large: u64,
}

impl Log {
    pub(super) fn of(database: &Path) -> Self {
        Self { path: wal::beside(database, "-wal"), large: LARGE }
    }

    fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// Copies a log that has become large into the file, and begins it anew.
    pub(super) fn keep_small(&mut self, connection: &Connection) {
        if self.size() < self.large {
            return;
        }
        self.large = match truncate(connection) {
            Ok(true) => LARGE,
            Ok(false) => self.size() + PATIENCE,
            Err(error) => {
                tracing::warn!(%error, "the log of the queue could not be copied into its file");
                self.size() + PATIENCE
            }
        };
    }
}

/// False if a reader held on to the log for too long.
fn truncate(connection: &Connection) -> Result<bool> {
    connection.prepare_cached("PRAGMA wal_checkpoint(TRUNCATE)")?.query_row([], |row| Ok(row.get::<_, i64>(0)? == 0))
}
