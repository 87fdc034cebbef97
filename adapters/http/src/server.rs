//! [`Server`]: accepts connections and drives HTTP/1 on them, within [`ServerLimits`].
//!
//! poem has a server of its own. It waits for half a request head for ever, turns a full table of file descriptors
//! into a busy loop, and leaves Nagle's delay on; so hyper is driven here directly, behind a [`Wire`](wire::Wire).

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::http::uri::Scheme;
use poem::http::{HeaderValue, header};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Request};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::middleware::Protected;

mod admission;
mod head;
mod limits;
mod wire;

use admission::Admission;
pub(crate) use head::Refusal;
pub use limits::{RouteLimits, ServerLimits};
use wire::Wire;

/// What hyper buffers of one connection at most, in each direction; more only where a head may be larger.
const BUFFER_BYTES: usize = 64 * 1024;

/// Between two attempts to accept when we are out of something that a moment may bring back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections may take to go once they were cut off.
const CUT_OFF: Duration = Duration::from_secs(1);

/// How long connections stay open when the server ends, so that a request that is on its way arrives and is answered.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How many that had connected before the end are still accepted: as many as wait with the usual backlog.
const LAST_COMERS: usize = 1024;

/// An HTTP/1 server on one listener.
pub struct Server {
    listener: Arc<TcpListener>,
    app: Arc<Protected>,
    parting: CancellationToken,
}

impl Server {
    /// Serves `app` on `listener`, within the limits that `app` was protected with. The server lets go of the listener when
    /// it accepts nobody any more.
    #[must_use]
    pub fn new(listener: impl Into<Arc<TcpListener>>, app: Arc<Protected>) -> Self {
        Self { listener: listener.into(), app, parting: CancellationToken::new() }
    }

    /// From when `parting` is cancelled, each answer is the last of its connection, and says so. A client that keeps its
    /// connection then asks elsewhere, rather than on one that ends at the same moment.
    #[must_use]
    pub fn parting(self, parting: CancellationToken) -> Self {
        Self { parting, ..self }
    }

    /// Serves until `stop` is cancelled; then accepts those who had connected by then and nobody else, closes idle
    /// connections as soon as nothing can be on its way on them, and returns when the last request is answered. After `grace` what is left is cut off.
    pub async fn run(self, stop: CancellationToken, grace: Duration) {
        let Self { listener, app, parting } = self;
        let admission = Admission::new(*app.limits(), app.proxies().clone());
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        // Also when this future is dropped before its end.
        let _cut_at_last = cut.clone().drop_guard();
        let mut last_comers = 0..LAST_COMERS;
        loop {
            let (socket, peer) = match accept(&listener, &stop).await {
                Some(connection) => connection,
                // Whoever waits to be accepted when the socket is closed gets a reset.
                None => match last_comers.next().and_then(|_| listener.accept().now_or_never()) {
                    Some(Ok(connection)) => connection,
                    _ => break,
                },
            };
            let Some(admitted) = admission.admit(peer.ip()) else {
                tracing::debug!("connection refused: a limit is reached");
                continue;
            };
            let (app, cut) = (Arc::clone(&app), cut.clone());
            let end = End { parting: parting.clone(), stop: stop.clone() };
            connections.spawn(async move {
                let _admitted = admitted;
                tokio::select! {
                    () = cut.cancelled() => {}
                    () = serve(socket, peer, app, end) => {}
                }
            });
        }
        drop(listener);
        connections.close();
        if timeout(grace, connections.wait()).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "cutting off connections that did not end in time"
            );
            cut.cancel();
            // A handler that blocks its thread cannot be cut off, and must not hold us up.
            let _ = timeout(CUT_OFF, connections.wait()).await;
        }
    }
}

/// How a connection learns that the server ends.
#[derive(Clone)]
struct End {
    parting: CancellationToken,
    stop: CancellationToken,
}

impl End {
    /// Whether an answer is the last of its connection.
    fn is_near(&self) -> bool {
        self.parting.is_cancelled() || self.stop.is_cancelled()
    }

    /// When no request that has not begun can be on its way any more.
    async fn of_idleness(&self) {
        self.stop.cancelled().await;
        sleep(LAST_WORDS).await;
    }
}

/// The next connection, or `None` once `stop` is cancelled.
async fn accept(listener: &TcpListener, stop: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(connection) => return Some(connection),
            Err(error) if concerns_one_client(&error) => {}
            Err(error) => {
                // Out of file descriptors, most likely: the connection waits in the backlog, and trying at once would
                // spin.
                tracing::warn!(%error, "cannot accept connections");
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

fn concerns_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// One connection, from its first byte to its last.
async fn serve(socket: TcpStream, peer: SocketAddr, app: Arc<Protected>, end: End) {
    // A small answer must not wait for the acknowledgement of the one before.
    let _ = socket.set_nodelay(true);
    let local = LocalAddr(socket.local_addr().map_or_else(|_| Addr::default(), Addr::SocketAddr));
    let remote = RemoteAddr(Addr::SocketAddr(peer));
    let mut wire = Wire::new(socket, *app.limits());
    let speaks = tokio::select! {
        speaks = wire.first_head() => speaks,
        () = end.of_idleness() => false,
    };
    if speaks {
        // Each on the heap, so that a connection has no room for what it does not get to.
        Box::pin(wire.first_body()).await;
        Box::pin(converse(wire, local, remote, app, end)).await;
    }
}

/// The requests of a connection, of which the first is there.
async fn converse(
    wire: Wire<TcpStream>,
    local: LocalAddr,
    remote: RemoteAddr,
    app: Arc<Protected>,
    end: End,
) {
    let limits = *app.limits();
    let refusal = wire.refusal();
    let idle_ends = end.clone();
    let idle_ends = async move { idle_ends.of_idleness().await };
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        // Looked up before the next head can be read; see `Wire::refusal`.
        let refused = refusal.get().copied();
        let last = refused.is_some() || request.headers().contains_key(header::TRANSFER_ENCODING);
        let mut request = Request::from((request, local.clone(), remote.clone(), Scheme::HTTP));
        if let Some(refusal) = refused {
            request.set_data(refusal);
        }
        let (app, end) = (Arc::clone(&app), end.clone());
        async move {
            let mut response = app.get_response(request).await;
            if last || end.is_near() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(hyper::Response::from(response))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .max_buf_size(BUFFER_BYTES.max(2 * limits.head_bytes))
        .serve_connection(TokioIo::new(wire), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = idle_ends => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}
