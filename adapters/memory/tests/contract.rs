//! Every adapter of this crate passes the suite of its port.

#![expect(clippy::unused_async, reason = "a suite awaits its fixture, which most adapters take time to make")]

use std::sync::Arc;

use portwright_domain::ports::{Cache, Clock, IdGenerator, RateLimiter, Storage, Store};
use portwright_memory::{
    FakeSealer, FakeTokens, MemoryCache, MemoryJobQueue, MemoryRateLimiter, MemoryStorage, MemoryStore,
    PlainHasher, SystemClock, UuidV7,
};
use portwright_testkit::contract::job_queue::Queue;
use portwright_testkit::contract::job_queue::limits::LIMITS;
use portwright_testkit::contract::security::{Hashers, Issuers, Sealers};
use portwright_testkit::{Fixture, ManualClock};

async fn fresh_cache() -> Fixture<dyn Cache> {
    let clock = Arc::new(ManualClock::default());
    Fixture::<dyn Cache>::new(Arc::new(MemoryCache::new(1 << 20, clock.clone()))).with_clock(clock)
}
portwright_testkit::cache_contract!(fresh_cache);

async fn fresh_limiter() -> Fixture<dyn RateLimiter> {
    let clock = Arc::new(ManualClock::default());
    let limiter = MemoryRateLimiter::new(1_000, clock.clone());
    Fixture::<dyn RateLimiter>::new(Arc::new(limiter)).with_clock(clock)
}
portwright_testkit::rate_limiter_contract!(fresh_limiter);

async fn fresh_storage() -> Fixture<dyn Storage> {
    Fixture::new(Arc::new(MemoryStorage::new(Arc::new(ManualClock::default()))))
}
portwright_testkit::storage_contract!(fresh_storage);

async fn system_clock() -> Fixture<dyn Clock> {
    let clock = Arc::new(SystemClock);
    Fixture::<dyn Clock>::new(clock.clone()).with_time(clock, |by| Box::pin(tokio::time::sleep(by)))
}
portwright_testkit::clock_contract!(system_clock);

async fn fresh_ids() -> Fixture<dyn IdGenerator> {
    let clock = Arc::new(ManualClock::default());
    Fixture::<dyn IdGenerator>::new(Arc::new(UuidV7::new(clock.clone()))).with_clock(clock)
}
portwright_testkit::id_generator_contract!(fresh_ids);

async fn fresh_queue() -> Fixture<dyn Queue> {
    let clock = Arc::new(ManualClock::default());
    Fixture::<dyn Queue>::new(Arc::new(MemoryJobQueue::new(clock.clone()))).with_clock(clock)
}
portwright_testkit::job_queue_contract!(fresh_queue);

async fn small_queue() -> Fixture<dyn Queue> {
    let clock = Arc::new(ManualClock::default());
    Fixture::<dyn Queue>::new(Arc::new(MemoryJobQueue::with_limits(LIMITS, clock.clone()))).with_clock(clock)
}
portwright_testkit::job_queue_limits_contract!(small_queue);

async fn fresh_store() -> Fixture<dyn Store> {
    Fixture::new(Arc::new(MemoryStore::new()))
}
portwright_testkit::store_contract!(fresh_store);

async fn fresh_hashers() -> Hashers {
    Hashers { today: Arc::new(PlainHasher::new()), weaker: Arc::new(PlainHasher::outdated()) }
}
portwright_testkit::password_hasher_contract!(fresh_hashers);

async fn fresh_issuers() -> Issuers {
    Issuers {
        ours: Arc::new(FakeTokens::new("our key", "here")),
        elsewhere: Arc::new(FakeTokens::new("our key", "elsewhere")),
        stranger: Arc::new(FakeTokens::new("another key", "here")),
    }
}
portwright_testkit::token_issuer_contract!(fresh_issuers);

async fn fresh_sealers() -> Sealers {
    Sealers {
        ours: Arc::new(FakeSealer::new("our key")),
        double: Arc::new(FakeSealer::new("our key")),
        stranger: Arc::new(FakeSealer::new("another key")),
    }
}
portwright_testkit::sealer_contract!(fresh_sealers);
