//! What an operator wants to know of the servers when something is wrong, or before it is. Nothing is changed by asking.

use std::error::Error;
use std::io;
use std::time::Duration;

use portwright_domain::ports::{Clock, Obstacle};
use redis::aio::MultiplexedConnection;
use redis::{
    Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, RedisConnectionInfo, RedisError,
    RedisResult, Value,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::RedisConfig;
use crate::config::name_of;
use crate::connection::slow;
use crate::health::value_of;
use crate::keeper::{connect, open};

/// No question of a diagnosis takes longer than this.
const ANSWER: Duration = Duration::from_secs(2);

/// One server, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `host:port`.
    pub server: String,
    /// The port, if it has one.
    pub port: Option<u16>,
    /// Why it cannot be used.
    pub obstacle: Option<Obstacle>,
}

/// What the server that takes our writes says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `host:port`.
    pub server: String,
    /// Such as `7.0.15`.
    pub version: String,
    /// How far its clock is ahead of ours, in microseconds; as precise as half of the round trip.
    pub clock_ahead: i64,
    /// What becomes of keys when its memory is full: `noeviction` keeps them.
    pub eviction: String,
    /// Whether it writes what it is told to a file.
    pub appends: bool,
    /// Whether it can at present.
    pub append_works: bool,
    /// How often that file is synced to the disk (`appendfsync`); `None` if our user may not ask.
    pub syncs: Option<String>,
    /// Bytes that its data takes.
    pub memory: u64,
    /// Bytes that it may take; 0 if there is no limit.
    pub memory_limit: u64,
}

/// Looks at every server at once, in the order of their URLs; takes four seconds at most.
pub async fn look(config: &RedisConfig) -> Vec<Found> {
    let mut looks = JoinSet::new();
    for (at, server) in config.servers.iter().cloned().enumerate() {
        let within = config.connect;
        looks.spawn(async move {
            let mut obstacle = ping(&server, within).await.err();
            if let Some(found) = &mut obstacle
                && !found.is_understood()
                && let Some(truth) = disagreement(&server, within).await
            {
                *found = truth;
            }
            (at, Found { server: name_of(&server), port: port_of(&server), obstacle })
        });
    }
    let mut found = looks.join_all().await;
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, found)| found).collect()
}

async fn ping(server: &ConnectionInfo, within: Duration) -> Result<(), Obstacle> {
    let answer = async {
        let mut connection = open(server, within).await?;
        ask::<Value>(&mut connection, &redis::cmd("PING")).await
    };
    answer.await.map(|_pong| ()).map_err(|error| obstacle(&error))
}

/// Whether one of us speaks TLS and the other does not. A server says so to nobody: it hangs up, or waits for the rest of
/// what it does not understand. So it is greeted the other way, without a password, which must not be seen on the way.
async fn disagreement(server: &ConnectionInfo, within: Duration) -> Option<Obstacle> {
    let (address, truth) = match server.addr().clone() {
        ConnectionAddr::Tcp(host, port) => {
            (ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }, Obstacle::OnlyTls)
        }
        ConnectionAddr::TcpTls { host, port, .. } => (ConnectionAddr::Tcp(host, port), Obstacle::NoTls),
        _ => return None,
    };
    let other = server.clone().set_addr(address).set_redis_settings(RedisConnectionInfo::default());
    let answer = timeout(within, ping(&other, within)).await.ok()?;
    answer.err().is_none_or(|obstacle| obstacle.is_understood()).then_some(truth)
}

/// Asks the server that takes our writes.
///
/// # Errors
/// What stands in the way.
pub async fn examine(config: &RedisConfig, clock: &dyn Clock) -> Result<Facts, Obstacle> {
    let asked = async {
        let mut link = connect(config).await?;
        let before = clock.now();
        let (seconds, micros): (i64, i64) = ask(&mut link.connection, &redis::cmd("TIME")).await?;
        let after = clock.now();
        let ours = before.plus(after.since(before) / 2).unix_micros();
        let info: String = ask(&mut link.connection, &redis::cmd("INFO")).await?;
        let setting = redis::cmd("CONFIG").arg("GET").arg("appendfsync").to_owned();
        // Who runs Redis for others lets nobody ask.
        let syncs: Option<Vec<String>> = ask(&mut link.connection, &setting).await.ok();
        let number = |name| value_of(&info, name).parse().unwrap_or(0);
        Ok::<_, RedisError>(Facts {
            server: name_of(&link.server),
            version: value_of(&info, "redis_version").to_owned(),
            clock_ahead: seconds.saturating_mul(1_000_000).saturating_add(micros).saturating_sub(ours),
            eviction: value_of(&info, "maxmemory_policy").to_owned(),
            appends: value_of(&info, "aof_enabled") == "1",
            append_works: value_of(&info, "aof_last_write_status") == "ok",
            syncs: syncs.and_then(|pair| pair.into_iter().nth(1)),
            memory: number("used_memory"),
            memory_limit: number("maxmemory"),
        })
    };
    asked.await.map_err(|error| obstacle(&error))
}

async fn ask<T: FromRedisValue>(connection: &mut MultiplexedConnection, command: &Cmd) -> RedisResult<T> {
    let answer = timeout(ANSWER, connection.send_packed_command(command)).await;
    let answer = answer.unwrap_or_else(|_elapsed| Err(slow())).and_then(Value::extract_error)?;
    Ok(T::from_redis_value(answer)?)
}

fn port_of(server: &ConnectionInfo) -> Option<u16> {
    match server.addr() {
        ConnectionAddr::Tcp(_, port) | ConnectionAddr::TcpTls { port, .. } => Some(*port),
        _ => None,
    }
}

/// Why the server cannot be used.
fn obstacle(error: &RedisError) -> Obstacle {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(deeper) = cause {
        if let Some(error) = deeper.downcast_ref::<io::Error>() {
            return Obstacle::of_io(error);
        }
        cause = deeper.source();
    }
    let rest = error.detail().unwrap_or_default();
    let said = match error.code() {
        Some(code) => format!("{code} {rest}"),
        None => error.to_string(),
    };
    match error.code() {
        Some("NOAUTH" | "WRONGPASS") => Obstacle::Credentials(said),
        Some("NOPERM") => Obstacle::Forbidden(said),
        Some("LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "BUSY") => Obstacle::Busy(said),
        Some(_) if rest.contains("password") => Obstacle::Credentials(said),
        Some(_) if rest.contains("DB index") => Obstacle::Absent(said),
        Some(_) if rest.contains("max number of clients") => Obstacle::Busy(said),
        _ if error.kind() == ErrorKind::AuthenticationFailed => Obstacle::Credentials(said),
        _ if error.is_connection_refusal() => Obstacle::Refused,
        _ if error.is_timeout() => Obstacle::Silent,
        _ if error.is_connection_dropped() => Obstacle::HungUp,
        // The certificates of authorities cannot be read.
        _ if error.kind() == ErrorKind::InvalidClientConfig => Obstacle::Tls(said),
        _ => Obstacle::of_tls(&said).unwrap_or(Obstacle::Other(said)),
    }
}
