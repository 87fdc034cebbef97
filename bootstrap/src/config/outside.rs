//! [`Outside`]: the servers of somebody else's that a configuration names, also where the rest of it has problems.

use super::{Config, Database, Origins, Storage};

/// What could be read of them.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// Where users and sessions are kept.
    pub database: Option<Database>,
    /// Where files are kept.
    pub storage: Option<Storage>,
    /// Where all values came from.
    pub origins: Origins,
}

impl From<&Config> for Outside {
    fn from(config: &Config) -> Self {
        Self {
            database: Some(config.database.clone()),
            storage: Some(config.storage.clone()),
            origins: config.origins.clone(),
        }
    }
}
