//! [`Routing`]: which server answers which question.
//!
//! Each server is looked at a few times a second by a task of its own, over a connection of its own: what it is
//! (primary, standby, away) and how far its log goes. Nobody is told roles by configuration, so a promotion is found
//! out like everything else. Two primaries at once mean that a failover went wrong: nothing is written then.
//!
//! A replica is behind by *position* first: one that has replayed everything the primary had is current, however old
//! its newest transaction is. Only one that has not is behind by time, counted from when the primary was first seen
//! further along.

mod standing;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portwright_domain::ports::Consistency;
use portwright_domain::{ErrorKind, PortError};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout};

pub(crate) use self::standing::{Role, Standings};
pub(crate) use self::watch::Watchers;
use crate::config::PostgresConfig;
use crate::lsn::{Lsn, Place};
use crate::pooled::{Pooled, bounded};
use crate::server::{Connection, Server};

/// How long a question for the primary waits while nobody is known to be it.
const FAILOVER: Duration = Duration::from_secs(1);

/// What a statement may take on the way beyond what the server lets it take.
const SLACK: Duration = Duration::from_secs(1);

pub(crate) struct Routing {
    pub(crate) servers: Vec<Server>,
    standings: tokio::sync::watch::Sender<Standings>,
    /// One for each server: somebody found reason to look at it at once.
    doubts: Vec<Notify>,
    turn: AtomicUsize,
    /// Reads that the primary answers at the same time: they must leave room for what only it can do.
    reads_on_primary: Arc<Semaphore>,
    wait: Duration,
    statement: Duration,
    max_lag: Duration,
    catch_up: Duration,
}

impl Routing {
    pub(crate) fn new(config: &PostgresConfig) -> Result<Self, PortError> {
        let servers = config.servers.iter().map(|options| Server::of(options, config));
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        let share = if servers.len() > 1 { config.connections.max(2) / 2 } else { config.connections.max(2) };
        Ok(Self {
            standings: tokio::sync::watch::Sender::new(Standings::unknown(servers.len())),
            doubts: servers.iter().map(|_| Notify::new()).collect(),
            turn: AtomicUsize::new(0),
            reads_on_primary: Arc::new(Semaphore::new(share as usize)),
            servers,
            wait: config.wait,
            statement: config.statement,
            max_lag: config.max_lag,
            catch_up: config.catch_up,
        })
    }

    /// How long to wait for the answer to a statement.
    pub(crate) const fn patience(&self) -> Duration {
        self.statement.saturating_add(SLACK)
    }

    /// What is known of the servers, for whoever wants to show it.
    pub(crate) fn standings(&self) -> Standings {
        self.standings.borrow().clone()
    }

    /// Says that a server did not behave as it should: it is looked at now, and old connections to it are not used.
    pub(crate) fn doubt(&self, server: usize) {
        if let (Some(doubts), Some(server)) = (self.doubts.get(server), self.servers.get(server)) {
            server.forget_connections();
            doubts.notify_one();
        }
    }

    /// A connection that shows at least what `consistency` asks for.
    pub(crate) async fn read(self: &Arc<Self>, consistency: &Consistency) -> Result<Pooled, PortError> {
        const OPERATION: &str = "store.read";
        let wanted = match consistency {
            Consistency::Eventual => Some(None),
            Consistency::After(token) => {
                let foreign =
                    || PortError::new(ErrorKind::Unsupported, OPERATION, "a commit token of another store");
                Some(Some(Place::of(token).ok_or_else(foreign)?))
            }
            Consistency::Strong => None,
        };
        if let Some(place) = wanted
            && let Some(view) = self.on_a_replica(OPERATION, place, Some(self.max_lag)).await
        {
            return Ok(view);
        }
        match (self.on_the_primary(OPERATION).await, wanted) {
            // Old data is better than none, where nobody asked for more.
            (Err(error), Some(place)) if error.kind() == ErrorKind::Unavailable => {
                self.on_a_replica(OPERATION, place, None).await.ok_or(error)
            }
            (answer, _) => answer,
        }
    }

    /// A connection to the primary, for a transaction.
    pub(crate) async fn write(self: &Arc<Self>, operation: &'static str) -> Result<Pooled, PortError> {
        let primary = self.primary(operation, Standings::writable).await?;
        let connection = self.connection(primary, operation).await?;
        Ok(Pooled::unit(connection, primary, self.clone()))
    }

    /// A connection to the primary, for a question.
    pub(crate) async fn primary_connection(
        &self,
        operation: &'static str,
    ) -> Result<(Connection, usize), PortError> {
        let primary = self.primary(operation, Standings::newest_primary).await?;
        Ok((self.connection(primary, operation).await?, primary))
    }

    async fn on_the_primary(self: &Arc<Self>, operation: &'static str) -> Result<Pooled, PortError> {
        let share = timeout(self.wait, self.reads_on_primary.clone().acquire_owned()).await;
        let Ok(Ok(share)) = share else {
            let detail = "the primary has enough reads to answer";
            return Err(PortError::new(ErrorKind::Unavailable, operation, detail));
        };
        let (connection, server) = self.primary_connection(operation).await?;
        Ok(Pooled::view(connection, server, self.clone(), Some(share)))
    }

    /// A replica that shows this place, if there is one that is not further behind than allowed.
    async fn on_a_replica(
        self: &Arc<Self>,
        operation: &'static str,
        place: Option<Place>,
        max_lag: Option<Duration>,
    ) -> Option<Pooled> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (server, shows) = self.standings.borrow().replica(place, max_lag, turn, Instant::now())?;
        let connection = self.connection(server, operation).await.ok()?;
        let mut view = Pooled::view(connection, server, self.clone(), None);
        if !shows && let Some(place) = place {
            self.await_replay(operation, &mut view, place.lsn).await?;
        }
        Some(view)
    }

    /// Waits, not for long, until the replica has replayed this position.
    async fn await_replay(&self, operation: &'static str, view: &mut Pooled, wanted: Lsn) -> Option<()> {
        let deadline = Instant::now() + self.catch_up;
        let mut pause = Duration::from_millis(1);
        loop {
            let question = sqlx::query_scalar::<_, String>("SELECT pg_last_wal_replay_lsn()::text");
            let answer = bounded(self.catch_up, question.fetch_one(view.ask(operation).ok()?)).await;
            let server = view.server();
            let replayed: Lsn = view.heard(operation, answer).await?.ok()?.parse().ok()?;
            self.standings.send_if_modified(|standings| standings.replayed(server, replayed));
            if replayed >= wanted {
                return Some(());
            }
            if Instant::now() + pause >= deadline {
                return None;
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    /// Waits, not for long, until somebody is the primary.
    async fn primary(
        &self,
        operation: &'static str,
        which: fn(&Standings) -> Result<usize, &'static str>,
    ) -> Result<usize, PortError> {
        let mut standings = self.standings.subscribe();
        let deadline = Instant::now() + FAILOVER;
        loop {
            let missing = match which(&standings.borrow_and_update()) {
                Ok(primary) => return Ok(primary),
                Err(missing) => missing,
            };
            if !matches!(tokio::time::timeout_at(deadline, standings.changed()).await, Ok(Ok(()))) {
                return Err(PortError::new(ErrorKind::Unavailable, operation, missing));
            }
        }
    }

    async fn connection(&self, server: usize, operation: &'static str) -> Result<Connection, PortError> {
        let unknown = || PortError::new(ErrorKind::Unavailable, operation, "there is no such server");
        let taken = self.servers.get(server).ok_or_else(unknown)?.take(operation).await;
        if taken.is_err() {
            self.doubt(server);
        }
        taken
    }
}
