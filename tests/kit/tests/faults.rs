//! A flaky port misbehaves on cue, and keeps every promise without one.

#![expect(clippy::expect_used, reason = "a fixture for a test may panic like one")]
#![expect(clippy::unused_async, reason = "a suite awaits its fixture, which most adapters take time to make")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portwright_domain::ErrorKind;
use portwright_domain::ports::{Cache, CacheKey, Consistency, Store};
use portwright_memory::{MemoryCache, MemoryStore};
use portwright_testkit::builders::a_user;
use portwright_testkit::faults::{Fault, Flaky, When};
use portwright_testkit::{Fixture, ManualClock};

async fn cache_without_a_cue() -> Fixture<dyn Cache> {
    let clock = Arc::new(ManualClock::default());
    let cache = Flaky::new(Arc::new(MemoryCache::new(1 << 20, clock.clone())));
    Fixture::<dyn Cache>::new(Arc::new(cache)).with_clock(clock)
}
portwright_testkit::cache_contract!(cache_without_a_cue);

async fn store_without_a_cue() -> Fixture<dyn Store> {
    Fixture::new(Arc::new(Flaky::new(Arc::new(MemoryStore::new()))))
}
portwright_testkit::store_contract!(store_without_a_cue);

fn flaky_cache() -> Flaky<dyn Cache> {
    Flaky::new(Arc::new(MemoryCache::new(1 << 20, Arc::new(ManualClock::default()))))
}

fn flaky_store() -> Flaky<dyn Store> {
    Flaky::new(Arc::new(MemoryStore::new()))
}

fn key() -> CacheKey {
    CacheKey::parse("a").expect("a valid key")
}

#[tokio::test]
async fn only_the_nth_call_fails() {
    let cache = flaky_cache();
    cache.get(&key()).await.expect("no cue yet");
    cache.cue(When::Nth(2), Fault::Refuse(ErrorKind::Unavailable));
    cache.get(&key()).await.expect("the first call from the cue on");
    let error = cache.remove(&[key()]).await.expect_err("the second call fails");
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Unavailable, "cache.remove"));
    cache.get(&key()).await.expect("the third call");
    assert_eq!(cache.calls(), 4);
}

#[tokio::test]
async fn every_call_fails_until_it_recovers() {
    let cache = flaky_cache();
    cache.cue(When::Always, Fault::Refuse(ErrorKind::Unavailable));
    for _ in 0..3 {
        cache.get(&key()).await.expect_err("every call fails");
    }
    cache.recover();
    cache.get(&key()).await.expect("it works again");
}

#[tokio::test]
async fn only_the_operation_named_fails_and_nothing_happened() {
    let cache = flaky_cache();
    cache.cue(When::Every("cache.put"), Fault::Refuse(ErrorKind::Unavailable));
    for _ in 0..2 {
        let put = cache.put(&key(), Bytes::from_static(b"value"), Duration::from_mins(1)).await;
        put.expect_err("every put fails");
        assert_eq!(cache.get(&key()).await.expect("get works"), None);
    }
}

#[tokio::test]
async fn a_contended_commit_leaves_nothing_behind() {
    let store = flaky_store();
    store.cue(When::NthOf("store.commit", 1), Fault::Refuse(ErrorKind::Contended));
    let user = a_user().build();
    for attempt in 1..=2 {
        let mut unit = store.begin().await.expect("it begins");
        unit.users().insert(&user).await.expect("no earlier attempt is there");
        assert_eq!(unit.commit().await.is_ok(), attempt == 2, "attempt {attempt}");
    }
}

#[tokio::test]
async fn a_lost_answer_means_that_everything_happened() {
    let store = flaky_store();
    store.cue(When::NthOf("store.commit", 1), Fault::LoseAnswer(ErrorKind::Unavailable));
    let user = a_user().build();
    let mut unit = store.begin().await.expect("it begins");
    unit.users().insert(&user).await.expect("insert works");
    assert_eq!(unit.commit().await.expect_err("the answer is lost").kind(), ErrorKind::Unavailable);
    let mut view = store.read(Consistency::Strong).await.expect("read works");
    assert_eq!(view.users().find(user.id).await.expect("find works"), Some(user));
}

#[tokio::test]
async fn a_delayed_call_takes_longer_and_works() {
    const DELAY: Duration = Duration::from_millis(30);
    let cache = flaky_cache();
    cache.cue(When::Nth(1), Fault::Delay(DELAY));
    let before = tokio::time::Instant::now();
    cache.get(&key()).await.expect("it works in the end");
    assert!(before.elapsed() >= DELAY);
}
