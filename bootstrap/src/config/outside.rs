//! [`Outside`]: the servers of somebody else's that a configuration names, also where the rest of it has problems.

use super::{Config, Database, Origins, Queue, Redis, Storage};

/// What could be read of them.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// Where users and sessions are kept.
    pub database: Option<Database>,
    /// Where files are kept.
    pub storage: Option<Storage>,
    /// The Redis that processes share, if there is one.
    pub redis: Option<Redis>,
    /// Where all values came from.
    pub origins: Origins,
}

impl From<&Config> for Outside {
    fn from(config: &Config) -> Self {
        Self {
            database: Some(config.database.clone()),
            storage: Some(config.storage.clone()),
            redis: match &config.queue {
                Queue::Redis(redis) => Some(redis.clone()),
                Queue::Embedded => None,
            },
            origins: config.origins.clone(),
        }
    }
}
