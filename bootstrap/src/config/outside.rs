//! [`Outside`]: the servers of somebody else's that a configuration names, also where the rest of it has problems.

use super::{Config, Database, Origins, Queue, Redis, Sharing, Storage};

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
            redis: match (&config.queue, &config.sharing) {
                (Queue::Redis(redis), _) | (Queue::Embedded, Sharing::Redis(redis)) => Some(redis.clone()),
                (Queue::Embedded, Sharing::Alone) => None,
            },
            origins: config.origins.clone(),
        }
    }
}
