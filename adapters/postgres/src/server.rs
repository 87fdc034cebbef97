//! [`Server`]: one PostgreSQL server and our connections to it.

use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleResult, TimeoutType};
use portwright_domain::{ErrorKind, PortError};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use crate::config::PostgresConfig;
use crate::error::port_error;

/// A connection that goes back to its pool when it is dropped.
pub(crate) type Connection = Object<Opens>;

/// Those who wait for a connection are at most this many times as many as there are connections. Units of work take
/// milliseconds, so who waits in a shorter queue is served in time.
const WAITING: usize = 16;

/// Opens connections.
pub(crate) struct Opens {
    options: PgConnectOptions,
    within: Duration,
}

impl Manager for Opens {
    type Type = PgConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<PgConnection, sqlx::Error> {
        open(&self.options, self.within).await
    }

    /// What is not fit to be used again never comes back; see `Pooled`.
    async fn recycle(&self, _: &mut PgConnection, _: &Metrics) -> RecycleResult<sqlx::Error> {
        Ok(())
    }
}

/// Opens one connection, for as long as this may take.
pub(crate) async fn open(options: &PgConnectOptions, within: Duration) -> Result<PgConnection, sqlx::Error> {
    let opened = tokio::time::timeout(within, options.connect()).await;
    opened.unwrap_or_else(|_elapsed| {
        let slow = std::io::Error::new(std::io::ErrorKind::TimedOut, "the server does not answer");
        Err(sqlx::Error::Io(slow))
    })
}

/// One server, whatever its role is at present.
pub(crate) struct Server {
    /// `host:port`, for people.
    pub(crate) name: String,
    /// For connections outside of the pool.
    pub(crate) options: PgConnectOptions,
    pool: Pool<Opens>,
}

impl Server {
    pub(crate) fn of(options: &PgConnectOptions, config: &PostgresConfig) -> Result<Self, PortError> {
        let name = name_of(options);
        let options = settled(options.clone(), config.statement);
        let opens = Opens { options: options.clone(), within: config.connect };
        let pool = Pool::builder(opens)
            .max_size(config.connections.max(2) as usize)
            .wait_timeout(Some(config.wait))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| {
                PortError::new(ErrorKind::Misconfigured, "store.init", "no pool of connections")
                    .with_source(error)
            })?;
        Ok(Self { name, options, pool })
    }

    /// A connection at rest.
    pub(crate) async fn take(&self, operation: &'static str) -> Result<Connection, NotTaken> {
        let ours = |detail| NotTaken {
            error: PortError::new(ErrorKind::Unavailable, operation, detail),
            is_servers_fault: false,
        };
        let pool = self.pool.status();
        if pool.waiting >= pool.max_size.saturating_mul(WAITING) && !self.pool.is_closed() {
            return Err(ours("too many wait for a connection"));
        }
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => {
                NotTaken { error: port_error(operation, error), is_servers_fault: true }
            }
            PoolError::Timeout(TimeoutType::Wait) => ours("no connection was free in time"),
            PoolError::Closed => ours("the store is closed"),
            PoolError::Timeout(_) | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                ours("the pool of connections is unusable")
            }
        })
    }

    /// Closes the connections that nobody uses: they were opened to what the server was before.
    pub(crate) fn forget_connections(&self) {
        self.pool.retain(|_, _| false);
    }

    /// Hands out nothing more.
    pub(crate) fn close(&self) {
        self.pool.close();
    }

    /// How many connections are open, and how many of them are in use.
    pub(crate) fn connections(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size, status.size.saturating_sub(status.available))
    }
}

/// Why there was no connection.
pub(crate) struct NotTaken {
    pub(crate) error: PortError,
    /// Whether it is a reason to look at the server; if not, we have used up what we may.
    pub(crate) is_servers_fault: bool,
}

/// Every session has the same bounds, whatever the server's defaults are.
fn settled(options: PgConnectOptions, statement: Duration) -> PgConnectOptions {
    let milliseconds = |duration: Duration| format!("{}ms", duration.as_millis());
    options
        .application_name("portwright")
        .options([
            ("statement_timeout", milliseconds(statement).as_str()),
            ("lock_timeout", "2s"),
            ("idle_in_transaction_session_timeout", "10s"),
            // A statement whose client is gone is stopped within this time.
            ("client_connection_check_interval", "500ms"),
            // A commit that is answered is on the disk, and its position in the log is known.
            ("synchronous_commit", "on"),
        ])
        .disable_statement_logging()
}

/// `host:port`.
pub(crate) fn name_of(options: &PgConnectOptions) -> String {
    format!("{}:{}", options.get_host(), options.get_port())
}
