//! [`Fault`]: what may go wrong between a bucket and those who use it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use s3s::Body;
use s3s::dto::StreamingBlob;

use super::{Shared, locked};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Anything.
    Any,
    /// To store an object in one piece.
    Put,
    /// To begin an upload in parts.
    Begin,
    /// To store a part.
    Part,
    /// To make an object of the parts.
    Complete,
    /// To forget them.
    Abort,
    /// What is known of an object.
    Head,
    /// Its bytes.
    Get,
    /// To remove it.
    Remove,
    /// Which objects there are.
    List,
}

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 503 `SlowDown`, and nothing was done.
    SlowDown,
    /// 500 `InternalError`, and nothing was done.
    InternalError,
    /// 200 with an error for a body, and nothing was done.
    ErrorBody,
    /// 403 `RequestTimeTooSkewed`: the clocks differ.
    Skewed,
    /// Everything was done, and the connection breaks in the midst of the answer.
    CutOff,
    /// Everything was done, and the connection breaks before the answer.
    LostAnswer,
    /// Everything is as usual, after this time.
    Slow(Duration),
    /// The server neither answers nor hangs up.
    Silence,
    /// The answer is complete, and one of its bytes another one.
    WrongByte,
}

impl Step {
    /// Whether this is the other one, too.
    pub(super) fn includes(self, other: Self) -> bool {
        self == Self::Any || self == other
    }

    fn of<T>(request: &Request<T>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        match *request.method() {
            Method::PUT if query.contains("uploadId=") => Self::Part,
            Method::PUT => Self::Put,
            Method::POST if query.contains("uploadId=") => Self::Complete,
            Method::POST => Self::Begin,
            Method::DELETE if query.contains("uploadId=") => Self::Abort,
            Method::DELETE => Self::Remove,
            Method::HEAD => Self::Head,
            _ if query.contains("list-type=") => Self::List,
            _ => Self::Get,
        }
    }
}

/// Answers as the bucket does, unless it has been told otherwise.
pub(super) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, io::Error> {
    let step = Step::of(&request);
    locked(&shared.asked).push(step);
    let Some(fault) = next_fault(&shared, step) else { return served(&shared, request).await };
    let refused = async |request: Request<Incoming>, status, code| {
        // A client that is answered while it sends may take the end of the connection for the answer.
        request.into_body().collect().await.map_err(io::Error::other)?;
        let body = format!("<Error><Code>{code}</Code><Message>as you wished</Message></Error>");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        Ok(response)
    };
    match fault {
        Fault::SlowDown => refused(request, StatusCode::SERVICE_UNAVAILABLE, "SlowDown").await,
        Fault::InternalError => refused(request, StatusCode::INTERNAL_SERVER_ERROR, "InternalError").await,
        Fault::ErrorBody => refused(request, StatusCode::OK, "InternalError").await,
        Fault::Skewed => refused(request, StatusCode::FORBIDDEN, "RequestTimeTooSkewed").await,
        Fault::Slow(time) => {
            tokio::time::sleep(time).await;
            served(&shared, request).await
        }
        Fault::Silence => std::future::pending().await,
        Fault::LostAnswer => {
            served(&shared, request).await?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Fault::CutOff => {
            changed(served(&shared, request).await?, |bytes| {
                let half = bytes.slice(..bytes.len() / 2);
                vec![Ok(half), Err(io::ErrorKind::ConnectionReset.into())]
            })
            .await
        }
        Fault::WrongByte => {
            changed(served(&shared, request).await?, |bytes| {
                let mut bytes = Vec::from(bytes);
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                vec![Ok(bytes.into())]
            })
            .await
        }
    }
}

fn next_fault(shared: &Shared, step: Step) -> Option<Fault> {
    let mut faults = locked(&shared.faults);
    let (_, fault, times) =
        faults.iter_mut().find(|(failing, _, times)| failing.includes(step) && *times > 0)?;
    *times -= 1;
    Some(*fault)
}

async fn served(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
    shared.service.call(request.map(Body::from)).await.map_err(|error| io::Error::other(format!("{error:?}")))
}

/// The answer with another body under the same head.
async fn changed(
    response: Response<Body>,
    change: impl FnOnce(Bytes) -> Vec<io::Result<Bytes>>,
) -> Result<Response<Body>, io::Error> {
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let parts = futures::stream::iter(change(bytes));
    Ok(Response::from_parts(head, StreamingBlob::wrap(parts).into()))
}
