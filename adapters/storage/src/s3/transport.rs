//! [`Transport`]: the HTTP below OpenDAL, every step of it with an end.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use http::header::{CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opendal::raw::Operation;
use opendal::{Buffer, Error, ErrorKind, HttpBody, HttpTransport};
use portwright_domain::PortError;
use portwright_domain::ports::Obstacle;
use tokio::time::{Instant, Sleep};

/// Reaching the server takes no longer than this, all its addresses together.
const CONNECT: Duration = Duration::from_secs(1);

/// An answer begins within this time after the request has been sent, and goes on within it.
const ANSWER: Duration = Duration::from_secs(5);

/// Sending takes no longer than it would at this many bytes per second.
const SLOWEST: u64 = 256 << 10;

/// A connection that nobody uses is closed after this time, before a server or a firewall forgets it.
const IDLE: Duration = Duration::from_secs(15);

/// How many of them are kept.
const KEPT: usize = 16;

/// No list of a thousand objects is longer.
const LONGEST: usize = 4 << 20;

/// Says of a server's answer that the etag is no digest of the bytes: AWS and MinIO make others up for objects that
/// are encrypted with keys of the caller or of a key service.
const ENCRYPTION: [&str; 2] =
    ["x-amz-server-side-encryption", "x-amz-server-side-encryption-customer-algorithm"];

/// Becomes the metadata [`NO_DIGEST`](super::NO_DIGEST).
const MARK: &str = "x-amz-meta-etag-is-no-digest";

/// Connections to one server, and what it is patiently asked over them.
///
/// It is our own, as it has to know what is asked: what failed before an answer came may be tried again, the bytes of
/// an object may not, since the rest of another version could follow.
#[derive(Clone)]
pub(super) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Outgoing>,
}

impl Transport {
    /// `secure` says whether the authorities that this host trusts are needed.
    pub(super) fn new(secure: bool) -> Result<Self, PortError> {
        let refused = |detail: String| {
            PortError::new(portwright_domain::ErrorKind::Misconfigured, "storage.init", detail)
        };
        let tls =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| refused(error.to_string()))?;
        let tls = if secure {
            let no_authorities =
                |error| refused(format!("no certificates of authorities on this host: {error}"));
            tls.with_native_roots().map_err(no_authorities)?
        } else {
            tls.with_root_certificates(rustls::RootCertStore::empty())
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(KEPT)
            .build(connector);
        Ok(Self { client })
    }
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let asked = Asked::by(&request);
        let patience = ANSWER + Duration::from_secs(request.body().len() as u64 / SLOWEST);
        let answer = tokio::time::timeout(patience, self.client.request(request.map(Outgoing)));
        // No second time: all the time there was is gone.
        let late = |_| Error::new(ErrorKind::Unexpected, "no answer in time");
        let (mut head, body) = answer.await.map_err(late)?.map_err(|error| unsent(&error))?.into_parts();
        if asked != Asked::Otherwise && head.status.is_success() && !head.headers.contains_key(ETAG) {
            return Err(temporary("a success that does not say of which object"));
        }
        if has_no_digest(&head.headers) {
            head.headers.insert(HeaderName::from_static(MARK), HeaderValue::from_static("true"));
        }
        let body = Answer::new(body, asked);
        if asked == Asked::Otherwise && head.status.is_success() {
            let document = document(body).await?;
            // Servers say so that they are alive while they work, and then have no other way to say that it failed.
            if is_error(&document) {
                head.status = StatusCode::INTERNAL_SERVER_ERROR;
            }
            let length = document.len() as u64;
            let whole = futures::stream::iter([Ok(Buffer::from(document))]);
            return Ok(Response::from_parts(head, HttpBody::new(whole, Some(length))));
        }
        let length = (asked != Asked::ForHead).then(|| length(&head.headers)).flatten();
        Ok(Response::from_parts(head, HttpBody::new(body, length)))
    }
}

/// What a request is about, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The bytes of an object, which are streamed.
    ForBytes,
    /// A head without a body.
    ForHead,
    /// To take bytes.
    ToStore,
    /// Anything else.
    Otherwise,
}

impl Asked {
    fn by<T>(request: &Request<T>) -> Self {
        match (request.extensions().get::<Operation>(), request.method()) {
            (Some(Operation::Read), _) => Self::ForBytes,
            (_, &Method::HEAD) => Self::ForHead,
            (Some(Operation::Write), &Method::PUT) => Self::ToStore,
            _ => Self::Otherwise,
        }
    }
}

/// An answer that is a document and not an object.
async fn document(mut answer: Answer) -> opendal::Result<Vec<u8>> {
    let mut document = Vec::new();
    while let Some(part) = answer.try_next().await? {
        if document.len() + part.len() > LONGEST {
            return Err(Error::new(ErrorKind::Unexpected, "an answer that is longer than any list"));
        }
        part.for_each(|bytes| document.extend_from_slice(&bytes));
    }
    Ok(document)
}

/// Whether this document is an error, whatever the status says.
fn is_error(document: &[u8]) -> bool {
    let text = String::from_utf8_lossy(document.get(..512).unwrap_or(document));
    let text = text.trim_start();
    let root =
        text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")).map_or(text, |(_, root)| root);
    root.trim_start().starts_with("<Error>")
}

fn has_no_digest(headers: &HeaderMap) -> bool {
    let [kind, customer] = ENCRYPTION.map(|name| headers.get(name));
    // `AES256` is the server's own encryption, which leaves etags as they are.
    customer.is_some() || kind.is_some_and(|kind| kind != "AES256")
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The bytes of an answer, as they come.
struct Answer {
    body: Incoming,
    /// Until the next bytes have to be there.
    patience: Pin<Box<Sleep>>,
    asked: Asked,
    is_over: bool,
}

impl Answer {
    fn new(body: Incoming, asked: Asked) -> Self {
        Self { body, patience: Box::pin(tokio::time::sleep(ANSWER)), asked, is_over: false }
    }

    fn broken(&mut self, error: Error) -> Poll<Option<opendal::Result<Buffer>>> {
        self.is_over = true;
        Poll::Ready(Some(Err(if self.asked == Asked::ForBytes { error.set_persistent() } else { error })))
    }
}

impl Stream for Answer {
    type Item = opendal::Result<Buffer>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.is_over {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.patience.as_mut().reset(Instant::now() + ANSWER);
                    if let Ok(bytes) = frame.into_data()
                        && !bytes.is_empty()
                    {
                        return Poll::Ready(Some(Ok(Buffer::from(bytes))));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return self.broken(temporary("the answer ended in its midst").set_source(error));
                }
                Poll::Ready(None) => self.is_over = true,
                Poll::Pending => {
                    return match self.patience.as_mut().poll(context) {
                        Poll::Ready(()) => {
                            self.broken(Error::new(ErrorKind::Unexpected, "the answer does not go on"))
                        }
                        Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
        Poll::Ready(None)
    }
}

fn temporary(message: &'static str) -> Error {
    Error::new(ErrorKind::Unexpected, message).set_temporary()
}

/// The request got no answer. What kept it is the source, for whoever wants to tell an operator.
fn unsent(error: &legacy::Error) -> Error {
    let mut cause: &dyn std::error::Error = error;
    let mut obstacle = None;
    while let Some(deeper) = cause.source() {
        cause = deeper;
        obstacle = cause.downcast_ref::<io::Error>().map(Obstacle::of_io).or(obstacle);
    }
    let what = if error.is_connect() { "no connection" } else { "no answer" };
    let failed = Error::new(ErrorKind::Unexpected, format!("{what}: {cause}"));
    match obstacle {
        // No second time where there is none left, and where somebody has to change something first.
        Some(obstacle)
            if obstacle == Obstacle::Silent
                || obstacle.kind() == portwright_domain::ErrorKind::Misconfigured =>
        {
            failed.set_source(obstacle)
        }
        Some(obstacle) => failed.set_source(obstacle).set_temporary(),
        None => failed.set_temporary(),
    }
}

/// The bytes of a request, which are in memory.
struct Outgoing(Buffer);

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.next().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}
