//! [`PostgresConfig`]: which servers, and how much of them may be used.

use std::time::Duration;

use portwright_domain::{ErrorKind, PortError};
use sqlx::postgres::PgConnectOptions;

use crate::url::options_of;

/// The servers of one database and how they are used. Which of them is the primary is found out, and again after every
/// failover.
#[derive(Clone)]
pub struct PostgresConfig {
    pub(crate) servers: Vec<PgConnectOptions>,
    /// Connections to each server at most; at least 2.
    pub connections: u32,
    /// How long to wait for a free connection before giving up.
    pub wait: Duration,
    /// How long opening a connection may take.
    pub connect: Duration,
    /// How long one statement may take; the server cancels it then.
    pub statement: Duration,
    /// A replica that shows a state older than this answers only where nobody else can.
    pub max_lag: Duration,
    /// How long a read waits for a replica that has not replayed the commit it must show, before the primary is asked.
    /// Nobody waits for one that is known to be further behind.
    pub catch_up: Duration,
    /// How often each server is looked at.
    pub look_every: Duration,
    /// Whether a start applies pending migrations; if not, it is refused while one is pending.
    pub migrate: bool,
}

impl PostgresConfig {
    /// The database at these URLs, in any order: `postgres://user:password@host:port/database?sslmode=…`. Ten connections
    /// to each, 250 ms to get one, 10 s per statement, replicas up to 5 s behind.
    ///
    /// What is asked of TLS is what libpq understands, or more: `allow` means `prefer`; and whoever names an authority
    /// (`sslrootcert`) wants it to be asked, which makes `verify-ca` of `require` and `verify-full` of less. That authority is
    /// trusted besides those of this machine; `system` means the latter alone, and `verify-full`.
    ///
    /// # Errors
    /// `Misconfigured` if one is no such URL, has a parameter that is not obeyed, or there is none. The URL is not in the
    /// error: it may hold a password.
    pub fn at<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Result<Self, PortError> {
        let refused = |detail: String| PortError::new(ErrorKind::Misconfigured, "store.init", detail);
        let servers = urls
            .into_iter()
            .map(|url| options_of(url.as_ref()).map_err(refused))
            .collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(refused("no database server is given".to_owned()));
        }
        Ok(Self {
            servers,
            connections: 10,
            wait: Duration::from_millis(250),
            connect: Duration::from_secs(2),
            statement: Duration::from_secs(10),
            max_lag: Duration::from_secs(5),
            catch_up: Duration::from_millis(60),
            look_every: Duration::from_millis(250),
            migrate: true,
        })
    }

    /// Each server as `host:port`, in the order of their URLs.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.servers.iter().map(crate::server::name_of).collect()
    }
}

impl std::fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresConfig").field("servers", &self.names()).finish_non_exhaustive()
    }
}
