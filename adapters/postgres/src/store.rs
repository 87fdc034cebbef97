//! [`PostgresStore`]: units of work on the primary, views wherever they are fresh enough.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::ports::{
    CommitToken, Consistency, IdempotencyRepository, Observer, Outbox, ReadView, Seen, SessionQueries,
    SessionRepository, Store, UnitOfWork, UserQueries, UserRepository,
};
use portwright_domain::session::{Session, SessionId};
use portwright_domain::user::{User, UserId};
use portwright_domain::{ErrorKind, PortError, Race};
use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::time::{Instant, sleep};

use crate::config::PostgresConfig;
use crate::error::{Trouble, port_error, trouble_of};
use crate::lsn::{Place, timeline_of};
use crate::migrate;
use crate::pooled::{Pooled, bounded};
use crate::routing::{Routing, Watchers};
use crate::sessions::SessionsWithUsers;
use crate::together::{Shown, Together};
use crate::users::Users;

/// The transaction gets its number with its begin, so that its fate can be asked for if the answer to its commit is
/// lost; and the start of the server tells whether that number still means this transaction.
const BEGIN: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE; \
     SELECT pg_current_xact_id()::text, pg_postmaster_start_time()::text";

/// The position is read after the commit, where it is one that a replica can reach: the end of the log on the disk,
/// which has the commit in it since `synchronous_commit` is on. Read before the commit, it would not cover the commit;
/// and the end of the log in memory may be one that no replica ever shows. One round trip for both.
const COMMIT: &str =
    "COMMIT; SELECT pg_current_wal_flush_lsn()::text, pg_walfile_name(pg_current_wal_flush_lsn())";

/// How long the fate of a transaction is asked for when the answer to its commit was lost.
const RESOLVE: Duration = Duration::from_secs(3);

/// The store in one PostgreSQL database, with any number of streaming replicas. Clones share everything.
#[derive(Clone)]
pub struct PostgresStore {
    routing: Arc<Routing>,
    watchers: Arc<Watchers>,
    sessions: Arc<Together<SessionsWithUsers>>,
    users: Arc<Together<Users>>,
}

impl PostgresStore {
    /// Finds out which server is the primary, and brings its tables up to date or makes sure that they are. The observer
    /// is told who answers the reads that must show a certain commit.
    ///
    /// # Errors
    /// `Unavailable` if no server is the primary and reachable, with what is wrong with the first; `Misconfigured` if
    /// it refuses us, or its migrations are not this program's.
    pub async fn init(config: &PostgresConfig, observer: Arc<dyn Observer>) -> Result<Self, PortError> {
        let routing = Arc::new(Routing::new(config, observer)?);
        let watchers = Watchers::begin(&routing, config.look_every).await?;
        let (_, primary) = routing.primary_connection("store.init").await?;
        if let Some(primary) = routing.servers.get(primary) {
            migrate::prepare(&primary.options, config).await?;
        }
        Ok(Self {
            sessions: Together::new(&routing, Consistency::Strong),
            users: Together::new(&routing, Consistency::Eventual),
            routing,
            watchers: Arc::new(watchers),
        })
    }

    /// Hands out nothing more, and waits until what is in use has come back, for five seconds at most.
    pub async fn close(&self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        const PAUSE: Duration = Duration::from_millis(5);
        for server in &self.routing.servers {
            server.close();
        }
        self.watchers.stop();
        let deadline = Instant::now() + PATIENCE;
        while self.routing.servers.iter().any(|server| server.connections().0 > 0) {
            if Instant::now() >= deadline {
                tracing::warn!("the store was closed while it was in use");
                return;
            }
            sleep(PAUSE).await;
        }
    }

    pub(crate) fn routing(&self) -> &Routing {
        &self.routing
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn read(&self, consistency: Consistency) -> Result<Box<dyn ReadView>, PortError> {
        Ok(Box::new(PostgresView(self.routing.read(&consistency).await?, self.routing.clone())))
    }

    async fn session(&self, id: SessionId) -> Result<Option<(Session, User)>, PortError> {
        self.sessions.look_up(id.0).await.map(|shown| shown.found)
    }

    async fn user(&self, id: UserId, consistency: Consistency) -> Result<Seen<Option<User>>, PortError> {
        if consistency == Consistency::Eventual {
            return self
                .users
                .look_up(id.0)
                .await
                .map(|Shown { found, seen }| Seen { value: found, token: seen });
        }
        // Each of these has a state of its own that it must not be older than.
        let mut view = self.read(consistency).await?;
        let value = view.users().find(id).await?;
        Ok(Seen { value, token: view.seen() })
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, PortError> {
        const OPERATION: &str = "store.begin";
        let mut connection = self.routing.write(OPERATION).await?;
        // Before it is known to have begun, it may have.
        connection.begun();
        let patience = connection.patience();
        let question = sqlx::raw_sql(BEGIN).fetch_one(connection.ask(OPERATION)?);
        let answer = bounded(patience, question).await.and_then(|row| Identity::of(&row));
        let identity = answered(&mut connection, OPERATION, answer).await?;
        Ok(Box::new(PostgresUnitOfWork { connection, identity, routing: self.routing.clone() }))
    }
}

/// What was heard over a connection that cannot move.
async fn answered<T>(
    connection: &mut Pooled,
    operation: &'static str,
    answer: Result<T, sqlx::Error>,
) -> Result<T, PortError> {
    let moved = || Err(PortError::new(ErrorKind::Unavailable, operation, "the connection was given up"));
    connection.heard(operation, answer).await.unwrap_or_else(moved)
}

/// Each question is one statement, so it needs no transaction.
struct PostgresView(Pooled, Arc<Routing>);

impl ReadView for PostgresView {
    fn users(&mut self) -> &mut dyn UserQueries {
        &mut self.0
    }

    fn sessions(&mut self) -> &mut dyn SessionQueries {
        &mut self.0
    }

    fn seen(&self) -> Option<CommitToken> {
        self.0.seen().and_then(|place| self.1.token_of(place))
    }
}

/// Which transaction it is.
struct Identity {
    transaction: String,
    /// When its server started.
    server_since: String,
}

impl Identity {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { transaction: row.try_get(0)?, server_since: row.try_get(1)? })
    }
}

struct PostgresUnitOfWork {
    connection: Pooled,
    identity: Identity,
    routing: Arc<Routing>,
}

#[async_trait]
impl UnitOfWork for PostgresUnitOfWork {
    fn users(&mut self) -> &mut dyn UserRepository {
        &mut self.connection
    }

    fn sessions(&mut self) -> &mut dyn SessionRepository {
        &mut self.connection
    }

    fn idempotency(&mut self) -> &mut dyn IdempotencyRepository {
        &mut self.connection
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        &mut self.connection
    }

    async fn commit(mut self: Box<Self>) -> Result<CommitToken, PortError> {
        const OPERATION: &str = "store.commit";
        let patience = self.connection.patience();
        let question = sqlx::raw_sql(COMMIT).fetch_one(self.connection.ask(OPERATION)?);
        let answer = bounded(patience, question).await;
        let is_lost = answer.as_ref().is_err_and(|error| trouble_of(error) == Trouble::Server);
        let answer = answer.and_then(|row| place(&row));
        let answer = answered(&mut self.connection, OPERATION, answer).await;
        if is_lost {
            return fate_of(&self.identity, &self.routing).await.map(Place::token);
        }
        let place = answer?;
        self.connection.ended();
        Ok(place.token())
    }

    async fn rollback(mut self: Box<Self>) -> Result<(), PortError> {
        const OPERATION: &str = "store.rollback";
        if self.connection.is_usable() {
            let patience = self.connection.patience();
            let question = sqlx::raw_sql("ROLLBACK").execute(self.connection.ask(OPERATION)?);
            let answer = bounded(patience, question).await;
            answered(&mut self.connection, OPERATION, answer).await?;
            self.connection.ended();
        }
        Ok(())
    }
}

fn place(row: &PgRow) -> Result<Place, sqlx::Error> {
    let unreadable = || sqlx::Error::Decode("the server does not say where its log ends".into());
    let lsn = row.try_get::<&str, _>(0)?.parse().map_err(|_| unreadable())?;
    let timeline = timeline_of(row.try_get(1)?).ok_or_else(unreadable)?;
    Ok(Place { timeline, lsn })
}

/// Whether a transaction was committed whose answer was lost: a place that shows it, or why nobody knows.
///
/// Its number means it for as long as the server has not been restarted. After a restart it may be another's, unless
/// it is known to have failed; so then the fate stays unknown, and whoever asked may ask again under the same
/// idempotency key.
async fn fate_of(identity: &Identity, routing: &Routing) -> Result<Place, PortError> {
    const OPERATION: &str = "store.commit";
    const STATUS: &str = "SELECT pg_current_wal_flush_lsn()::text, pg_walfile_name(pg_current_wal_flush_lsn()), \
         pg_xact_status($1::xid8), pg_postmaster_start_time()::text";
    let unknown = |detail| PortError::new(ErrorKind::Unavailable, OPERATION, detail);
    let nothing_happened = || {
        PortError::new(ErrorKind::Contended, OPERATION, "the connection broke before the commit")
            .with_race(Race::Connection)
    };
    let deadline = Instant::now() + RESOLVE;
    while Instant::now() < deadline {
        if let Ok((mut connection, _)) = routing.primary_connection(OPERATION).await {
            let question = sqlx::query(STATUS).bind(&identity.transaction).fetch_one(&mut *connection);
            match bounded(RESOLVE, question).await {
                Ok(row) => {
                    let read = |error| port_error(OPERATION, error);
                    let is_same_server = row.try_get::<&str, _>(3).map_err(read)? == identity.server_since;
                    match row.try_get::<Option<&str>, _>(2).map_err(read)? {
                        Some("committed") if is_same_server => return place(&row).map_err(read),
                        Some("aborted") => return Err(nothing_happened()),
                        Some("in progress") if is_same_server => {}
                        _ => return Err(unknown("the server was restarted during the commit")),
                    }
                }
                // A number that the server has never given: it forgot the transaction in a crash.
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("22023") => {
                    return Err(nothing_happened());
                }
                Err(_) => drop(deadpool::managed::Object::take(connection)),
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(unknown("the connection broke during the commit, and the database does not answer"))
}
