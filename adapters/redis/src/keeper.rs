//! Finding the server that takes writes, and keeping a connection to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisResult, Value};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::RedisConfig;
use crate::config::name_of;
use crate::connection::slow;

/// How often a connection that nobody complains about is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The first wait after a vain attempt to connect; twice as long after each further one, up to [`LAST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_millis(500);
/// So many servers are asked at most until one takes writes, in case they point at each other.
const HOPS: usize = 16;

/// A connection to the server that takes writes.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) server: ConnectionInfo,
    /// Later links have higher numbers.
    pub(crate) number: u64,
}

/// Shows a link whenever there is one, from this first one on, for as long as anybody could doubt it.
pub(crate) async fn keep(
    config: Arc<RedisConfig>,
    mut link: Link,
    show: watch::Sender<Option<Link>>,
    mut doubted: mpsc::UnboundedReceiver<u64>,
) {
    loop {
        show.send_replace(Some(link.clone()));
        if !breaks(&config, &mut link, &mut doubted).await {
            return;
        }
        show.send_replace(None);
        tracing::warn!(server = name_of(&link.server), "the connection to Redis is made again");
        let number = link.number + 1;
        let mut wait = FIRST_WAIT;
        link = loop {
            match connect(&config).await {
                Ok(link) => break Link { number, ..link },
                Err(error) => {
                    tracing::debug!(%error, "no Redis server takes writes");
                    sleep(jittered(wait, number)).await;
                    wait = (wait * 2).min(LAST_WAIT);
                }
            }
        };
        tracing::info!(server = name_of(&link.server), "Redis answers again");
    }
}

/// Waits until the link is of no use; false if nobody uses it any more.
async fn breaks(config: &RedisConfig, link: &mut Link, doubted: &mut mpsc::UnboundedReceiver<u64>) -> bool {
    loop {
        match timeout(LOOK_EVERY, doubted.recv()).await {
            Ok(None) => return false,
            Ok(Some(number)) if number == link.number => return true,
            // A doubt about an earlier link.
            Ok(Some(_)) => {}
            Err(_elapsed) => {
                let ping = redis::cmd("PING");
                let asked = link.connection.send_packed_command(&ping);
                if !matches!(timeout(config.response, asked).await, Ok(Ok(Value::SimpleString(_)))) {
                    return true;
                }
            }
        }
    }
}

/// Between half of this and all of it, so that those who lost a server together do not come back together.
fn jittered(wait: Duration, number: u64) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let chance = RandomState::new().hash_one(number) % 1_000;
    wait / 2 + wait / 2 * u32::try_from(chance).unwrap_or(0) / 1_000
}

/// A connection to the server that takes writes: the primary, or in a cluster the one with our keys.
pub(crate) async fn connect(config: &RedisConfig) -> RedisResult<Link> {
    let mut candidates: VecDeque<ConnectionInfo> = config.servers.iter().cloned().collect();
    let mut refusal = slow();
    for _ in 0..HOPS {
        let Some(server) = candidates.pop_front() else {
            break;
        };
        match reach(config, &server).await {
            Ok(Reached::Writes(connection)) => return Ok(Link { connection, server, number: 0 }),
            Ok(Reached::Elsewhere(host, port)) => candidates.push_front(at(&server, host, port)),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

enum Reached {
    Writes(MultiplexedConnection),
    /// Who has our keys in a cluster, or whose replica this is.
    Elsewhere(String, u16),
}

async fn reach(config: &RedisConfig, server: &ConnectionInfo) -> RedisResult<Reached> {
    let mut connection = open(server, config.connect).await?;
    let mut ask = async |command: &redis::Cmd| {
        let answer = timeout(config.response, connection.send_packed_command(command)).await;
        answer.unwrap_or_else(|_elapsed| Err(slow())).and_then(Value::extract_error)
    };
    match ask(redis::cmd("EXISTS").arg(config.key("here"))).await {
        Ok(_) => {}
        Err(error) => {
            let address = error.redirect_node().and_then(|(address, _slot)| address.rsplit_once(':'));
            let Some((host, Ok(port))) = address.map(|(host, port)| (host, port.parse())) else {
                return Err(error);
            };
            // So a server says that it does not know its own name.
            let host = if matches!(host, "" | "?") { host_of(server) } else { host.to_owned() };
            return Ok(Reached::Elsewhere(host, port));
        }
    }
    // Who may not ask finds out when it writes.
    let Ok(Value::Array(role)) = ask(&redis::cmd("ROLE")).await else {
        return Ok(Reached::Writes(connection));
    };
    match role.as_slice() {
        [Value::BulkString(is), Value::BulkString(host), Value::Int(port), ..] if is == b"slave" => {
            let host = String::from_utf8_lossy(host).into_owned();
            Ok(Reached::Elsewhere(host, u16::try_from(*port).unwrap_or_default()))
        }
        _ => Ok(Reached::Writes(connection)),
    }
}

/// A new connection to this server.
pub(crate) async fn open(server: &ConnectionInfo, within: Duration) -> RedisResult<MultiplexedConnection> {
    let bounds = AsyncConnectionConfig::new().set_connection_timeout(Some(within)).set_response_timeout(None);
    let opened = Client::open(server.clone())?;
    let opened = opened.get_multiplexed_async_connection_with_config(&bounds);
    // The driver's own bound is for the socket, not for the handshakes behind it.
    timeout(within, opened).await.unwrap_or_else(|_elapsed| Err(slow()))
}

/// The same way in, on another host.
fn at(server: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let address = match server.addr().clone() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    server.clone().set_addr(address)
}

fn host_of(server: &ConnectionInfo) -> String {
    match server.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => "127.0.0.1".to_owned(),
    }
}
