//! A suite is worth what it finds: adapters that are broken on purpose fail, by the name of the promise they break.

#![expect(clippy::expect_used, reason = "an adapter for a test may panic like one")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::PortError;
use portwright_domain::ports::{
    Cache, CacheKey, Clock, CommitToken, Consistency, Decision, IdempotencyRepository, Object, ObjectBody,
    ObjectInfo, ObjectKey, Outbox, Quota, RateKey, RateLimiter, ReadView, SessionRepository, Storage, Store,
    UnitOfWork, UserRepository,
};
use portwright_memory::{MemoryRateLimiter, MemoryStorage, MemoryStore};
use portwright_testkit::contract::{cache, rate_limiter, storage, store};
use portwright_testkit::{Fixture, ManualClock, broken_promises};

/// Keeps every value for ever.
#[derive(Default)]
struct Hoarder(Mutex<HashMap<CacheKey, Bytes>>);

#[async_trait]
impl Cache for Hoarder {
    async fn get(&self, key: &CacheKey) -> Result<Option<Bytes>, PortError> {
        Ok(self.0.lock().expect("not poisoned").get(key).cloned())
    }

    async fn put(&self, key: &CacheKey, value: Bytes, ttl: Duration) -> Result<(), PortError> {
        let mut values = self.0.lock().expect("not poisoned");
        if ttl.is_zero() {
            values.remove(key)
        } else {
            values.insert(key.clone(), value)
        };
        Ok(())
    }

    async fn remove(&self, keys: &[CacheKey]) -> Result<(), PortError> {
        self.0.lock().expect("not poisoned").retain(|key, _| !keys.contains(key));
        Ok(())
    }
}

#[tokio::test]
async fn a_cache_that_forgets_to_forget_is_found() {
    async fn fresh() -> Fixture<dyn Cache> {
        Fixture::<dyn Cache>::new(Arc::new(Hoarder::default())).with_clock(Arc::default())
    }
    let broken = broken_promises(cache::PROMISES, fresh).await;
    assert_eq!(broken, ["no_value_outlives_its_time", "put_replaces_the_time"]);
}

/// Looks first and takes then, as if nobody came in between.
struct Hasty {
    counts: MemoryRateLimiter,
}

#[async_trait]
impl RateLimiter for Hasty {
    async fn take(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        let seen = self.counts.peek(key, quota).await?;
        tokio::task::yield_now().await;
        let taken = self.counts.take(key, quota).await?;
        Ok(Decision { allowed: seen.allowed, ..taken })
    }

    async fn peek(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        self.counts.peek(key, quota).await
    }
}

#[tokio::test]
async fn a_limiter_that_looks_before_it_takes_is_found() {
    async fn fresh() -> Fixture<dyn RateLimiter> {
        let clock = Arc::new(ManualClock::default());
        let limiter = Hasty { counts: MemoryRateLimiter::new(1_000, clock.clone()) };
        Fixture::<dyn RateLimiter>::new(Arc::new(limiter)).with_clock(clock)
    }
    let broken = broken_promises(rate_limiter::PROMISES, fresh).await;
    assert_eq!(broken, ["many_at_once_get_exactly_the_limit"]);
}

/// Counts in windows that begin on the minute, whoever comes when.
struct ByTheClock {
    counts: MemoryRateLimiter,
    clock: Arc<dyn Clock>,
}

impl ByTheClock {
    /// The window is part of the key, so each minute has counts of its own.
    fn in_this_minute(&self, key: &RateKey) -> RateKey {
        let minute = self.clock.now().unix_seconds() / 60;
        RateKey { policy: key.policy, client: format!("{}@{minute}", key.client) }
    }
}

#[async_trait]
impl RateLimiter for ByTheClock {
    async fn take(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        self.counts.take(&self.in_this_minute(key), quota).await
    }

    async fn peek(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        self.counts.peek(&self.in_this_minute(key), quota).await
    }
}

#[tokio::test]
async fn a_limiter_whose_windows_begin_on_the_minute_is_found() {
    async fn fresh() -> Fixture<dyn RateLimiter> {
        let clock = Arc::new(ManualClock::default());
        let counts = MemoryRateLimiter::new(1_000, clock.clone());
        let limiter = ByTheClock { counts, clock: clock.clone() };
        Fixture::<dyn RateLimiter>::new(Arc::new(limiter)).with_clock(clock)
    }
    let broken = broken_promises(rate_limiter::PROMISES, fresh).await;
    assert_eq!(broken, ["a_window_begins_with_the_first_unit"]);
}

/// Commits whatever it is asked to undo.
#[derive(Default)]
struct Stubborn(MemoryStore);

struct StubbornUnit(Box<dyn UnitOfWork>);

#[async_trait]
impl Store for Stubborn {
    async fn read(&self, consistency: Consistency) -> Result<Box<dyn ReadView>, PortError> {
        self.0.read(consistency).await
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, PortError> {
        Ok(Box::new(StubbornUnit(self.0.begin().await?)))
    }
}

#[async_trait]
impl UnitOfWork for StubbornUnit {
    fn users(&mut self) -> &mut dyn UserRepository {
        self.0.users()
    }

    fn sessions(&mut self) -> &mut dyn SessionRepository {
        self.0.sessions()
    }

    fn idempotency(&mut self) -> &mut dyn IdempotencyRepository {
        self.0.idempotency()
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        self.0.outbox()
    }

    async fn commit(self: Box<Self>) -> Result<CommitToken, PortError> {
        self.0.commit().await
    }

    async fn rollback(self: Box<Self>) -> Result<(), PortError> {
        self.0.commit().await.map(drop)
    }
}

#[tokio::test]
async fn a_store_that_does_not_roll_back_is_found() {
    async fn fresh() -> Fixture<dyn Store> {
        Fixture::new(Arc::new(Stubborn::default()))
    }
    let broken = broken_promises(store::PROMISES, fresh).await;
    let expected =
        ["rolling_back_undoes_everything", "a_job_is_pending_if_and_only_if_its_transaction_commits"];
    assert_eq!(broken, expected);
}

/// Shows what it has of an object now and then, and keeps every part until the end.
struct Eager(MemoryStorage);

#[async_trait]
impl Storage for Eager {
    async fn put(&self, key: &ObjectKey, mut body: Box<dyn ObjectBody>) -> Result<ObjectInfo, PortError> {
        let mut parts = Vec::new();
        let mut info = self.0.put(key, Box::new(None)).await?;
        while let Some(part) = body.next().await? {
            parts.push(part);
            if parts.len().is_power_of_two() {
                info = self.0.put(key, Box::new(Some(Bytes::from(parts.concat())))).await?;
            }
        }
        if !parts.is_empty() {
            info = self.0.put(key, Box::new(Some(Bytes::from(parts.concat())))).await?;
        }
        Ok(info)
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Object>, PortError> {
        self.0.get(key).await
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), PortError> {
        self.0.remove(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: u32,
    ) -> Result<Vec<ObjectInfo>, PortError> {
        self.0.list(prefix, after, limit).await
    }

    async fn presign(&self, key: &ObjectKey, ttl: Duration) -> Result<Option<String>, PortError> {
        self.0.presign(key, ttl).await
    }
}

#[tokio::test]
async fn a_storage_that_shows_what_is_not_whole_is_found() {
    async fn fresh() -> Fixture<dyn Storage> {
        Fixture::new(Arc::new(Eager(MemoryStorage::new(Arc::new(ManualClock::default())))))
    }
    let broken = broken_promises(storage::PROMISES, fresh).await;
    let expected = [
        "a_body_that_errs_leaves_what_was_there_before",
        "a_put_that_is_dropped_leaves_what_was_there_before",
        "a_reader_finds_the_old_object_or_the_new_one",
        "a_large_object_passes_part_by_part",
    ];
    assert_eq!(broken, expected);
}
