//! [`Watchers`]: a task for each server that looks at it again and again.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::PortError;
use sqlx::{PgConnection, Row};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

use super::{Role, Routing};
use crate::error::port_error;
use crate::lsn::{Place, timeline_of};
use crate::pooled::bounded;
use crate::server::open;

/// A server that takes longer than this for a look is away.
const GLANCE: Duration = Duration::from_secs(1);
/// A replica is sooner: others answer for it, and whoever asks it meanwhile waits.
const GLANCE_AT_REPLICA: Duration = Duration::from_millis(500);

/// On a standby, how far the log is replayed and which timeline is received; else how far it is on the disk and in
/// which file. What is received is seen by who may read all statistics (`pg_read_all_stats`).
const LOOK: &str = "SELECT pg_is_in_recovery(), \
     CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END::text, \
     CASE WHEN pg_is_in_recovery() THEN (SELECT received_tli FROM pg_stat_wal_receiver) END, \
     CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_flush_lsn()) END";

/// Looks for as long as it lives, or until it is stopped.
pub(crate) struct Watchers {
    _tasks: JoinSet<()>,
    stops: Vec<AbortHandle>,
}

impl Watchers {
    /// Has looked at each server once when it returns.
    ///
    /// # Errors
    /// What is wrong with the first server, if there is no primary.
    pub(crate) async fn begin(routing: &Arc<Routing>, every: Duration) -> Result<Self, PortError> {
        let (mut tasks, mut first_looks) = (JoinSet::new(), JoinSet::new());
        for server in 0..routing.servers.len() {
            let routing = routing.clone();
            first_looks.spawn(async move {
                let mut watch = Watch { routing, server, connection: None };
                let looked = watch.look().await;
                (watch, looked.map_err(|error| port_error("store.init", error)))
            });
        }
        let (mut refusals, mut stops) = (Vec::new(), Vec::new());
        while let Some(Ok((watch, looked))) = first_looks.join_next().await {
            refusals.extend(looked.err().map(|error| (watch.name().to_owned(), error)));
            stops.push(tasks.spawn(watch.run(every)));
        }
        if routing.standings().newest_primary().is_err() && !refusals.is_empty() {
            return Err(refusals.swap_remove(0).1);
        }
        for (server, error) in refusals {
            tracing::warn!(server, %error, "a database server does not answer; the others do without it");
        }
        Ok(Self { _tasks: tasks, stops })
    }

    /// Looks no more.
    pub(crate) fn stop(&self) {
        self.stops.iter().for_each(AbortHandle::abort);
    }
}

struct Watch {
    routing: Arc<Routing>,
    server: usize,
    connection: Option<PgConnection>,
}

impl Watch {
    async fn run(mut self, every: Duration) {
        loop {
            if let Some(doubts) = self.routing.doubts.get(self.server) {
                // Whichever comes first.
                let _ = timeout(every, doubts.notified()).await;
            }
            if let Err(error) = self.look().await {
                tracing::debug!(server = self.name(), %error, "a database server does not answer");
            }
        }
    }

    /// Looks, over a new connection if the one there was is broken, and notes what it saw.
    async fn look(&mut self) -> Result<(), sqlx::Error> {
        let began = Instant::now();
        let mut seen = match self.connection.take() {
            Some(connection) => self.glance(connection).await,
            None => Err(sqlx::Error::WorkerCrashed),
        };
        if seen.as_ref().is_err_and(is_silence) {
            self.note_silence(began);
        }
        if seen.is_err() {
            seen = match self.routing.servers.get(self.server) {
                Some(server) => match open(&server.options, GLANCE).await {
                    Ok(connection) => self.glance(connection).await,
                    Err(error) => Err(error),
                },
                None => seen,
            };
        }
        self.note(*seen.as_ref().unwrap_or(&Role::Away), began);
        seen.map(drop)
    }

    async fn glance(&mut self, mut connection: PgConnection) -> Result<Role, sqlx::Error> {
        let within = if self.is_replica() { GLANCE_AT_REPLICA } else { GLANCE };
        let row = bounded(within, sqlx::query(LOOK).fetch_one(&mut connection)).await?;
        let lsn = row.try_get::<Option<String>, _>(1)?.unwrap_or_default().parse().unwrap_or_default();
        let role = if row.try_get(0)? {
            let timeline =
                row.try_get::<Option<i32>, _>(2)?.and_then(|timeline| u32::try_from(timeline).ok());
            Role::Standby(Place { timeline: timeline.unwrap_or_default(), lsn })
        } else {
            let file: String = row.try_get(3)?;
            Role::Primary(Place { timeline: timeline_of(&file).unwrap_or_default(), lsn })
        };
        self.connection = Some(connection);
        Ok(role)
    }

    fn is_replica(&self) -> bool {
        matches!(self.routing.standings.borrow().roles.get(self.server), Some(Role::Standby(_)))
    }

    /// A replica that says nothing is away before it is known whether another connection would do.
    fn note_silence(&self, looked: Instant) {
        if self.is_replica() {
            self.note(Role::Away, looked);
        }
    }

    fn note(&self, role: Role, looked: Instant) {
        let mut before = None;
        self.routing.standings.send_if_modified(|standings| {
            before = standings.last_seen(self.server);
            standings.saw(self.server, role, looked)
        });
        // The first sight of a server is no change.
        let Some(before) = before else { return };
        if std::mem::discriminant(&before) != std::mem::discriminant(&role) {
            // They were opened to what it was before.
            if let Some(server) = self.routing.servers.get(self.server) {
                server.forget_connections();
            }
            let was = Shown(before);
            let is = Shown(role);
            tracing::warn!(server = self.name(), %was, %is, "a database server has changed its role");
        }
    }

    fn name(&self) -> &str {
        self.routing.servers.get(self.server).map_or("", |server| &server.name)
    }
}

fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// A role in a word.
struct Shown(Role);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Role::Away => "away",
            Role::Primary(_) => "primary",
            Role::Standby(_) => "standby",
        })
    }
}
