//! One line per request, and a span around everything that is logged and recorded meanwhile, under the names of
//! OpenTelemetry's conventions for HTTP servers. No query strings, no addresses of people: what identifies a request is
//! its id.
//!
//! Fields whose names begin with `otel.` are for traces and in no log.

use std::borrow::Cow;

use poem::Request;
use poem::http::StatusCode;
use portwright_application::trace::{Origin, begin};
use portwright_domain::trace::{Sampler, TraceState};
use tokio::time::Instant;
use tracing::field::{self, Empty};
use tracing::{Span, error_span, info};

use super::measure::{CLIENT_GONE, method_name};
use super::request_id::RequestId;
use super::routes::Route;
use super::unmetered;
use crate::trace::parent_of;

/// The most bytes of a path that are logged.
const LONGEST_PATH: usize = 256;

/// The line of a request that is being answered.
pub(super) struct AccessLine {
    span: Span,
    started: Instant,
    /// Probes and scrapes come every few seconds and say nothing.
    silent: bool,
    status: u16,
}

impl AccessLine {
    /// Begins the line, and leaves the [`Origin`] of jobs with the request.
    pub(super) fn begin(
        request: &mut Request,
        id: &RequestId,
        route: Option<&Route>,
        sampler: Sampler,
    ) -> Self {
        let silent = unmetered(request.uri().path());
        let sampler = if silent { Sampler { obeys_parent: false, ratio: 0.0 } } else { sampler };
        let parent = parent_of(request.headers());
        let trace = begin(sampler, parent.as_ref());
        // At the level of errors, so that no filter takes from a warning which request it is about.
        let span = error_span!(
            "request",
            request_id = id.as_str(),
            trace_id = %trace.trace_id,
            http.request.method = method_name(request.method()),
            url.path = &*presentable(request.uri().path()),
            http.route = route.map(Route::template),
            http.response.status_code = Empty,
            user_id = Empty,
            "error.type" = Empty,
            otel.kind = "server",
            otel.url.scheme = "http",
            otel.trace = %trace,
            otel.parent = parent.as_ref().map(|parent| field::display(parent.span_id)),
            otel.state = trace.state.as_ref().map(TraceState::as_str),
        );
        request.set_data(Origin { trace, request_id: Some(id.as_str().to_owned()) });
        Self { span, started: Instant::now(), silent, status: CLIENT_GONE }
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
        self.span.record("http.response.status_code", self.status);
        if self.status >= 500 {
            self.span.record("error.type", field::display(self.status));
        }
        if !self.silent {
            let duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            info!(parent: &self.span, duration_ms, "answered");
        }
    }
}

/// A path as it may be logged: clients put into it what they like, and what looks like an e-mail address is left out.
fn presentable(path: &str) -> Cow<'_, str> {
    let shown = path.get(..path.floor_char_boundary(LONGEST_PATH)).unwrap_or_default();
    if !shown.contains(['@', '%']) {
        return shown.into();
    }
    let personal = |segment: &str| segment.contains('@') || segment.contains("%40");
    let segments = shown.split('/').map(|segment| if personal(segment) { "_" } else { segment });
    segments.collect::<Vec<_>>().join("/").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_without_addresses_and_not_for_ever() {
        for (path, shown) in [
            ("/users/7", "/users/7"),
            ("/users/ann@example.org/avatar", "/users/_/avatar"),
            ("/users/ann%40example.org", "/users/_"),
            ("/100%25", "/100%25"),
            ("", ""),
        ] {
            assert_eq!(presentable(path), shown);
        }
        assert_eq!(presentable(&format!("/{}", "ä".repeat(1_000))).len(), LONGEST_PATH - 1);
    }
}
