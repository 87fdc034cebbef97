//! Bodies within their bounds: a handler that reads one can neither be flooded nor held up.
//!
//! How a handler reports that its body ended early is its own affair, so the reason is also kept beside the body, and
//! decides on the answer.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, unfold};
use poem::http::{HeaderValue, header};
use poem::{Body, Request, Response, Result};
use tokio::time::{Instant, timeout};

use crate::problem::{Problem, ProblemCode};
use crate::server::ServerLimits;

use super::concurrency::Turn;

/// Knows how the reading of a body goes.
#[derive(Debug, Clone, Default)]
pub(super) struct BodyWatch(Arc<Progress>);

#[derive(Debug, Default)]
struct Progress {
    failure: OnceLock<ProblemCode>,
    /// Whether a handler is waiting for the client to send on.
    waiting: AtomicBool,
}

/// Puts the bounds around the body of a request.
///
/// # Errors
/// A problem, if the client announced more than `limit` bytes, or encoded them.
pub(super) fn watch(request: &mut Request, limit: u64, limits: &ServerLimits) -> Result<BodyWatch, Problem> {
    let announced = request.header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(failed(ProblemCode::PayloadTooLarge));
    }
    let watch = BodyWatch::default();
    let body = request.take_body();
    if body.is_empty() {
        return Ok(watch);
    }
    if request.headers().get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(failed(ProblemCode::UnsupportedMediaType)
            .with_detail("send the body as it is, without a Content-Encoding")
            .with_header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    }
    let reader = Reader {
        pieces: body.into_bytes_stream().boxed(),
        watch: watch.clone(),
        turn: request.data::<Arc<Turn>>().cloned(),
        limit,
        limits: *limits,
        received: 0,
        waited: Duration::ZERO,
    };
    request.set_body(Body::from_bytes_stream(unfold(reader, |mut reader| async {
        let piece = reader.next().await?;
        Some((piece, reader))
    })));
    Ok(watch)
}

/// Nothing can follow on a connection where a body was not read to its end.
fn failed(code: ProblemCode) -> Problem {
    Problem::new(code).with_header(header::CONNECTION, HeaderValue::from_static("close"))
}

impl BodyWatch {
    /// What to answer when the time is over: was it the client who kept us waiting?
    pub(super) fn late(&self) -> Problem {
        if self.0.waiting.load(Ordering::Relaxed) {
            failed(ProblemCode::RequestTimeout)
        } else {
            Problem::new(ProblemCode::Timeout)
        }
    }

    /// The answer, unless it failed because the body did.
    pub(super) fn judge(&self, answered: Result<Response>) -> Result<Response> {
        let succeeded = answered.as_ref().is_ok_and(|response| !response.status().is_client_error());
        match self.0.failure.get() {
            Some(code) if !succeeded => Err(failed(*code).into()),
            _ => answered,
        }
    }
}

/// A body that is being read.
struct Reader {
    pieces: BoxStream<'static, io::Result<Bytes>>,
    watch: BodyWatch,
    /// What the request gives up while it waits.
    turn: Option<Arc<Turn>>,
    limit: u64,
    limits: ServerLimits,
    received: u64,
    /// How long the client kept us waiting. The time that we take ourselves is not held against it.
    waited: Duration,
}

impl Reader {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        // After a failure there is nothing more.
        if self.watch.0.failure.get().is_some() {
            return None;
        }
        let patience = self.limits.body_patience(self.received, self.waited);
        let Self { pieces, waited, watch, .. } = self;
        let progress = &watch.0;
        let wait = async {
            let started = Instant::now();
            progress.waiting.store(true, Ordering::Relaxed);
            let piece = timeout(patience, pieces.next()).await;
            progress.waiting.store(false, Ordering::Relaxed);
            *waited += started.elapsed();
            piece
        };
        let piece = match &self.turn {
            Some(turn) => turn.aside(wait).await,
            None => wait.await,
        };

        let failure = match piece {
            Ok(None) => return None,
            Ok(Some(Ok(piece))) => {
                self.received += piece.len() as u64;
                if self.received <= self.limit {
                    return Some(Ok(piece));
                }
                ProblemCode::PayloadTooLarge
            }
            Ok(Some(Err(_))) => ProblemCode::MalformedRequest,
            Err(_elapsed) => ProblemCode::RequestTimeout,
        };
        let failure = progress.failure.get_or_init(|| failure);
        Some(Err(io::Error::other(failure.title())))
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::stream::{self, iter};
    use poem::http::StatusCode;

    use super::*;

    fn limits() -> ServerLimits {
        ServerLimits {
            body_pause: Duration::from_secs(5),
            body_grace: Duration::from_secs(10),
            body_rate: 100,
            ..ServerLimits::default()
        }
    }

    fn request(pieces: impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static) -> Request {
        Request::builder().body(Body::from_bytes_stream(pieces))
    }

    async fn read(mut request: Request, limit: u64) -> (BodyWatch, bool) {
        let watch = watch(&mut request, limit, &limits()).expect("nothing was announced");
        let read = request.into_body().into_bytes().await.is_ok();
        (watch, read)
    }

    fn failure_of(watch: &BodyWatch) -> Option<StatusCode> {
        watch.judge(Err(StatusCode::BAD_REQUEST.into())).map_err(|error| error.status()).err()
    }

    #[tokio::test]
    async fn a_body_of_exactly_the_limit_is_read() {
        let pieces = || iter([Ok(Bytes::from_static(b"12345")), Ok(Bytes::from_static(b"678"))]);
        let (watch, complete) = read(request(pieces()), 8).await;
        assert!(complete);
        assert!(watch.0.failure.get().is_none());
        let (watch, complete) = read(request(pieces()), 7).await;
        assert!(!complete);
        assert_eq!(failure_of(&watch), Some(StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pause_fails_and_so_does_a_trickle() {
        let stalled = iter([Ok(Bytes::from_static(b"1"))]).chain(stream::once(pending()));
        let start = Instant::now();
        let (watch, _) = read(request(stalled), 8).await;
        assert_eq!(failure_of(&watch), Some(StatusCode::REQUEST_TIMEOUT));
        assert_eq!(start.elapsed().as_secs(), 5);

        let trickle = stream::repeat(()).then(|()| async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            Ok(Bytes::from_static(b"1"))
        });
        let start = Instant::now();
        let (watch, _) = read(request(trickle), 1000).await;
        assert_eq!(failure_of(&watch), Some(StatusCode::REQUEST_TIMEOUT));
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_at_the_least_rate_is_read_however_long_it_takes() {
        let steady = stream::repeat(()).take(60).then(|()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Bytes::from_static(&[b'x'; 100]))
        });
        let (_, complete) = read(request(steady), 6_000).await;
        assert!(complete);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_handler_is_not_held_against_the_client() {
        let mut request = request(iter([Ok(Bytes::from_static(b"1")), Ok(Bytes::from_static(b"2"))]));
        let watch = watch(&mut request, 8, &limits()).expect("nothing was announced");
        let mut pieces = Box::pin(request.into_body().into_bytes_stream());
        while let Some(piece) = pieces.next().await {
            assert!(piece.is_ok());
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        assert!(watch.0.failure.get().is_none());
        assert_eq!(watch.late().code(), ProblemCode::Timeout);
    }
}
