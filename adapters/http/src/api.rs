//! The API as a whole: every operation, behind the layers that hold for all of them.

use std::sync::Arc;

use poem::{EndpointExt, Route};
use poem_openapi::{OpenApi, OpenApiService};
use portwright_application::Services;
use portwright_domain::ports::{Clock, IdGenerator, Observer, Quota, RateLimiter, Sealer, TokenIssuer};
use portwright_domain::trace::Sampler;
use tokio_util::sync::CancellationToken;

use crate::avatars::{self, AvatarsApi};
use crate::compute::{self, ComputeApi};
use crate::document::Document;
use crate::health::{HealthApi, HealthDetails};
use crate::idempotency::Idempotent;
use crate::jobs::JobsApi;
use crate::metrics::{Exposition, MetricsApi};
use crate::middleware::{
    ConcurrencyLimit, Identify, Protected, Protection, Routes, Shares, TrustedProxies, WithDeadline, protect,
};
use crate::operations::OperationsApi;
use crate::principal::bearer_token;
use crate::problem::ProblemPages;
use crate::queues::QueuesApi;
use crate::server::ServerLimits;
use crate::sessions::SessionsApi;
use crate::transfers::{self, TransfersApi};
use crate::unknown_parameters::KnownParameters;
use crate::users::UsersApi;

/// Every operation there is.
type Operations = (
    SessionsApi,
    UsersApi,
    AvatarsApi,
    TransfersApi,
    JobsApi,
    QueuesApi,
    ComputeApi,
    HealthApi,
    MetricsApi,
    OperationsApi,
    ProblemPages,
);

/// The OpenAPI document of every operation.
#[must_use]
pub fn document() -> Document {
    Document::of::<Operations>()
}

/// What the API needs besides the use cases.
pub struct ApiPorts {
    /// Tells who calls, and publishes the keys to check it with.
    pub tokens: Arc<dyn TokenIssuer>,
    /// Seals cursors and consistency tokens.
    pub sealer: Arc<dyn Sealer>,
    /// Counts requests.
    pub limiter: Arc<dyn RateLimiter>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identities of requests.
    pub ids: Arc<dyn IdGenerator>,
    /// Is told of every request.
    pub observer: Arc<dyn Observer>,
    /// What was counted, if everybody may see it.
    pub exposition: Option<Arc<dyn Exposition>>,
    /// Tells what is behind the use cases until when an answer is of use.
    pub with_deadline: WithDeadline,
}

/// What the operator decides.
pub struct ApiPolicy {
    /// How many requests a client may send.
    pub quota: Quota,
    /// Who may tell on whose behalf a request comes.
    pub proxies: TrustedProxies,
    /// Who sees more of the health than its status.
    pub health: HealthDetails,
    /// How much of the server a client may take up.
    pub limits: ServerLimits,
    /// How many requests are worked on at a time.
    pub concurrency: ConcurrencyLimit,
    /// Which requests are recorded as traces.
    pub sampler: Sampler,
}

/// How the API learns that its process is about to end.
#[derive(Debug, Clone)]
pub struct Draining {
    /// Cancelled when no balancer should send requests here any more: readiness says no. That is not so where another
    /// process takes the place of this one.
    pub unready: CancellationToken,
    /// Cancelled when what would go on for ever has to end: streams do.
    pub streams: CancellationToken,
}

/// The endpoint of the whole API.
#[must_use]
pub fn api(services: &Services, ports: ApiPorts, policy: ApiPolicy, draining: Draining) -> Protected {
    let ApiPorts { tokens, sealer, limiter, clock, ids, observer, exposition, with_deadline } = ports;
    let document = document();
    let routes = Routes::of_document(&document.value)
        .with_limits(avatars::PATH, avatars::LIMITS)
        .with_limits("/compute/primes", compute::LIMITS)
        .with_limits("/users/import", transfers::IMPORT_LIMITS);

    let operations: Operations = (
        SessionsApi { sessions: services.sessions.clone(), sealer: sealer.clone() },
        UsersApi { users: services.users.clone(), sealer: sealer.clone() },
        AvatarsApi { avatars: services.avatars.clone(), sealer: sealer.clone() },
        TransfersApi {
            imports: services.imports.clone(),
            exports: services.exports.clone(),
            jobs: services.jobs.clone(),
            sealer: sealer.clone(),
        },
        JobsApi {
            jobs: services.jobs.clone(),
            sessions: services.sessions.clone(),
            sealer: sealer.clone(),
            streams: Arc::default(),
            draining: draining.streams,
        },
        QueuesApi { jobs: services.jobs.clone(), sealer: sealer.clone() },
        ComputeApi { primes: services.primes.clone(), jobs: services.jobs.clone(), sealer: sealer.clone() },
        HealthApi {
            health: services.health.clone(),
            sessions: services.sessions.clone(),
            details: policy.health,
            unready: draining.unready,
        },
        MetricsApi { exposition },
        OperationsApi { tokens: tokens.clone(), written: (&document).into() },
        ProblemPages,
    );
    let identify = identify(tokens, clock.clone());
    let operations = routed(operations).data(services.sessions.clone()).map_to_response();
    let endpoint = Idempotent {
        inner: Arc::new(KnownParameters::new(operations, &document.value, routes.clone())),
        keys: services.idempotency.clone(),
        sessions: services.sessions.clone(),
        sealer,
        routes: routes.clone(),
    };
    let ApiPolicy { quota, proxies, limits, concurrency, sampler, .. } = policy;
    let shares = Some(Shares { limiter, quota, clock, identify });
    let concurrency = Some(concurrency);
    protect(
        endpoint,
        Protection { limits, routes, proxies, ids, observer, sampler, shares, concurrency, with_deadline },
    )
}

pub(crate) fn routed(operations: impl OpenApi + 'static) -> Route {
    Route::new().nest_no_strip("/", OpenApiService::new(operations, "", ""))
}

/// Whose token it is, by its signature alone: enough to know whose share of the rate limit a request takes.
fn identify(tokens: Arc<dyn TokenIssuer>, clock: Arc<dyn Clock>) -> Identify {
    Arc::new(move |request| {
        let claims = tokens.verify(bearer_token(request)?, clock.now());
        claims.ok().map(|claims| claims.user_id)
    })
}
