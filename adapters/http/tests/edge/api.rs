//! A small API with an operation for every way in which a request can go, and a server that serves it.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use poem::{Body, IntoResponse, Request, Response};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::{Binary, Json, PlainText};
use poem_openapi::{Object, OpenApi, OpenApiService};
use portwright_domain::ports::{Observer, Quota, RateLimiter, Unobserved};
use portwright_domain::trace::Sampler;
use portwright_domain::user::UserId;
use portwright_http::{
    ConcurrencyLimit, Problem, ProblemCode, ProblemPages, Protected, Protection, RouteLimits, Routes, Server,
    ServerLimits, Shares, WithDeadline, protect,
};
use portwright_memory::MemoryRateLimiter;
use portwright_testkit::{ManualClock, SequentialIds};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What tests and handlers tell each other.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// A handler began to wait.
    pub(crate) entered: Notify,
    /// A waiting handler may go on.
    pub(crate) release: Notify,
    /// Something that a handler held was dropped.
    pub(crate) dropped: Notify,
}

/// Tells when it is dropped.
struct Held(Arc<Signals>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dropped.notify_one();
    }
}

struct TestApi(Arc<Signals>);

#[derive(Object)]
struct Note {
    text: String,
}

#[expect(clippy::unused_async, reason = "operations are asynchronous")]
#[OpenApi]
impl TestApi {
    #[oai(path = "/greeting", method = "get")]
    async fn greeting(&self) -> PlainText<&'static str> {
        PlainText("hello")
    }

    #[oai(path = "/repeat", method = "get")]
    async fn repeat(&self, times: Query<u8>) -> PlainText<String> {
        PlainText("x".repeat(usize::from(times.0)))
    }

    #[oai(path = "/things/:id", method = "get")]
    async fn thing(&self, id: Path<Uuid>) -> PlainText<String> {
        PlainText(id.to_string())
    }

    #[oai(path = "/notes", method = "post")]
    async fn note(&self, note: Json<Note>) -> PlainText<String> {
        PlainText(note.0.text)
    }

    #[oai(path = "/bytes", method = "post")]
    async fn count(&self, body: Binary<Body>) -> poem::Result<PlainText<String>> {
        Ok(PlainText(body.0.into_bytes().await?.len().to_string()))
    }

    #[oai(path = "/small", method = "put")]
    async fn small(&self, body: Binary<Body>) -> poem::Result<PlainText<String>> {
        self.count(body).await
    }

    #[oai(path = "/waiting", method = "get")]
    async fn wait(&self) -> PlainText<&'static str> {
        let _held = Held(Arc::clone(&self.0));
        self.0.entered.notify_one();
        self.0.release.notified().await;
        PlainText("released")
    }

    #[oai(path = "/never", method = "get")]
    async fn never(&self) -> PlainText<&'static str> {
        pending().await
    }

    #[oai(path = "/endless", method = "get")]
    async fn endless(&self) -> Binary<Body> {
        let held = Held(Arc::clone(&self.0));
        let zeros = futures::stream::repeat_with(move || {
            let _held = &held;
            Ok::<_, std::io::Error>(vec![0; 64 * 1024])
        });
        Binary(Body::from_bytes_stream(zeros.boxed()))
    }

    #[oai(path = "/panic", method = "get")]
    async fn panic(&self) -> PlainText<String> {
        panic!("on purpose")
    }

    #[oai(path = "/fails", method = "get")]
    async fn fail(&self) -> poem::Result<PlainText<String>> {
        Err(poem::error::InternalServerError(std::io::Error::other("SELECT password FROM users")))
    }

    #[oai(path = "/secret", method = "get")]
    async fn secret(&self) -> poem::Result<PlainText<String>> {
        Err(Problem::new(ProblemCode::Unauthorized).into())
    }

    #[oai(path = "/health/live", method = "get")]
    async fn live(&self) -> PlainText<&'static str> {
        PlainText("alive")
    }
}

/// What a test wants otherwise than usual.
pub(crate) struct Setup {
    pub(crate) limits: ServerLimits,
    pub(crate) quota: Quota,
    pub(crate) proxies: &'static str,
    pub(crate) limiter: Option<Arc<dyn RateLimiter>>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) concurrency: Option<ConcurrencyLimit>,
    pub(crate) with_deadline: WithDeadline,
}

impl Default for Setup {
    fn default() -> Self {
        let quota = Quota { limit: 1_000_000, window: Duration::from_mins(1) };
        Self {
            limits: ServerLimits::default(),
            quota,
            proxies: "",
            limiter: None,
            observer: Arc::new(Unobserved),
            concurrency: None,
            with_deadline: Arc::new(|_, handling| handling),
        }
    }
}

impl Setup {
    /// The API behind its layers, and the signals of its handlers.
    pub(crate) fn protected(self) -> (Protected, Arc<Signals>) {
        let signals = Arc::new(Signals::default());
        let service = OpenApiService::new((TestApi(signals.clone()), ProblemPages), "test", "1");
        let document = serde_json::from_str(&service.spec()).expect("JSON");
        let small = RouteLimits { body_bytes: 10, ..self.limits.route };
        let clock = Arc::new(ManualClock::default());
        let app = protect(
            poem::Route::new().nest("/", service).at("/bare", poem::endpoint::make_sync(bare)),
            Protection {
                limits: self.limits,
                routes: Routes::of_document(&document).with_limits("/small", small),
                proxies: self.proxies.parse().expect("networks"),
                ids: Arc::new(SequentialIds::default()),
                observer: self.observer,
                sampler: Sampler::OFF,
                shares: Some(Shares {
                    limiter: self
                        .limiter
                        .unwrap_or_else(|| Arc::new(MemoryRateLimiter::new(1_000, clock.clone()))),
                    quota: self.quota,
                    clock,
                    identify: Arc::new(identify),
                }),
                concurrency: self.concurrency,
                with_deadline: self.with_deadline,
            },
        );
        (app, signals)
    }

    /// A server of its own on a port of its own.
    pub(crate) async fn start(self) -> Running {
        let (app, signals) = self.protected();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let [parting, stop] = std::array::from_fn(|_| CancellationToken::new());
        let server = Server::new(listener, Arc::new(app)).parting(parting.clone());
        #[expect(clippy::disallowed_methods, reason = "aborted when it is dropped")]
        let task = tokio::spawn(server.run(stop.clone(), GRACE));
        Running { address, signals, parting, stop, task }
    }
}

/// How long requests may take to end once the server stops.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// A server that serves until it is stopped or dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) signals: Arc<Signals>,
    pub(crate) parting: CancellationToken,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers with nothing but the status that the query names.
#[expect(clippy::needless_pass_by_value, reason = "it is an endpoint")]
fn bare(request: Request) -> Response {
    let status: u16 = request.uri().query().and_then(|query| query.parse().ok()).unwrap_or(200);
    poem::http::StatusCode::from_u16(status).expect("a status").into_response()
}

/// In this test, a token is the number of a user.
fn identify(request: &Request) -> Option<UserId> {
    let token = request.header("authorization")?.strip_prefix("Bearer ")?;
    token.parse().ok().map(|number| UserId(Uuid::from_u128(number)))
}
