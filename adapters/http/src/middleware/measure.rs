//! Every request is observed when it begins and when it ends, under names of which there are few.

use poem::Request;
use poem::http::{Method, StatusCode};
use portwright_domain::ports::{Event, Observer};
use tokio::time::Instant;

use super::routes::Route;
use super::unmetered;

/// What nginx made the name for a client that did not wait for its answer.
pub(super) const CLIENT_GONE: u16 = 499;

/// The measure of a request that is being answered.
pub(super) struct Measure<'a> {
    /// `None` for probes and scrapes: they would be most of the traffic of a quiet service, and its slowest answers.
    observer: Option<&'a dyn Observer>,
    method: &'static str,
    route: Option<&'a str>,
    began: Instant,
    status: u16,
}

impl<'a> Measure<'a> {
    pub(super) fn begin(observer: &'a dyn Observer, request: &Request, route: Option<&'a Route>) -> Self {
        let observer = (!unmetered(request.uri().path())).then_some(observer);
        if let Some(observer) = observer {
            observer.observe(&Event::RequestBegan);
        }
        let (method, route) = (method_name(request.method()), route.map(Route::template));
        Self { observer, method, route, began: Instant::now(), status: CLIENT_GONE }
    }

    pub(super) fn end(mut self, status: StatusCode) {
        self.status = status.as_u16();
    }
}

/// Also when the answer is abandoned, because the client went away.
impl Drop for Measure<'_> {
    fn drop(&mut self) {
        let Some(observer) = self.observer else { return };
        let (method, route, status, took) = (self.method, self.route, self.status, self.began.elapsed());
        observer.observe(&Event::RequestServed { method, route, status, took });
    }
}

/// Clients can make up methods; the log, the metrics and their readers should not have to cope with them.
pub(super) fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "_OTHER",
    }
}
