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

use deadpool::managed::Object;
use portwright_domain::ports::{CommitToken, Consistency, Event, Observer};
use portwright_domain::{ErrorKind, PortError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

pub(crate) use self::standing::{Role, Standings};
pub(crate) use self::watch::Watchers;
use crate::config::PostgresConfig;
use crate::lsn::{Lsn, Place};
use crate::pooled::{Pooled, bounded};
use crate::server::{Connection, Server};

/// How long questions for the primary wait after it has gone, in case another is one soon. Whoever asks later than that is
/// told at once, so that no request waits longer than a second, however many questions it has.
const FAILOVER: Duration = Duration::from_millis(750);

/// What a statement may take on the way beyond what the server lets it take.
const SLACK: Duration = Duration::from_secs(1);

/// A question about the log may take this long, however short the wait for a replica is.
const SHORTEST: Duration = Duration::from_millis(100);

/// How fresh an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Recent.
    Any,
    /// Not older than this place.
    After(Place),
    /// The newest.
    Newest,
}

/// Who answers.
pub(crate) struct Route {
    pub(crate) connection: Connection,
    pub(crate) server: usize,
    /// The part of the primary that reads may use.
    _share: Option<OwnedSemaphorePermit>,
}

pub(crate) struct Routing {
    pub(crate) servers: Vec<Server>,
    standings: tokio::sync::watch::Sender<Standings>,
    /// One for each server: somebody found reason to look at it at once.
    doubts: Vec<Notify>,
    turn: AtomicUsize,
    /// Reads that the primary answers at the same time: they must leave room for what only it can do.
    reads_on_primary: Arc<Semaphore>,
    observer: Arc<dyn Observer>,
    wait: Duration,
    statement: Duration,
    max_lag: Duration,
    catch_up: Duration,
    look_every: Duration,
}

impl Routing {
    pub(crate) fn new(config: &PostgresConfig, observer: Arc<dyn Observer>) -> Result<Self, PortError> {
        let servers = config.servers.iter().map(|options| Server::of(options, config));
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        let share = if servers.len() > 1 { config.connections.max(2) / 2 } else { config.connections.max(2) };
        Ok(Self {
            standings: tokio::sync::watch::Sender::new(Standings::unknown(servers.len())),
            doubts: servers.iter().map(|_| Notify::new()).collect(),
            turn: AtomicUsize::new(0),
            reads_on_primary: Arc::new(Semaphore::new(share as usize)),
            servers,
            observer,
            wait: config.wait,
            statement: config.statement,
            max_lag: config.max_lag,
            catch_up: config.catch_up,
            look_every: config.look_every,
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

    /// What to give back to see no older state than this place. Of one server, no state is older than another that was
    /// seen before.
    pub(crate) fn token_of(&self, seen: Place) -> Option<CommitToken> {
        (self.servers.len() > 1).then(|| seen.token())
    }

    /// The timeline that a server follows as a standby; 0 if that is unknown.
    pub(crate) fn followed_by(&self, server: usize) -> u32 {
        self.standings.borrow().followed_by(server)
    }

    /// Says that a server did not behave as it should: it is looked at now, and old connections to it are not used.
    pub(crate) fn doubt(&self, server: usize) {
        if let (Some(doubts), Some(server)) = (self.doubts.get(server), self.servers.get(server)) {
            server.forget_connections();
            doubts.notify_one();
        }
    }

    /// A view that shows at least what `consistency` asks for.
    pub(crate) async fn read(self: &Arc<Self>, consistency: &Consistency) -> Result<Pooled, PortError> {
        const OPERATION: &str = "store.read";
        let wanted = match consistency {
            Consistency::Eventual => Freshness::Any,
            Consistency::After(token) => {
                let foreign =
                    || PortError::new(ErrorKind::Unsupported, OPERATION, "a commit token of another store");
                Freshness::After(Place::of(token).ok_or_else(foreign)?)
            }
            Consistency::Strong => Freshness::Newest,
        };
        Ok(Pooled::view(self.route(OPERATION, wanted).await?, wanted, self.clone()))
    }

    /// A connection to whoever answers a question best: a replica that is fresh enough, else the primary, else a
    /// replica that is too old where nobody asked for more.
    pub(crate) async fn route(&self, operation: &'static str, wanted: Freshness) -> Result<Route, PortError> {
        let (route, outcome) = match self.to_a_replica(operation, wanted, Some(self.max_lag)).await {
            Some(found) => found,
            None => self.to_the_primary_first(operation, wanted).await?,
        };
        if matches!(wanted, Freshness::After(_)) {
            self.observer.observe(&Event::CausalRead { outcome });
        }
        Ok(route)
    }

    /// A connection for a question that somebody else has failed to answer.
    pub(crate) async fn instead(
        &self,
        operation: &'static str,
        wanted: Freshness,
    ) -> Result<Route, PortError> {
        self.to_the_primary_first(operation, wanted).await.map(|(route, _)| route)
    }

    async fn to_the_primary_first(
        &self,
        operation: &'static str,
        wanted: Freshness,
    ) -> Result<(Route, &'static str), PortError> {
        match self.to_the_primary(operation).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                self.to_a_replica(operation, wanted, None).await.ok_or(error)
            }
            route => Ok((route?, "primary")),
        }
    }

    /// A connection to the primary, for a transaction.
    pub(crate) async fn write(self: &Arc<Self>, operation: &'static str) -> Result<Pooled, PortError> {
        let primary = self.primary(operation, Standings::writable).await?;
        let connection = self.connection(primary, operation).await?;
        Ok(Pooled::unit(Route { connection, server: primary, _share: None }, self.clone()))
    }

    /// A connection to the primary, for a question.
    pub(crate) async fn primary_connection(
        &self,
        operation: &'static str,
    ) -> Result<(Connection, usize), PortError> {
        let primary = self.primary(operation, Standings::newest_primary).await?;
        Ok((self.connection(primary, operation).await?, primary))
    }

    async fn to_the_primary(&self, operation: &'static str) -> Result<Route, PortError> {
        let share = timeout(self.wait, self.reads_on_primary.clone().acquire_owned()).await;
        let Ok(Ok(share)) = share else {
            let detail = "the primary has enough reads to answer";
            return Err(PortError::new(ErrorKind::Unavailable, operation, detail));
        };
        let (connection, server) = self.primary_connection(operation).await?;
        Ok(Route { connection, server, _share: Some(share) })
    }

    /// A replica that is fresh enough, if there is one that is not further behind than allowed; and whether it was one
    /// at once.
    async fn to_a_replica(
        &self,
        operation: &'static str,
        wanted: Freshness,
        max_lag: Option<Duration>,
    ) -> Option<(Route, &'static str)> {
        let place = match wanted {
            Freshness::Any => None,
            Freshness::After(place) => Some(place),
            Freshness::Newest => return None,
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (server, shows) = self.standings.borrow().replica(place, max_lag, turn, Instant::now())?;
        if !shows && self.is_hopeless(server) {
            return None;
        }
        let mut connection = self.connection(server, operation).await.ok()?;
        let opened = Instant::from_std(Object::metrics(&connection).created);
        let shows = shows && self.standings.borrow().is_known_through(server, opened);
        let mut outcome = "replica";
        if !shows && let Some(place) = place {
            outcome = "waited";
            match self.await_replay(&mut connection, server, place.lsn).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(_) => {
                    drop(Object::take(connection));
                    self.doubt(server);
                    return None;
                }
            }
        }
        Some((Route { connection, server, _share: None }, outcome))
    }

    /// Whether a replica is known to be so far behind that it will not catch up within the time that a read waits. What is
    /// known may be as old as two looks.
    fn is_hopeless(&self, server: usize) -> bool {
        let standings = self.standings.borrow();
        let age = match standings.roles.get(server) {
            Some(Role::Standby(shown)) => standings.age(*shown, Instant::now()),
            _ => None,
        };
        age.is_none_or(|age| age > self.look_every * 2 + self.catch_up)
    }

    /// Waits, not for long, until the replica has replayed this position; false if it has not.
    async fn await_replay(
        &self,
        connection: &mut Connection,
        server: usize,
        wanted: Lsn,
    ) -> Result<bool, sqlx::Error> {
        const SQL: &str = "SELECT pg_last_wal_replay_lsn()::text";
        let deadline = Instant::now() + self.catch_up;
        let mut pause = Duration::from_millis(1);
        loop {
            let asked = Instant::now();
            let question = sqlx::query_scalar::<_, String>(SQL).fetch_one(&mut **connection);
            // A server that takes longer than the whole wait is no help, and its connection is not used again.
            let replayed = bounded(self.catch_up.max(SHORTEST), question).await?.parse().unwrap_or_default();
            self.standings.send_if_modified(|standings| standings.replayed(server, replayed, asked));
            if replayed >= wanted {
                return Ok(true);
            }
            if Instant::now() + pause >= deadline {
                return Ok(false);
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    /// Waits, if nobody has been the primary for long, until somebody is.
    async fn primary(
        &self,
        operation: &'static str,
        which: fn(&Standings) -> Result<usize, &'static str>,
    ) -> Result<usize, PortError> {
        let mut standings = self.standings.subscribe();
        let asked = Instant::now();
        loop {
            let (missing, since) = {
                let standings = standings.borrow_and_update();
                match which(&standings) {
                    Ok(primary) => return Ok(primary),
                    Err(missing) => (missing, standings.headless_since()),
                }
            };
            let deadline = since.unwrap_or(asked).min(asked) + FAILOVER;
            if !matches!(tokio::time::timeout_at(deadline, standings.changed()).await, Ok(Ok(()))) {
                return Err(PortError::new(ErrorKind::Unavailable, operation, missing));
            }
        }
    }

    async fn connection(&self, server: usize, operation: &'static str) -> Result<Connection, PortError> {
        let unknown = || PortError::new(ErrorKind::Unavailable, operation, "there is no such server");
        self.servers.get(server).ok_or_else(unknown)?.take(operation).await.map_err(|not_taken| {
            if not_taken.is_servers_fault {
                self.doubt(server);
            }
            not_taken.error
        })
    }
}
