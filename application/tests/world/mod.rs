//! A small world: the services over ports in memory, a clock to move, and people who sign in.

mod hasher;
mod people;
mod watching;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use portwright_application::compute::Defaults;
use portwright_application::{Policy, Ports, Services};
use portwright_domain::job::Backoff;
use portwright_domain::ports::{HealthProbe, PasswordHasher, Quota, RateLimiter, Storage, Store};
use portwright_domain::session::SessionLimits;
use portwright_memory::{
    FakeSealer, FakeTokens, MemoryCache, MemoryJobQueue, MemoryRateLimiter, MemoryStorage, MemoryStore,
    PlainHasher,
};
use portwright_testkit::{ManualClock, SequentialIds};

pub(crate) use hasher::{Gate, WatchedHasher};
pub(crate) use people::{
    ADDRESS, PASSWORD, Person, chosen, email, email_of, name, newcomer, registration, typed,
};
pub(crate) use watching::Recorder;

/// The policy of every world that does not say otherwise.
pub(crate) const POLICY: Policy = Policy {
    registration_open: true,
    access_ttl: Duration::from_mins(15),
    session: SessionLimits { idle: Duration::from_hours(24 * 7), absolute: Duration::from_hours(24 * 30) },
    login: Quota { limit: 10, window: Duration::from_mins(1) },
    jobs: Defaults {
        attempts: 3,
        backoff: Backoff::Fixed(Duration::from_secs(1)),
        timeout: Duration::from_mins(1),
        wait: Duration::from_secs(10),
    },
};

/// The services, and the ports that a test looks into or moves.
pub(crate) struct World {
    pub(crate) services: Services,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) queue: Arc<MemoryJobQueue>,
    pub(crate) hasher: Arc<WatchedHasher>,
    pub(crate) tokens: Arc<FakeTokens>,
    pub(crate) sealer: Arc<FakeSealer>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) events: Arc<Recorder>,
}

/// What a test may exchange before the services are wired.
pub(crate) struct Setup {
    pub(crate) policy: Policy,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) hasher: Arc<dyn PasswordHasher>,
    pub(crate) limiter: Arc<dyn RateLimiter>,
    pub(crate) probes: Vec<Arc<dyn HealthProbe>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let clock = Arc::new(ManualClock::default());
        let mut setup = Setup {
            policy: POLICY,
            store: Arc::new(MemoryStore::new()),
            storage: Arc::new(MemoryStorage::new(clock.clone())),
            hasher: Arc::new(PlainHasher::default()),
            limiter: Arc::new(MemoryRateLimiter::new(10_000, clock.clone())),
            probes: Vec::new(),
        };
        change(&mut setup);
        let Setup { policy, store, storage, hasher, limiter, probes } = setup;
        let hasher = Arc::new(WatchedHasher::new(hasher));
        let tokens = Arc::new(FakeTokens::default());
        let sealer = Arc::new(FakeSealer::default());
        let events = Arc::new(Recorder::default());
        let queue = Arc::new(MemoryJobQueue::new(clock.clone()));
        let ports = Ports {
            store: store.clone(),
            queue: queue.clone(),
            cache: Arc::new(MemoryCache::new(1 << 20, clock.clone())),
            storage: storage.clone(),
            hasher: hasher.clone(),
            tokens: tokens.clone(),
            sealer: sealer.clone(),
            limiter,
            clock: clock.clone(),
            ids: Arc::new(SequentialIds::new(clock.clone())),
            observer: events.clone(),
            probes,
        };
        let services = Services::new(ports, policy);
        Self { services, store, storage, queue, hasher, tokens, sealer, clock, events }
    }
}
