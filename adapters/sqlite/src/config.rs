//! [`SqliteConfig`]: which file, and how many may look at it at once.

use std::path::PathBuf;
use std::time::Duration;

/// Where the database is and how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The database file. Missing folders are made, and so is the file, readable for its owner alone. Not on a network
    /// file system: the log needs memory that all its readers share.
    pub path: PathBuf,
    /// How many views may read at once, at least 1. Each is a thread and a connection with a cache of 2 MiB.
    pub readers: u32,
    /// How long to wait for a free connection before giving up.
    pub wait: Duration,
    /// Whether a start applies pending migrations; if not, it is refused while one is pending.
    pub migrate: bool,
}

impl SqliteConfig {
    /// The database in this file: four readers, a wait of 5 s, migrations applied at the start.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), readers: 4, wait: Duration::from_secs(5), migrate: true }
    }
}
