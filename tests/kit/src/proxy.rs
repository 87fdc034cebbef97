//! [`Proxy`]: a TCP connection to a server that breaks on cue.
//!
//! ```no_run
//! # async fn example() {
//! use portwright_testkit::proxy::{Proxy, Trouble};
//!
//! let proxy = Proxy::to(5432).await;
//! // The client connects to `proxy.port()`. From now on, nothing arrives any more, and nobody hangs up.
//! proxy.trouble(Trouble::Blackhole);
//! proxy.heal();
//! # }
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What is wrong with every connection, those that are open and those to come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// Bytes arrive this much later, in both directions.
    Delay(Duration),
    /// Bytes are swallowed, and nobody hangs up.
    Blackhole,
    /// Connections are accepted and closed.
    Refuse,
    /// What the client sends is looked at: a connection on which this is sent is closed.
    CutOn {
        /// The bytes. They are found if they come in one piece.
        pattern: &'static [u8],
        /// Whether the server still gets them, so that only its answer is lost.
        delivered: bool,
    },
    /// The next part of what the server sends that is longer than this breaks off there: the connection is reset. Nothing
    /// is wrong any more after that.
    ResetWithin {
        /// The bytes of that part which arrive.
        bytes: usize,
    },
    /// One bit of what the server sends is turned over, in one part of so many.
    Corrupt {
        /// The parts.
        one_in: u64,
    },
}

/// A listener, on 127.0.0.1 unless it is said otherwise, that passes everything on. Connections end with the value that stands for it.
pub struct Proxy {
    port: u16,
    line: Arc<Line>,
    _accepting: JoinSet<()>,
}

/// What the connections have in common.
struct Line {
    trouble: watch::Sender<Trouble>,
    /// Changes whenever all connections are to be cut.
    generation: watch::Sender<u64>,
    cuts: AtomicU64,
    parts: AtomicU64,
}

impl Proxy {
    /// Passes everything on to this port of this machine.
    pub async fn to(server: u16) -> Self {
        Self::at(("127.0.0.1", 0), server).await
    }

    /// The same, where a client looks for it: at this address of the loopback network.
    pub async fn at(address: (&str, u16), server: u16) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let line = Arc::new(Line {
            trouble: watch::Sender::new(Trouble::None),
            generation: watch::Sender::new(0),
            cuts: AtomicU64::new(0),
            parts: AtomicU64::new(0),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server, line.clone()));
        Self { port, line, _accepting: accepting }
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// From now on, this goes wrong, and nothing else.
    pub fn trouble(&self, trouble: Trouble) {
        self.line.trouble.send_replace(trouble);
    }

    /// From now on, nothing goes wrong. What was swallowed stays so.
    pub fn heal(&self) {
        self.trouble(Trouble::None);
    }

    /// Closes all connections that are open.
    pub fn cut(&self) {
        self.line.generation.send_modify(|generation| *generation += 1);
    }

    /// How many connections a pattern has cut, or a reset.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.line.cuts.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, server: u16, line: Arc<Line>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        if *line.trouble.borrow() == Trouble::Refuse {
            continue;
        }
        let line = line.clone();
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
            // A segment that waits for more is no fault that anybody asked for.
            if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
                return;
            }
            let mut generation = line.generation.subscribe();
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            // Set when the answer of the server is not to be heard any more.
            let doomed = AtomicBool::new(false);
            let end = tokio::select! {
                _ = generation.changed() => End::Close,
                end = pass(&mut from_client, &mut to_server, &line, &doomed, true) => end,
                end = pass(&mut from_server, &mut to_client, &line, &doomed, false) => end,
            };
            if end == End::Reset {
                // Nothing is left to be sent that anybody would miss.
                let _ = to_client.as_ref().set_zero_linger();
            }
        });
    }
}

/// How a connection ends for the client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Reset,
}

/// Passes bytes on until one end hangs up or the connection is cut.
async fn pass(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    line: &Line,
    doomed: &AtomicBool,
    is_request: bool,
) -> End {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let Some(part) = buffer.get_mut(..read) else { return End::Close };
        if !is_request && doomed.load(Ordering::Acquire) {
            return End::Close;
        }
        let trouble = line.trouble.borrow().clone();
        match trouble {
            Trouble::None | Trouble::Refuse => {}
            Trouble::Delay(delay) => tokio::time::sleep(delay).await,
            Trouble::Blackhole => continue,
            Trouble::CutOn { pattern, delivered } => {
                if is_request && part.windows(pattern.len()).any(|window| window == pattern) {
                    line.cuts.fetch_add(1, Ordering::Relaxed);
                    if !delivered {
                        return End::Close;
                    }
                    doomed.store(true, Ordering::Release);
                }
            }
            Trouble::ResetWithin { bytes } => {
                if !is_request && let Some(arrives) = part.get(..bytes).filter(|some| some.len() < read) {
                    line.cuts.fetch_add(1, Ordering::Relaxed);
                    line.trouble.send_replace(Trouble::None);
                    // Whether it arrives, or the reset first, is up to the system.
                    let _ = to.write_all(arrives).await;
                    return End::Reset;
                }
            }
            Trouble::Corrupt { one_in } => {
                let number = line.parts.fetch_add(1, Ordering::Relaxed);
                if !is_request
                    && number.is_multiple_of(one_in)
                    && let Some(byte) = part.get_mut(read / 2)
                {
                    *byte ^= 1;
                }
            }
        }
        if to.write_all(part).await.is_err() {
            return End::Close;
        }
    }
    End::Close
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("port", &self.port).finish_non_exhaustive()
    }
}
