//! Behind all layers, every port keeps every promise.

#![expect(clippy::unused_async, reason = "a suite awaits its fixture, which most adapters take time to make")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::job::{Enqueued, Job, JobId, Lease, NewJob, Outcome, Progress, QueueName, WorkerId};
use portwright_domain::page::{Page, PageRequest};
use portwright_domain::ports::job_queue::{
    Cancelled, Exchange, JobFilter, LeaseRequest, QueueStatus, Removed, Renewal, Settlement,
};
use portwright_domain::ports::{Cache, JobQueue, JobSource, RateLimiter, Storage, Store, Unobserved};
use portwright_layers::{Fallback, Layers, Policy, StoragePolicy, StorePolicy, WhenAway};
use portwright_memory::{MemoryCache, MemoryJobQueue, MemoryRateLimiter, MemoryStorage, MemoryStore};
use portwright_testkit::contract::job_queue::Queue;
use portwright_testkit::contract::job_queue::limits::LIMITS;
use portwright_testkit::{Fixture, ManualClock};

fn layers() -> Layers {
    Layers::new(Arc::new(Unobserved))
}

async fn fresh_store() -> Fixture<dyn Store> {
    Fixture::new(layers().store(Arc::new(MemoryStore::new()), StorePolicy::REMOTE))
}
portwright_testkit::store_contract!(fresh_store);

async fn fresh_cache() -> Fixture<dyn Cache> {
    let clock = Arc::new(ManualClock::default());
    let cache = Arc::new(MemoryCache::new(1 << 20, clock.clone()));
    Fixture::new(layers().cache(cache, Policy::REMOTE)).with_clock(clock)
}
portwright_testkit::cache_contract!(fresh_cache);

async fn fresh_limiter() -> Fixture<dyn RateLimiter> {
    let clock = Arc::new(ManualClock::default());
    let limiter = Arc::new(MemoryRateLimiter::new(1_000, clock.clone()));
    // None of its refusals may be seen.
    let fallback = Fallback::new(Arc::new(MemoryRateLimiter::new(0, clock.clone())), WhenAway::Closed);
    Fixture::new(layers().shared_rate_limiter(limiter, Policy::REMOTE, fallback)).with_clock(clock)
}
portwright_testkit::rate_limiter_contract!(fresh_limiter);

async fn fresh_storage() -> Fixture<dyn Storage> {
    let storage = Arc::new(MemoryStorage::new(Arc::new(ManualClock::default())));
    Fixture::new(layers().storage(storage, StoragePolicy::REMOTE))
}
portwright_testkit::storage_contract!(fresh_storage);

async fn fresh_queue() -> Fixture<dyn Queue> {
    let clock = Arc::new(ManualClock::default());
    halves(Arc::new(MemoryJobQueue::new(clock.clone()))).with_clock(clock)
}
portwright_testkit::job_queue_contract!(fresh_queue);

async fn small_queue() -> Fixture<dyn Queue> {
    let clock = Arc::new(ManualClock::default());
    halves(Arc::new(MemoryJobQueue::with_limits(LIMITS, clock.clone()))).with_clock(clock)
}
portwright_testkit::job_queue_limits_contract!(small_queue);

fn halves(queue: Arc<MemoryJobQueue>) -> Fixture<dyn Queue> {
    let layers = layers();
    let caller = layers.job_queue(queue.clone(), Policy::REMOTE);
    Fixture::<dyn Queue>::new(Arc::new(Halves { caller, worker: layers.job_source(queue, Policy::REMOTE) }))
}

/// The suite is about both halves together; each has layers of its own.
struct Halves {
    caller: Arc<dyn JobQueue>,
    worker: Arc<dyn JobSource>,
}

#[async_trait]
impl JobQueue for Halves {
    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, PortError> {
        self.caller.enqueue(jobs).await
    }

    async fn find(&self, id: JobId) -> Result<Option<Job>, PortError> {
        self.caller.find(id).await
    }

    async fn removed(&self, id: JobId) -> Result<Option<Removed>, PortError> {
        self.caller.removed(id).await
    }

    async fn call(&self, job: &NewJob, wait: Duration) -> Result<Option<Outcome>, PortError> {
        self.caller.call(job, wait).await
    }

    async fn outcome(&self, id: JobId, wait: Duration) -> Result<Option<Outcome>, PortError> {
        self.caller.outcome(id, wait).await
    }

    async fn changed(&self, seen: &Job, wait: Duration) -> Result<Option<Job>, PortError> {
        self.caller.changed(seen, wait).await
    }

    async fn list(&self, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, PortError> {
        self.caller.list(filter, page).await
    }

    async fn cancel(&self, id: JobId) -> Result<Cancelled, PortError> {
        self.caller.cancel(id).await
    }

    async fn retry(&self, id: JobId) -> Result<bool, PortError> {
        self.caller.retry(id).await
    }

    async fn queues(&self) -> Result<Vec<QueueStatus>, PortError> {
        self.caller.queues().await
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<(), PortError> {
        self.caller.set_paused(queue, paused).await
    }
}

#[async_trait]
impl JobSource for Halves {
    async fn exchange(&self, settle: &[Settlement], want: &LeaseRequest) -> Result<Exchange, PortError> {
        self.worker.exchange(settle, want).await
    }

    async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<Renewal, PortError> {
        self.worker.renew(worker, lease).await
    }

    async fn report(&self, lease: &Lease, progress: &Progress) -> Result<(), PortError> {
        self.worker.report(lease, progress).await
    }

    async fn bury(&self, worker: &WorkerId) -> Result<u64, PortError> {
        self.worker.bury(worker).await
    }

    async fn reclaim(&self) -> Result<u64, PortError> {
        self.worker.reclaim().await
    }
}
