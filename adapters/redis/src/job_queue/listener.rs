//! [`Listener`]: reads what this process is told, on a connection of its own, which blocks.
//!
//! Each process has a stream, from which it reads on where it was after its connection broke. Where the stream itself may
//! be gone, those who wait ask again: after each new connection, and now and then in any case.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::ask::{array, bytes, values};
use super::codec;
use super::hand_back;
use super::waiters::{Changes, Ends, Hands};
use super::wire::Wire;
use crate::connection::{Connection, slow};

/// How long Redis lets a read wait for something to say.
const BLOCK: Duration = Duration::from_secs(1);
/// How long to wait after a vain attempt to connect; waiting for the connection itself takes longer.
const PAUSE: Duration = Duration::from_millis(50);
const EVENTS: usize = 1_000;

/// What a process listens with.
#[derive(Clone, Default)]
pub(super) struct Ears {
    pub(super) ends: Ends,
    pub(super) changes: Changes,
    pub(super) hands: Hands,
}

pub(super) struct Listener {
    pub(super) connection: Connection,
    pub(super) key: String,
    pub(super) response: Duration,
    pub(super) ears: Ears,
    /// For what was handed to somebody who has gone.
    pub(super) wire: Wire,
    /// The number of the newest event that was read.
    pub(super) heard: watch::Sender<String>,
    /// Counts connections; who waits asks again with each.
    pub(super) connections: watch::Sender<u64>,
}

impl Listener {
    /// Listens for as long as it is polled.
    pub(super) async fn run(self) {
        loop {
            let number = self.connection.number();
            let Ok(mut connection) = self.connection.apart("jobs.listen").await else {
                sleep(PAUSE).await;
                continue;
            };
            self.connections.send_modify(|connections| *connections += 1);
            // A server that is no longer the one that others ask may say nothing for ever.
            while self.connection.number() == number {
                match self.read(&mut connection).await {
                    Ok(read) => {
                        for entry in entries(read).into_iter().flatten() {
                            self.hear(entry);
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the connection for what is told broke");
                        break;
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn read(&self, connection: &mut MultiplexedConnection) -> RedisResult<Value> {
        let from = self.heard.borrow().clone();
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(EVENTS).arg("BLOCK").arg(u64::try_from(BLOCK.as_millis()).unwrap_or(0));
        command.arg("STREAMS").arg(&self.key).arg(if from.is_empty() { "0-0" } else { &from });
        let asked = timeout(BLOCK + self.response, connection.send_packed_command(&command));
        asked.await.unwrap_or_else(|_elapsed| Err(slow())).and_then(Value::extract_error)
    }

    /// Tells those concerned.
    fn hear(&self, (number, told): (Vec<u8>, Vec<Value>)) {
        for pair in told.chunks_exact(2) {
            if let [Value::BulkString(what), Value::BulkString(value)] = pair
                && self.tell(what, value).is_none()
            {
                tracing::error!("what was told of a job does not parse");
            }
        }
        self.heard.send_replace(String::from_utf8_lossy(&number).into_owned());
    }

    fn tell(&self, what: &[u8], value: &[u8]) -> Option<()> {
        let (letter, about) = what.split_first()?;
        match letter {
            b'E' => {
                self.ears.ends.tell(&codec::id(about)?, &codec::end(value)?);
            }
            b'C' => {
                self.ears.changes.tell(&codec::id(about)?, &());
            }
            _ => {
                let ticket = String::from_utf8(about.to_vec()).ok()?;
                let leased = codec::leased(value)?;
                if !self.ears.hands.tell(&ticket, &leased)
                    && let Some(ask) = hand_back::of(&leased)
                {
                    self.wire.mention(ask);
                }
            }
        }
        Some(())
    }
}

/// The entries of the one stream that was asked for; none if it had none.
fn entries(read: Value) -> Option<Vec<(Vec<u8>, Vec<Value>)>> {
    let [stream] = values(read)?;
    let [_, entries] = values(stream)?;
    let entry = |entry| {
        let [number, told] = values(entry)?;
        Some((bytes(number)?, array(told)?))
    };
    array(entries)?.into_iter().map(entry).collect()
}
