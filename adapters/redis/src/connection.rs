//! [`Connection`]: the one way to Redis that all questions of an adapter share, which is made again whenever it breaks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portwright_domain::{ErrorKind, PortError};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisError, RedisResult};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::RedisConfig;
use crate::error::{Trouble, port_error, trouble_of};
use crate::keeper::{self, Link};
use crate::script::Script;

/// A connection to the server that takes writes, which the cache, the limiter and the health of a process share. Cheap
/// to clone; it is kept open for as long as one of them lives.
///
/// Questions of many callers travel on it one behind the other, none waits for the answer to another.
#[derive(Clone)]
pub struct Connection {
    link: watch::Receiver<Option<Link>>,
    /// The numbers of links that somebody had trouble with.
    doubts: mpsc::UnboundedSender<u64>,
    config: Arc<RedisConfig>,
    _keeper: Arc<JoinSet<()>>,
}

// Nothing that blocks may be asked here: see `Connection::apart`.
impl Connection {
    /// Connects to the server that takes writes. From then on, a connection that breaks is made again, for ever.
    ///
    /// # Errors
    /// `Misconfigured` if the user, the password or the database is wrong; `Unavailable` if no server takes writes.
    pub async fn init(config: &RedisConfig) -> Result<Self, PortError> {
        Self::open(config, "redis.init").await
    }

    /// What was configured.
    pub(crate) fn config(&self) -> &RedisConfig {
        &self.config
    }

    /// The same for an adapter that has one of its own, whose name is in the errors.
    pub(crate) async fn open(config: &RedisConfig, operation: &'static str) -> Result<Self, PortError> {
        let config = Arc::new(config.clone());
        let first = keeper::connect(&config).await.map_err(|error| port_error(operation, error))?;
        let (doubts, doubted) = mpsc::unbounded_channel();
        let (show, link) = watch::channel(None);
        let mut keeper = JoinSet::new();
        keeper.spawn(keeper::keep(config.clone(), first, show, doubted));
        let connection = Self { link, doubts, config, _keeper: Arc::new(keeper) };
        connection.usable(operation).await?;
        Ok(connection)
    }

    /// What Redis answers to this command.
    pub(crate) async fn ask<T: FromRedisValue>(
        &self,
        operation: &'static str,
        command: &Cmd,
    ) -> Result<T, PortError> {
        self.ask_within(operation, command, self.config.response).await
    }

    /// What Redis answers to this command, if it does so in this time.
    ///
    /// # Errors
    /// Also after the time is over, the command may have been carried out, or be carried out later.
    pub(crate) async fn ask_within<T: FromRedisValue>(
        &self,
        operation: &'static str,
        command: &Cmd,
        within: Duration,
    ) -> Result<T, PortError> {
        let mut link = self.usable(operation).await?;
        let answer = self.hear(&mut link, command, within).await;
        answer.map_err(|error| port_error(operation, error))
    }

    /// What this script answers; Redis is told the script again if it has forgotten it.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        operation: &'static str,
        script: &Script,
        keys: &[&str],
        arguments: &[&[u8]],
        within: Duration,
    ) -> Result<T, PortError> {
        let mut link = self.usable(operation).await?;
        let by_hash = script.by_hash(keys, arguments);
        let answer = match self.hear(&mut link, &by_hash, within).await {
            Err(error) if trouble_of(&error) == Trouble::NoScript => {
                self.hear(&mut link, &script.by_body(keys, arguments), within).await
            }
            answer => answer,
        };
        answer.map_err(|error| port_error(operation, error))
    }

    /// A connection of its own to the same server, for commands that block.
    pub(crate) async fn apart(&self, operation: &'static str) -> Result<MultiplexedConnection, PortError> {
        let server = self.usable(operation).await?.server;
        let opened = keeper::open(&server, self.config.connect).await;
        opened.map_err(|error| port_error(operation, error))
    }

    /// Changes whenever the connection was made again.
    pub(crate) fn number(&self) -> Option<u64> {
        self.link.borrow().as_ref().map(|link| link.number)
    }

    async fn hear<T: FromRedisValue>(
        &self,
        link: &mut Link,
        command: &Cmd,
        within: Duration,
    ) -> RedisResult<T> {
        let asked = link.connection.send_packed_command(command);
        let answer = timeout(within, asked).await.unwrap_or_else(|_elapsed| Err(slow()));
        let answer = answer.and_then(redis::Value::extract_error);
        // Who is in a hurry must not have the connection closed under the others.
        if let Err(error) = &answer
            && trouble_of(error) == Trouble::Server
            && (!error.is_timeout() || within >= self.config.response)
        {
            // An error is a keeper that has ended, and with it everything does.
            self.doubts.send(link.number).ok();
        }
        answer.and_then(|value| Ok(T::from_redis_value(value)?))
    }

    /// The link, once there is one.
    async fn usable(&self, operation: &'static str) -> Result<Link, PortError> {
        if let Some(link) = self.link.borrow().as_ref() {
            return Ok(link.clone());
        }
        let away = || PortError::new(ErrorKind::Unavailable, operation, "there is no connection to Redis");
        let mut links = self.link.clone();
        let link = timeout(self.config.wait, links.wait_for(Option::is_some)).await;
        let link = link.map_err(|_elapsed| away())?.map_err(|_closed| away())?;
        link.clone().ok_or_else(away)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnection").field("number", &self.number()).finish_non_exhaustive()
    }
}

/// That an answer did not come in time.
pub(crate) fn slow() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time").into()
}
