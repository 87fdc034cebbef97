//! [`S3`]: a server that speaks S3 over real sockets, checks every signature, and misbehaves on cue.
//!
//! The words and signatures of the protocol are those of the crate `s3s`. What is stored is our own, as names in S3 do
//! not nest, while `s3s-fs` makes files of them: it cannot have both `a` and `a/b`.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use portwright_domain::ports::Clock;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::Certificate;

mod bucket;
mod fault;
mod tls;

use bucket::Bucket;
pub use fault::{Fault, Step};

/// A server with one empty bucket, which outlives its stops.
pub struct S3 {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

/// What every connection sees.
struct Shared {
    service: S3Service,
    bucket: Bucket,
    faults: Mutex<Vec<(Step, Fault, u32)>>,
    asked: Mutex<Vec<Step>>,
    /// Who is spoken to in TLS; everybody, if there is such a thing.
    tls: Option<TlsAcceptor>,
}

struct Running {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl S3 {
    /// The only bucket.
    pub const BUCKET: &str = "files";

    /// The only access key.
    pub const ACCESS_KEY: &str = "AKIAPORTWRIGHT";

    /// The secret key to it.
    pub const SECRET_KEY: &str = "5tB0oG2mW8qK1xY7eN4cR9vJ3uZ6aH";

    /// Runs a new server.
    #[must_use]
    pub fn run() -> Self {
        Self::with(None)
    }

    /// Runs a new server that shows this certificate, and takes nobody without TLS.
    #[must_use]
    pub fn over_tls(certificate: &Certificate) -> Self {
        Self::with(Some(tls::acceptor(certificate)))
    }

    fn with(tls: Option<TlsAcceptor>) -> Self {
        let bucket = Bucket::default();
        let mut builder = S3ServiceBuilder::new(bucket.clone());
        builder.set_auth(SimpleAuth::from_single(Self::ACCESS_KEY, Self::SECRET_KEY));
        let shared = Arc::new(Shared {
            service: builder.build(),
            bucket,
            faults: Mutex::default(),
            asked: Mutex::default(),
            tls,
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let running = Mutex::new(Some(Running::start(listener, shared.clone())));
        Self { address, shared, running }
    }

    /// Its URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Ends the server and all its connections; what is stored stays.
    pub fn stop(&self) {
        if let Some(Running { end, thread }) = locked(&self.running).take() {
            // It may have ended by itself, which the next line tells.
            let _ = end.send(());
            thread.join().expect("the server did not panic");
        }
    }

    /// Starts a server that was stopped, where it was.
    pub fn start(&self) {
        let listener = TcpListener::bind(self.address).expect("the port is still free");
        *locked(&self.running) = Some(Running::start(listener, self.shared.clone()));
    }

    /// The next so many steps of this kind fail in this way.
    pub fn fail(&self, times: u32, step: Step, fault: Fault) {
        locked(&self.shared.faults).push((step, fault, times));
    }

    /// From now on nothing fails any more.
    pub fn recover(&self) {
        locked(&self.shared.faults).clear();
    }

    /// How often it was asked for a step, failures included.
    #[must_use]
    pub fn asked(&self, step: Step) -> usize {
        locked(&self.shared.asked).iter().filter(|asked| step.includes(**asked)).count()
    }

    /// The keys of all objects that begin with this, in order.
    #[must_use]
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.shared.bucket.keys().into_iter().filter(|key| key.starts_with(prefix)).collect()
    }

    /// How many uploads in parts were begun and neither completed nor removed.
    #[must_use]
    pub fn open_uploads(&self) -> usize {
        self.shared.bucket.open_uploads()
    }

    /// From now on this clock says when an object was put.
    pub fn go_by(&self, clock: Arc<dyn Clock>) {
        self.shared.bucket.go_by(clock);
    }

    /// From now on objects are encrypted with a key that is not the server's, so that their etags are no digests.
    pub fn encrypt(&self) {
        self.shared.bucket.encrypt();
    }
}

impl Running {
    fn start(listener: TcpListener, shared: Arc<Shared>) -> Self {
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            // Connections are tasks of the runtime, and end with it.
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = ended => {}
                }
            });
        });
        Self { end, thread }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    listener.set_nonblocking(true).expect("a socket");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    loop {
        let (connection, _) = listener.accept().await.expect("a connection");
        let shared = shared.clone();
        #[expect(clippy::disallowed_methods, reason = "ends with the runtime of the server")]
        drop(tokio::spawn(async move {
            match shared.tls.clone() {
                None => serve(connection, shared).await,
                // Who does not trust us, or does not speak TLS, is not served.
                Some(tls) => match tls.accept(connection).await {
                    Ok(connection) => serve(connection, shared).await,
                    Err(_refused) => {}
                },
            }
        }));
    }
}

async fn serve(connection: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let answer = service_fn(move |request| fault::answer(shared.clone(), request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new());
    // A connection that breaks is the client's affair, and often the point.
    let _ = http.serve_connection(TokioIo::new(connection), answer).await;
}

/// Nothing panics while it holds one of these locks and leaves a half-done change behind.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("address", &self.address).finish_non_exhaustive()
    }
}
