//! [`Layers`]: puts the layers before ports, and knows their breakers.

use std::sync::{Arc, Mutex, PoisonError};

use portwright_domain::ports::{
    Cache, Event, HealthProbe, JobQueue, JobSource, Observer, RateLimiter, Storage, Store,
};

use crate::breaker::Breaker;
use crate::cache::GuardedCache;
use crate::fallback::{Fallback, FallbackRateLimiter};
use crate::guard::Guard;
use crate::health::BreakersHealth;
use crate::job_queue::GuardedJobQueue;
use crate::job_source::GuardedJobSource;
use crate::policy::{Policy, StoragePolicy, StorePolicy};
use crate::rate_limiter::GuardedRateLimiter;
use crate::storage::GuardedStorage;
use crate::store::GuardedStore;

/// Every breaker that was made, in that order.
pub(crate) type Breakers = Arc<Mutex<Vec<Arc<Breaker>>>>;

/// Puts deadlines, breakers and an observer before ports. Each port gets breakers of its own, so that one that is down
/// takes no other with it.
pub struct Layers {
    observer: Arc<dyn Observer>,
    breakers: Breakers,
}

impl Layers {
    /// Everything is told to this observer.
    #[must_use]
    pub fn new(observer: Arc<dyn Observer>) -> Self {
        Self { observer, breakers: Arc::default() }
    }

    /// A store with three breakers, for what can be down alone: `store.writes`, `store.strong` (reads of the newest
    /// state) and `store.reads` (which a replica may answer).
    #[must_use]
    pub fn store(&self, store: Arc<dyn Store>, policy: StorePolicy) -> Arc<dyn Store> {
        let guard = |name| self.guard(name, policy.policy);
        let (writes, strong, reads) = (guard("store.writes"), guard("store.strong"), guard("store.reads"));
        Arc::new(GuardedStore { store, writes, strong, reads, policy })
    }

    /// The caller's half of a queue, with the breaker `job_queue`.
    #[must_use]
    pub fn job_queue(&self, queue: Arc<dyn JobQueue>, policy: Policy) -> Arc<dyn JobQueue> {
        Arc::new(GuardedJobQueue { queue, guard: self.guard("job_queue", policy) })
    }

    /// The worker's half of a queue, with the breaker `job_source`.
    #[must_use]
    pub fn job_source(&self, source: Arc<dyn JobSource>, policy: Policy) -> Arc<dyn JobSource> {
        Arc::new(GuardedJobSource { source, guard: self.guard("job_source", policy) })
    }

    /// A cache, with the breaker `cache`.
    #[must_use]
    pub fn cache(&self, cache: Arc<dyn Cache>, policy: Policy) -> Arc<dyn Cache> {
        Arc::new(GuardedCache { cache, guard: self.guard("cache", policy) })
    }

    /// A storage, with the breaker `storage`.
    #[must_use]
    pub fn storage(&self, storage: Arc<dyn Storage>, policy: StoragePolicy) -> Arc<dyn Storage> {
        Arc::new(GuardedStorage { storage, guard: self.guard("storage", policy.policy), part: policy.part })
    }

    /// A limiter, with the breaker `rate_limiter`.
    #[must_use]
    pub fn rate_limiter(&self, limiter: Arc<dyn RateLimiter>, policy: Policy) -> Arc<dyn RateLimiter> {
        Arc::new(GuardedRateLimiter { limiter, guard: self.guard("rate_limiter", policy) })
    }

    /// A limiter that other processes share, behind the same; and what answers while it does not, which each policy may
    /// choose, and which never fails as long as the local limiter does not.
    #[must_use]
    pub fn shared_rate_limiter(
        &self,
        limiter: Arc<dyn RateLimiter>,
        policy: Policy,
        fallback: Fallback,
    ) -> Arc<dyn RateLimiter> {
        let shared = self.rate_limiter(limiter, policy);
        Arc::new(FallbackRateLimiter { shared, fallback, observer: self.observer.clone() })
    }

    /// The probe `breakers`: the state of every one, those that are made later included. It never fails, because the
    /// probe of the port that is down says so already.
    #[must_use]
    pub fn health(&self) -> Arc<dyn HealthProbe> {
        Arc::new(BreakersHealth(self.breakers.clone()))
    }

    fn guard(&self, name: &'static str, policy: Policy) -> Guard {
        let breaker = Arc::new(Breaker::new(name, policy.thresholds, self.observer.clone()));
        // A breaker that has never opened is there, too.
        self.observer.observe(&Event::BreakerChanged { breaker: name, state: breaker.state().as_str() });
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner).push(breaker.clone());
        Guard::new(breaker, self.observer.clone(), policy.deadline)
    }
}
