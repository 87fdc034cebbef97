//! [`ServerStatus`]: what each server is and how much of it is in use, for whoever shows or counts it.

use std::time::Duration;

use tokio::time::Instant;

use crate::routing::Role;
use crate::store::PostgresStore;

/// One server, as it was found in the last look at it, and our connections to it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// `host:port`.
    pub name: String,
    /// What it is.
    pub role: ServerRole,
    /// Connections of ours that are open. There is one more, over which it is looked at.
    pub open: usize,
    /// How many of them somebody uses.
    pub in_use: usize,
}

/// What a server is at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerRole {
    /// It does not answer.
    Away,
    /// It takes writes.
    Primary,
    /// It follows.
    Replica {
        /// The bytes of log that it has not replayed; `None` if nobody has seen a primary.
        bytes_behind: Option<u64>,
        /// How old the state is that it shows; `None` if that is unknown.
        behind: Option<Duration>,
    },
}

impl ServerRole {
    /// The stable name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Primary => "primary",
            Self::Replica { .. } => "replica",
        }
    }
}

impl PostgresStore {
    /// Every server, in the order of the configuration. Asks none of them: it is known already.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerStatus> {
        let routing = self.routing();
        let standings = routing.standings();
        let now = Instant::now();
        let servers = routing.servers.iter().zip(&standings.roles).map(|(server, role)| {
            let (open, in_use) = server.connections();
            let role = match role {
                Role::Away => ServerRole::Away,
                Role::Primary(_) => ServerRole::Primary,
                Role::Standby(shown) => ServerRole::Replica {
                    bytes_behind: standings.behind(*shown),
                    behind: standings.age(*shown, now),
                },
            };
            ServerStatus { name: server.name.clone(), role, open, in_use }
        });
        servers.collect()
    }
}
