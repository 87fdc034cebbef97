//! [`RedisConfig`]: which servers, which keys, and how long anything may take.

use std::fmt;
use std::time::Duration;

use portwright_domain::{ErrorKind, PortError};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

/// The servers of one Redis, and how they are used. Which of them takes the writes is found out, and again after every
/// failover.
#[derive(Clone)]
pub struct RedisConfig {
    pub(crate) servers: Vec<ConnectionInfo>,
    pub(crate) namespace: String,
    /// How long a question waits for a connection that is being made, before it is `Unavailable`.
    pub wait: Duration,
    /// How long opening a connection may take.
    pub connect: Duration,
    /// How long an answer may take, where the adapter's own configuration says nothing else.
    pub response: Duration,
    /// Takes jobs even where Redis may lose them: because it evicts keys when its memory is full, or because it keeps
    /// nothing on a disk. For development.
    pub may_lose_jobs: bool,
}

impl RedisConfig {
    /// The Redis at these URLs, in any order: `redis://user:password@host:port/db`, or `rediss://` for TLS. Several are a
    /// primary with its replicas, or some members of a cluster. Keys begin with `{portwright}`; 500 ms for an answer.
    ///
    /// # Errors
    /// `Misconfigured` if one is no such URL, or there is none. The URL is not in the error: it may hold a password.
    pub fn at<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Result<Self, PortError> {
        let servers = urls
            .into_iter()
            .map(|url| url.as_ref().into_connection_info())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| refused("a Redis URL is not redis://user:password@host:port/db"))?;
        if servers.is_empty() {
            return Err(refused("no Redis server is given"));
        }
        Ok(Self {
            servers,
            namespace: "portwright".to_owned(),
            wait: Duration::from_millis(500),
            connect: Duration::from_secs(1),
            response: Duration::from_millis(500),
            may_lose_jobs: false,
        })
    }

    /// The same servers with keys of their own, which begin with this name in braces: so all of them are in one slot of
    /// a cluster, where a script may touch them together.
    ///
    /// # Errors
    /// `Misconfigured` if it is not 1 to 100 of `a-z`, `0-9`, `.`, `_` and `-`.
    pub fn in_namespace(mut self, namespace: &str) -> Result<Self, PortError> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
        if namespace.is_empty() || namespace.len() > 100 || !namespace.bytes().all(allowed) {
            return Err(refused("a namespace is 1 to 100 of a-z, 0-9, '.', '_' and '-'"));
        }
        namespace.clone_into(&mut self.namespace);
        Ok(self)
    }

    /// Where the servers are, for people; nothing secret.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.servers.iter().map(name_of).collect()
    }

    /// The key of this name.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.namespace)
    }
}

fn refused(detail: &'static str) -> PortError {
    PortError::new(ErrorKind::Misconfigured, "redis.init", detail)
}

/// Where a server is, for people; nothing secret.
pub(crate) fn name_of(server: &ConnectionInfo) -> String {
    match server.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            format!("{host}:{port}")
        }
        ConnectionAddr::Unix(path) => path.display().to_string(),
        _ => "?".to_owned(),
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("servers", &self.names())
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_neither_shown_nor_in_an_error() {
        let config = RedisConfig::at(["redis://user:hunter2@127.0.0.1:6380/3"]).expect("a URL");
        assert_eq!(
            format!("{config:?}"),
            "RedisConfig { servers: [\"127.0.0.1:6380\"], namespace: \"portwright\", .. }"
        );
        let refused = RedisConfig::at(["http://user:hunter2@127.0.0.1"]).expect_err("no Redis");
        assert_eq!(refused.kind(), ErrorKind::Misconfigured);
        assert!(!format!("{refused:?} {refused}").contains("hunter2"));
    }

    #[test]
    fn all_keys_share_the_tag_of_the_namespace() {
        let config = RedisConfig::at(["redis://127.0.0.1"]).expect("a URL").in_namespace("blue");
        assert_eq!(config.expect("a name").key("jobs"), "{blue}:jobs");
        let config = RedisConfig::at(["redis://127.0.0.1"]).expect("a URL");
        assert!(config.in_namespace("a}b").is_err());
    }
}
