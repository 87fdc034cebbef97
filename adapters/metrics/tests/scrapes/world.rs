//! One of each event.

use std::time::Duration;

use portwright_domain::error::{ErrorKind, Race};
use portwright_domain::ports::{Event, Observer};
use portwright_metrics::{Metrics, name};
use portwright_testkit::ManualClock;

const QUEUE: &str = "default";
const TASK: &str = "compute.primes";

/// Everything that can be observed, once.
pub(crate) fn everything_happens(metrics: &Metrics) {
    let took = Duration::from_millis(30);
    let events = [
        Event::RequestBegan,
        Event::RequestBegan,
        Event::RequestServed { method: "GET", route: Some("/users/{id}"), status: 200, took },
        Event::RequestServed { method: "_OTHER", route: None, status: 404, took },
        Event::RequestQueued,
        Event::RequestQueued,
        Event::RequestUnqueued,
        Event::RequestShed { reason: "full" },
        Event::RequestPanicked,
        Event::TransactionRetried { operation: "users.change", race: Race::Deadlock },
        Event::CausalRead { outcome: "waited" },
        Event::PortCalled { port: "users", operation: "find", took, error: None },
        Event::PortCalled { port: "storage", operation: "put", took, error: Some(ErrorKind::Unavailable) },
        Event::PortCalled { port: "cache", operation: "get", took, error: None },
        Event::BreakerChanged { breaker: "cache", state: "closed" },
        Event::BreakerChanged { breaker: "cache", state: "open" },
        Event::SignedIn,
        Event::SignInRefused,
        Event::RefreshReused,
        Event::LimitChecked { policy: "default", allowed: true },
        Event::LimitChecked { policy: "default", allowed: false },
        Event::LimitFellBack { policy: "default", to: "local" },
        Event::CacheRead { cache: "reports", hit: true },
        Event::CacheRead { cache: "reports", hit: false },
        Event::JobEnqueued { queue: QUEUE, task: TASK },
        Event::JobStarted { queue: QUEUE, task: TASK, due: ManualClock::START },
        Event::JobFinished { queue: QUEUE, task: TASK, outcome: "retried", took },
        Event::JobFinished { queue: QUEUE, task: TASK, outcome: "succeeded", took },
        Event::LeaseLost { task: TASK },
        Event::WorkerReplaced { reason: "killed" },
    ];
    for event in &events {
        metrics.observe(event);
    }
}

/// The names of what is counted without anybody being asked.
pub(crate) fn observed() -> Vec<&'static str> {
    let metrics = [
        &name::HTTP_DURATION,
        &name::HTTP_ACTIVE,
        &name::HTTP_QUEUED,
        &name::HTTP_SHED,
        &name::HTTP_PANICS,
        &name::RATE_LIMIT,
        &name::LIMIT_FALLBACKS,
        &name::SIGN_INS,
        &name::REFRESH_REUSED,
        &name::DB_DURATION,
        &name::CAUSAL_READS,
        &name::TRANSACTION_RETRIES,
        &name::STORAGE_DURATION,
        &name::PORT_DURATION,
        &name::BREAKER,
        &name::CACHE_REQUESTS,
        &name::JOBS_ENQUEUED,
        &name::JOBS_FINISHED,
        &name::JOB_RUN,
        &name::JOB_WAIT,
        &name::LEASE_LOST,
        &name::WORKER_RESTARTS,
        &name::TOKIO_BUSY,
        &name::TOKIO_DELAY,
    ];
    metrics.iter().map(|metric| metric.name).collect()
}
