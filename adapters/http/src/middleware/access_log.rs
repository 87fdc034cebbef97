//! One line per request, and a span around everything that is logged meanwhile. No query strings, no addresses of
//! people: what identifies a request is its id.

use poem::Request;
use poem::http::StatusCode;
use tokio::time::Instant;
use tracing::{Span, info, info_span};

use super::measure::{CLIENT_GONE, method_name};
use super::request_id::RequestId;
use super::routes::Route;
use super::unmetered;

/// The line of a request that is being answered.
pub(super) struct AccessLine {
    span: Span,
    started: Instant,
    /// Probes and scrapes come every few seconds and say nothing.
    silent: bool,
    status: u16,
}

impl AccessLine {
    pub(super) fn begin(request: &Request, id: &RequestId, route: Option<&Route>) -> Self {
        let path = request.uri().path();
        let span = info_span!(
            "request",
            request_id = id.as_str(),
            method = method_name(request.method()),
            route = route.map_or(path, Route::template),
        );
        Self { span, started: Instant::now(), silent: unmetered(path), status: CLIENT_GONE }
    }

    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(super) fn end(mut self, status: StatusCode) {
        self.status = status.as_u16();
    }
}

/// Also when the answer is abandoned, because the client went away.
impl Drop for AccessLine {
    fn drop(&mut self) {
        if self.silent {
            return;
        }
        let duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(parent: &self.span, status = self.status, duration_ms, "answered");
    }
}
