//! Everything between the server and the endpoints, in one place: [`protect`].
//!
//! A request passes, from the outside in, and its answer from the inside out:
//!
//! 1. **identity** – [`RequestId`](request_id), [`ClientAddress`], the route: known before anything can fail
//! 2. **access line** ([`access_log`]) and **measure** ([`measure`]) – one per request, with the final status, also for a
//!    client that went away
//! 3. **headers** ([`security_headers`]) – on every answer
//! 4. **concurrency** ([`concurrency`]) – what comes on top of all that can be done is refused before it costs anything
//! 5. **rate limit** ([`rate_limit`]) – refused requests go no further, and all that counts shows what is left
//! 6. **problems** ([`Problem`]) – whatever went wrong inside becomes one
//! 7. **refusals** – what the server could not accept as a request, methods that no path has, and answers that the
//!    client could not take
//! 8. **body** ([`body`]) – size and pace, so that a handler can simply read
//! 9. **deadline** and **panics** – a handler ends, and ends only itself

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use poem::endpoint::{DynEndpoint, ToDynEndpoint};
use poem::error::MethodNotAllowedError;
use poem::http::{Method, StatusCode, header};
use poem::{Endpoint, EndpointExt, IntoEndpoint, Request, Response, Result};
use portwright_domain::ports::{Event, IdGenerator, Observer};
use portwright_domain::trace::Sampler;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::problem::{Problem, ProblemCode};
use crate::server::{Refusal, ServerLimits};

mod accept;
mod access_log;
mod answer;
mod body;
mod client_address;
mod concurrency;
mod deadline;
mod measure;
mod rate_limit;
mod request_id;
mod routes;
mod security_headers;

use access_log::AccessLine;
use answer::Exchange;
pub use client_address::{ClientAddress, NetworkInvalid, TrustedProxies};
use concurrency::Concurrency;
pub use concurrency::ConcurrencyLimit;
pub(crate) use concurrency::aside;
use deadline::failed_in_the_end;
pub use deadline::{Handling, WithDeadline};
use measure::Measure;
pub use rate_limit::{Identify, Shares};
use rate_limit::{RateLimits, Standing};
use request_id::RequestId;
pub(crate) use routes::Route;
pub use routes::Routes;

/// What the layers need.
pub struct Protection {
    /// Bounds on what a client can take up.
    pub limits: ServerLimits,
    /// Every path that is served, with its methods.
    pub routes: Routes,
    /// Who may tell us on whose behalf a request comes.
    pub proxies: TrustedProxies,
    /// Makes request ids.
    pub ids: Arc<dyn IdGenerator>,
    /// Is told of every request but probes and scrapes.
    pub observer: Arc<dyn Observer>,
    /// Which requests are recorded as traces.
    pub sampler: Sampler,
    /// How many requests a client may send; `None` for as many as it likes.
    pub shares: Option<Shares>,
    /// How many requests are worked on at a time; `None` for all that come. Probes and scrapes are never kept waiting.
    pub concurrency: Option<ConcurrencyLimit>,
    /// Tells all that is done for a request until when it is of use.
    pub with_deadline: WithDeadline,
}

/// An endpoint behind its layers. It never fails: what went wrong is an answer.
pub struct Protected {
    endpoint: Box<dyn DynEndpoint<Output = Response>>,
    limits: ServerLimits,
    routes: Routes,
    proxies: TrustedProxies,
    ids: Arc<dyn IdGenerator>,
    observer: Arc<dyn Observer>,
    sampler: Sampler,
    rates: Option<RateLimits>,
    concurrency: Option<Arc<Concurrency>>,
    with_deadline: WithDeadline,
}

/// Probes and scrapes: they are neither counted nor logged, so that watching the service costs nobody anything.
pub(crate) fn unmetered(path: &str) -> bool {
    path == "/metrics" || path == "/health" || path.starts_with("/health/")
}

/// Puts all layers around `endpoint`.
#[must_use]
pub fn protect(endpoint: impl IntoEndpoint<Endpoint: 'static>, protection: Protection) -> Protected {
    let Protection { limits, routes, proxies, ids, observer, sampler, shares, concurrency, with_deadline } =
        protection;
    Protected {
        endpoint: Box::new(ToDynEndpoint(endpoint.into_endpoint().map_to_response())),
        limits,
        routes,
        proxies,
        ids,
        rates: shares.map(|shares| RateLimits::new(shares, observer.clone())),
        concurrency: concurrency.map(|limit| Concurrency::new(limit, observer.clone())),
        with_deadline,
        observer,
        sampler,
    }
}

impl Endpoint for Protected {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let id = RequestId::of(&request, &*self.ids);
        let client = ClientAddress::of(&request, &self.proxies);
        let route = self.routes.find(request.uri().path());
        let exchange = Exchange::new(&request, id.clone());
        let line = AccessLine::begin(&mut request, &id, route, self.sampler);
        let measure = Measure::begin(&*self.observer, &request, route);
        request.set_data(client);

        let mut response = self.admitted(request, client, route, &exchange).instrument(line.span()).await;
        id.write(&mut response);
        security_headers::write(&mut response);
        measure.end(response.status());
        line.end(response.status());
        Ok(response)
    }
}

impl Protected {
    /// The bounds that the endpoint was protected with.
    pub(crate) const fn limits(&self) -> &ServerLimits {
        &self.limits
    }

    /// The proxies that the endpoint trusts.
    pub(crate) const fn proxies(&self) -> &TrustedProxies {
        &self.proxies
    }

    /// Answers the request when it is its turn, which it has until the head of the answer is there: a body that is streamed
    /// is its client's affair.
    async fn admitted(
        &self,
        mut request: Request,
        client: ClientAddress,
        route: Option<&Route>,
        exchange: &Exchange,
    ) -> Response {
        // What is refused anyway costs less than to wait.
        let waits = !unmetered(request.uri().path()) && request.data::<Refusal>().is_none();
        let Some(concurrency) = self.concurrency.as_ref().filter(|_| waits) else {
            return self.counted(request, client, route, exchange).await;
        };
        match concurrency.enter().await {
            Ok(turn) => {
                request.set_data(turn.clone());
                let response = self.counted(request, client, route, exchange).await;
                turn.end();
                response
            }
            Err(problem) => exchange.answer(Err(problem.into())),
        }
    }

    /// Takes the request from its client's share, and answers it if there was something left.
    async fn counted(
        &self,
        request: Request,
        client: ClientAddress,
        route: Option<&Route>,
        exchange: &Exchange,
    ) -> Response {
        let standing = match &self.rates {
            Some(rates) => rates.take(&request, client).await,
            None => Standing::Unknown,
        };
        let answered = match standing.refused() {
            Some(problem) => Err(problem.into()),
            None => self.answered(request, route).await,
        };
        let mut response = exchange.answer(answered);
        standing.write(&mut response);
        response
    }

    async fn answered(&self, mut request: Request, route: Option<&Route>) -> Result<Response> {
        if let Some(refusal) = request.data::<Refusal>() {
            return Err(answer::refused(*refusal).into());
        }
        match (request.method(), route) {
            (&(Method::TRACE | Method::CONNECT), _) => return Err(self.method_not_allowed(route).into()),
            (&Method::OPTIONS, Some(_)) => return Ok(self.options(route)),
            // `OPTIONS *` asks about the server as a whole.
            (&Method::OPTIONS, None) if request.uri().path() == "*" => return Ok(self.options(None)),
            _ => {}
        }
        // A probe wants to know how we are, and seldom says in which form.
        let choosy = route.filter(|_| !unmetered(request.uri().path()));
        if choosy.is_some_and(|route| !accept::allows(&request, route.produced(request.method()))) {
            return Err(Problem::new(ProblemCode::NotAcceptable).into());
        }
        let limits = route.and_then(Route::limits).unwrap_or(self.limits.route);
        let watch = body::watch(&mut request, limits.body_bytes, &self.limits)?;
        let at = Instant::now() + limits.deadline;
        let handled = (self.with_deadline)(at, DynEndpoint::call(&*self.endpoint, request));
        let answered = match timeout_at(at, AssertUnwindSafe(handled).catch_unwind()).await {
            Ok(Ok(answered)) if !failed_in_the_end(&answered, at) => answered,
            Ok(Err(_panic)) => {
                // The panic itself has been logged, with its place.
                tracing::debug!("a handler panicked");
                self.observer.observe(&Event::RequestPanicked);
                Err(Problem::new(ProblemCode::Internal).into())
            }
            Ok(Ok(_)) | Err(_) => Err(watch.late().into()),
        };
        match answered {
            Err(error) if error.is::<MethodNotAllowedError>() => Err(self.method_not_allowed(route).into()),
            answered => watch.judge(answered),
        }
    }

    fn options(&self, route: Option<&Route>) -> Response {
        let allow = self.routes.allow(route);
        Response::builder().status(StatusCode::NO_CONTENT).header(header::ALLOW, allow).finish()
    }

    fn method_not_allowed(&self, route: Option<&Route>) -> Problem {
        Problem::new(ProblemCode::MethodNotAllowed).with_header(header::ALLOW, self.routes.allow(route))
    }
}
