//! What is computed once and remembered for a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_application::prelude::*;
use portwright_domain::mock::MockCache;
use portwright_domain::ports::{Cache, CacheKey, Event};
use portwright_domain::{ErrorKind, PortError};
use portwright_memory::MemoryCache;
use portwright_testkit::ManualClock;
use portwright_testkit::faults::{Fault, Flaky, When};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::world::Recorder;

const HOUR: Duration = Duration::from_hours(1);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Summary {
    month: String,
    computed: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no such month")]
struct NoSuchMonth;

struct Reports {
    cache: Cached,
    computed: AtomicU32,
    /// Held up until it is told to go on, if a test wants that.
    gate: Option<Arc<Notify>>,
    events: Arc<Recorder>,
    clock: Arc<ManualClock>,
}

#[service(name = "reports")]
impl Reports {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        Self::on(Arc::new(MemoryCache::new(1 << 20, clock.clone())), clock)
    }

    fn on(cache: Arc<dyn Cache>, clock: Arc<ManualClock>) -> Self {
        let events = Arc::new(Recorder::default());
        let cache = Cached::new(cache, events.clone());
        Self { cache, computed: AtomicU32::new(0), gate: None, events, clock }
    }

    fn held_up(mut self) -> (Arc<Self>, Arc<Notify>) {
        let gate = Arc::new(Notify::new());
        self.gate = Some(gate.clone());
        (Arc::new(self), gate)
    }

    /// A month in one line.
    #[cached(key = "reports:summary:{month}", ttl = "1h")]
    async fn summary(&self, month: &str) -> Result<Summary, NoSuchMonth> {
        let computed = self.computed.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        sleep(Duration::from_millis(20)).await;
        if month.is_empty() { Err(NoSuchMonth) } else { Ok(Summary { month: month.to_owned(), computed }) }
    }

    /// A page of it.
    #[cached(key = "reports:page:{month}:{page.number}", ttl = "1h", version = 2)]
    async fn page(&self, month: String, page: Page) -> Result<String, NoSuchMonth> {
        self.computed.fetch_add(1, Ordering::SeqCst);
        Ok(format!("{month}/{}", page.number))
    }

    fn computed(&self) -> u32 {
        self.computed.load(Ordering::SeqCst)
    }
}

struct Page {
    number: u32,
}

fn read(hit: bool) -> Event<'static> {
    Event::CacheRead { cache: "reports.summary", hit }
}

#[tokio::test(start_paused = true)]
async fn a_value_is_computed_once_for_its_time() {
    let reports = Reports::new();
    for _ in 0..3 {
        assert_eq!(reports.summary("may").await.expect("a summary").computed, 1);
    }
    assert_eq!((reports.events.count(&read(false)), reports.events.count(&read(true))), (1, 2));
    assert_eq!(reports.summary("june").await.expect("a summary").computed, 2);
    reports.clock.advance(HOUR);
    assert_eq!(reports.summary("may").await.expect("a summary").computed, 3);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_at_once_are_one_computation() {
    for broken in [false, true] {
        let clock = Arc::new(ManualClock::default());
        let cache: Arc<dyn Cache> =
            if broken { Arc::new(away()) } else { Arc::new(MemoryCache::new(1 << 20, clock.clone())) };
        let (reports, gate) = Reports::on(cache, clock).held_up();
        let mut calls = JoinSet::new();
        for _ in 0..1_000 {
            let reports = reports.clone();
            calls.spawn(async move { reports.summary("may").await });
        }
        sleep(Duration::from_millis(1)).await;
        gate.notify_one();
        for answer in calls.join_all().await {
            assert_eq!(answer.expect("a summary").computed, 1);
        }
        assert_eq!(reports.computed(), 1, "with a cache that is away: {broken}");
        assert!(format!("{:?}", reports.cache).contains("flights: 0"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_not_remembered_and_one_computes_at_a_time() {
    let reports = Arc::new(Reports::new());
    let calls = (0..10).map(|_| reports.summary(""));
    let begun_at = Instant::now();
    assert!(futures::future::join_all(calls).await.into_iter().all(|answer| answer == Err(NoSuchMonth)));
    assert_eq!((reports.computed(), begun_at.elapsed()), (10, Duration::from_millis(200)));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_the_computation_to_the_next() {
    let (reports, gate) = Reports::new().held_up();
    let gone = timeout(Duration::from_secs(1), reports.summary("may"));
    let next = async {
        sleep(Duration::from_millis(500)).await;
        reports.summary("may").await
    };
    let release = async {
        sleep(Duration::from_secs(2)).await;
        gate.notify_one();
    };
    let (gone, next, ()) = tokio::join!(gone, next, release);
    assert!(gone.is_err());
    assert_eq!(next.expect("a summary").computed, 2);
}

/// A cache that is away.
fn away() -> MockCache {
    fn error<T>() -> Result<T, PortError> {
        Err(PortError::new(ErrorKind::Unavailable, "cache", "on cue"))
    }
    let mut cache = MockCache::new();
    cache.expect_get().returning(|_| error());
    cache.expect_put().returning(|_, _, _| error());
    cache.expect_remove().returning(|_| error());
    cache
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_away_is_a_miss() {
    let reports = Reports::on(Arc::new(away()), Arc::default());
    assert_eq!(reports.summary("may").await.expect("a summary").computed, 1);
    assert_eq!(reports.summary("may").await.expect("a summary").computed, 2);
    assert_eq!(reports.events.count(&read(false)), 2);
    let told = reports.invalidate_summary("may").await.expect_err("it could not be told");
    assert_eq!(told.kind(), ErrorKind::Unavailable);
}

/// A cache that never answers.
struct Silent;

#[async_trait]
impl Cache for Silent {
    async fn get(&self, _: &CacheKey) -> Result<Option<Bytes>, PortError> {
        std::future::pending().await
    }

    async fn put(&self, _: &CacheKey, _: Bytes, _: Duration) -> Result<(), PortError> {
        std::future::pending().await
    }

    async fn remove(&self, _: &[CacheKey]) -> Result<(), PortError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_never_answers_costs_less_than_a_second() {
    let reports = Reports::on(Arc::new(Silent), Arc::default());
    let asked_at = Instant::now();
    assert_eq!(reports.summary("may").await.expect("a summary").computed, 1);
    assert!(asked_at.elapsed() < Duration::from_secs(1), "{:?}", asked_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_value_that_does_not_parse_is_computed_anew() {
    let clock = Arc::new(ManualClock::default());
    let cache = Arc::new(MemoryCache::new(1 << 20, clock.clone()));
    let key = CacheKey::parse("reports:summary:may@1").expect("a valid key");
    cache.put(&key, Bytes::from_static(b"{\"month\":7}"), HOUR).await.expect("put works");
    let reports = Reports::on(cache, clock);
    for _ in 0..2 {
        assert_eq!(reports.summary("may").await.expect("a summary").computed, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_value_is_computed_anew_and_others_are_not() {
    let reports = Reports::new();
    for month in ["may", "june"] {
        reports.summary(month).await.expect("a summary");
    }
    reports.invalidate_summary("may").await.expect("it is told");
    assert_eq!(reports.summary("june").await.expect("a summary").computed, 2);
    assert_eq!(reports.summary("may").await.expect("a summary").computed, 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_invalidated_while_the_cache_is_away_is_not_read_when_it_is_back() {
    let clock = Arc::new(ManualClock::default());
    let cache: Arc<Flaky<dyn Cache>> =
        Arc::new(Flaky::new(Arc::new(MemoryCache::new(1 << 20, clock.clone()))));
    let reports = Reports::on(cache.clone(), clock);
    for month in ["may", "june"] {
        reports.summary(month).await.expect("a summary");
    }
    cache.cue(When::Always, Fault::Refuse(ErrorKind::Unavailable));
    reports.invalidate_summary("may").await.expect_err("it could not be told");
    assert_eq!(reports.summary("may").await.expect("a summary").computed, 3);
    cache.recover();
    // Reading anything is enough, so that other processes do not read it much longer.
    assert_eq!(reports.summary("june").await.expect("a summary").computed, 2);
    let key = CacheKey::parse("reports:summary:may@1").expect("a valid key");
    assert_eq!(cache.get(&key).await.expect("get works"), None);
    assert_eq!(reports.summary("may").await.expect("a summary").computed, 4);
    // It is told once.
    let calls = cache.calls();
    assert_eq!(reports.summary("may").await.expect("a summary").computed, 4);
    assert_eq!(cache.calls(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_invalidated_while_it_is_computed_is_not_remembered() {
    let (reports, gate) = Reports::new().held_up();
    let old = async { reports.summary("may").await.expect("a summary").computed };
    let change = async {
        sleep(Duration::from_secs(1)).await;
        reports.invalidate_summary("may").await.expect("it is told");
        let new = async { reports.summary("may").await.expect("a summary").computed };
        let release = async {
            sleep(Duration::from_secs(1)).await;
            // The old computation goes on first, and ends before the new one does.
            gate.notify_one();
            sleep(Duration::from_secs(1)).await;
            gate.notify_one();
        };
        let (new, ()) = tokio::join!(new, release);
        new
    };
    let (old, new) = tokio::join!(old, change);
    assert_eq!((old, new), (1, 2), "whoever asked before the change may see what was before it");
    assert_eq!(reports.summary("may").await.expect("a summary").computed, 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_made_of_parameters_and_their_fields_whatever_is_in_them() {
    let reports = Reports::new();
    let page =
        async |month: &str, number| reports.page(month.to_owned(), Page { number }).await.expect("a page");
    assert_eq!((page("may:1", 2).await, page("may", 12).await), ("may:1/2".to_owned(), "may/12".to_owned()));
    assert_eq!(page("may:1", 2).await, "may:1/2");
    assert_eq!(reports.computed(), 2);
    for _ in 0..2 {
        let long = "ä\n".repeat(200);
        assert_eq!(page(&long, 1).await, format!("{long}/1"));
    }
    assert_eq!(reports.computed(), 4, "a key that is too long is not remembered");
}

#[tokio::test(start_paused = true)]
async fn that_nothing_is_there_is_remembered_like_any_value() {
    let clock = Arc::new(ManualClock::default());
    let cache = Cached::new(Arc::new(MemoryCache::new(1 << 20, clock)), Arc::new(Recorder::default()));
    let key = CacheKey::parse("reports:last").expect("a key");
    let looks = AtomicU32::new(0);
    for _ in 0..3 {
        let look = async {
            looks.fetch_add(1, Ordering::SeqCst);
            Ok::<_, NoSuchMonth>(None::<Summary>)
        };
        assert_eq!(cache.get_or_compute("reports.last", &key, HOUR, look).await, Ok(None));
    }
    assert_eq!(looks.load(Ordering::SeqCst), 1);
}
