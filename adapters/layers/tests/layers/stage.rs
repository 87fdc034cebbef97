//! Ports that misbehave on cue behind all layers, and somebody who remembers what was observed.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use portwright_domain::ports::{
    Cache, CacheKey, Consistency, Event, HealthProbe, HealthStatus, Observer, Store,
};
use portwright_domain::{ErrorKind, PortError};
use portwright_layers::{Layers, Policy, StorePolicy, Thresholds};
use portwright_memory::{MemoryCache, MemoryStore};
use portwright_testkit::ManualClock;
use portwright_testkit::faults::{Fault, Flaky, When};
use tokio::time::Instant;

/// One second to answer, and a breaker that opens on half of ten calls.
pub(crate) const POLICY: Policy = Policy {
    deadline: Duration::from_secs(1),
    thresholds: Thresholds {
        window: Duration::from_mins(1),
        calls: 10,
        failed_percent: 50,
        slow_after: Duration::from_millis(100),
        slow_percent: 50,
        open: Duration::from_millis(500),
        probes: 3,
    },
};

/// Longer than any breaker is open.
pub(crate) const A_WHILE: Duration = Duration::from_millis(750);

/// Never, as far as a test is concerned.
pub(crate) const BLACK_HOLE: Fault = Fault::Delay(Duration::from_hours(1));

pub(crate) const AWAY: Fault = Fault::Refuse(ErrorKind::Unavailable);

/// Everything that was observed, as text; durations are left out.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    /// What was observed since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The states of all breakers since the last call.
    pub(crate) fn states(&self) -> Vec<String> {
        self.take().into_iter().filter(|seen| seen.contains(" is ")).collect()
    }
}

impl Observer for Recorder {
    fn observe(&self, event: &Event<'_>) {
        let text = match event {
            Event::PortCalled { port, operation, error, .. } => {
                format!("{port}.{operation} {}", error.map_or("works", ErrorKind::as_str))
            }
            Event::BreakerChanged { breaker, state } => format!("{breaker} is {state}"),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

/// A cache and a store, each as it is and behind its layers.
pub(crate) struct Stage {
    pub(crate) flaky: Arc<Flaky<dyn Cache>>,
    pub(crate) cache: Arc<dyn Cache>,
    pub(crate) flaky_store: Arc<Flaky<dyn Store>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) recorder: Arc<Recorder>,
    health: Arc<dyn HealthProbe>,
}

impl Stage {
    pub(crate) fn new(policy: Policy) -> Self {
        let clock = Arc::new(ManualClock::default());
        let flaky: Arc<Flaky<dyn Cache>> = Arc::new(Flaky::new(Arc::new(MemoryCache::new(1 << 20, clock))));
        let flaky_store: Arc<Flaky<dyn Store>> = Arc::new(Flaky::new(Arc::new(MemoryStore::new())));
        let recorder = Arc::new(Recorder::default());
        let layers = Layers::new(recorder.clone());
        let (question, commit) = (policy.deadline, policy.deadline * 2);
        let stage = Self {
            cache: layers.cache(flaky.clone(), policy),
            store: layers.store(flaky_store.clone(), StorePolicy { policy, question, commit }),
            flaky,
            flaky_store,
            recorder,
            health: layers.health(),
        };
        let made =
            ["cache", "store.writes", "store.strong", "store.reads"].map(|it| format!("{it} is closed"));
        assert_eq!(stage.recorder.take(), made, "a breaker tells how it is as soon as it is there");
        stage
    }

    pub(crate) async fn get(&self) -> Result<(), PortError> {
        self.cache.get(&CacheKey::parse("key").expect("a key")).await.map(drop)
    }

    pub(crate) async fn read(&self, consistency: Consistency) -> Result<(), PortError> {
        self.store.read(consistency).await.map(drop)
    }

    /// The cache goes away, and its breaker opens.
    pub(crate) async fn open(&self) {
        self.flaky.cue(When::Always, AWAY);
        for _ in 0..POLICY.thresholds.calls {
            self.get().await.expect_err("the cache is away");
        }
        assert_eq!(self.state("cache").await, "open");
        self.recorder.take();
    }

    /// The state of a breaker, as its health says.
    pub(crate) async fn state(&self, breaker: &str) -> String {
        let health = self.health.check().await;
        let is_open = health.details.iter().any(|(_, state)| state == "open");
        assert_eq!(health.status, if is_open { HealthStatus::Warn } else { HealthStatus::Pass });
        let found = health.details.into_iter().find(|(name, _)| *name == breaker);
        found.map(|(_, state)| state).expect("a breaker of this name")
    }
}

/// Whether a call was refused by the breaker of this name, and never reached its port.
pub(crate) fn is_refusal<T>(answer: &Result<T, PortError>, breaker: &str) -> bool {
    let detail = format!("the breaker {breaker} is open");
    answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable && error.detail() == detail)
}

/// What becomes of a future at first sight.
pub(crate) async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// The call fails for want of an answer after this long, and not a tenth of a second later.
pub(crate) async fn is_late_after<T>(limit: Duration, call: impl Future<Output = Result<T, PortError>>) {
    let began = Instant::now();
    let error = call.await.err().expect("nobody answers");
    assert_eq!((error.kind(), error.detail()), (ErrorKind::Unavailable, &*format!("no answer in {limit:?}")));
    let took = began.elapsed();
    assert!(took >= limit && took <= limit + Duration::from_millis(100), "{}: {took:?}", error.operation());
}
