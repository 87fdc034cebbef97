//! What becomes of cached values when Redis has other ones, none, no answer, or an answer that comes late.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod stage;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use portwright_application::cached::Cached;
use portwright_domain::ErrorKind;
use portwright_domain::ports::{Cache, CacheKey};
use portwright_layers::{Layers, Policy};
use portwright_redis::RedisCache;
use portwright_testkit::noise::Noise;
use portwright_testkit::proxy::Trouble;
use portwright_testkit::servers::{Redis, Stop};
use tokio::time::Instant;

use self::stage::{Stage, Watch, median, until};

const MINUTE: Duration = Duration::from_mins(1);
/// Where the value of the key `a` is.
const A: &str = "{portwright}:cache:a";

fn key(text: &str) -> CacheKey {
    CacheKey::parse(text).expect("a key")
}

/// Values as a use case remembers them, on this stage, and how often one was computed.
struct Values {
    cached: Cached,
    computed: Arc<AtomicU32>,
    watch: Arc<Watch>,
}

impl Values {
    fn on(stage: &Stage, policy: Policy) -> Self {
        let watch = Arc::new(Watch::default());
        let cache = Layers::new(watch.clone()).cache(Arc::new(RedisCache::on(&stage.redis)), policy);
        Self { cached: Cached::new(cache, watch.clone()), computed: Arc::default(), watch }
    }

    async fn get(&self, name: &str) -> u32 {
        let compute = async { Ok::<_, Infallible>(self.computed.fetch_add(1, Ordering::Relaxed) + 1) };
        let Ok(value) = self.cached.get_or_compute("values", &key(name), MINUTE, compute).await;
        value
    }
}

/// How many bytes the server has ever sent.
fn sent_by(server: &Redis) -> usize {
    let told = server.command("INFO stats");
    let sent = told.split_whitespace().find_map(|word| word.strip_prefix("total_net_output_bytes:"));
    sent.expect("it is told").parse().expect("a number")
}

/// Patience for a machine that is busy with other tests.
fn patient() -> Policy {
    Policy { deadline: Duration::from_secs(2), ..Policy::REMOTE }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_value_of_ours_is_removed_and_was_never_there() {
    let stage = Stage::new().await;
    let cache = RedisCache::on(&stage.redis);
    let large = "x".repeat(RedisCache::MAX_VALUE);
    cache.put(&key("a"), large.clone().into(), MINUTE).await.expect("put works");
    assert_eq!(cache.get(&key("a")).await.expect("get works"), Some(large.into()));
    for (what, strange) in [
        ("another type", format!("LPUSH {A} value")),
        ("garbage", format!("SET {A} garbage")),
        ("another version", format!("SETRANGE {A} 0 \"\\x02\"")),
        (
            "cut off",
            format!("EVAL \"redis.call('SET', KEYS[1], redis.call('GETRANGE', KEYS[1], 0, 11))\" 1 {A}"),
        ),
        ("too long", format!("APPEND {A} x")),
        ("far too long", format!("SETRANGE {A} 134217727 x")),
        ("of another key", format!("COPY {{portwright}}:cache:b {A} REPLACE")),
    ] {
        for name in ["a", "b"] {
            cache.put(&key(name), "a value".into(), MINUTE).await.expect("put works");
        }
        if strange.starts_with("LPUSH") {
            stage.server.command(&format!("DEL {A}"));
        }
        if what == "too long" {
            let full = Bytes::from(vec![0; RedisCache::MAX_VALUE]);
            cache.put(&key("a"), full, MINUTE).await.expect("put works");
        }
        stage.server.command(&strange);
        let before = sent_by(&stage.server);
        assert_eq!(cache.get(&key("a")).await.expect("a miss is no error"), None, "{what}");
        let sent = sent_by(&stage.server) - before;
        assert!(sent < 2 * RedisCache::MAX_VALUE, "{what}: {sent} bytes were read");
        assert_eq!(stage.server.command(&format!("EXISTS {A}")), "0", "{what}");
        assert!(cache.get(&key("b")).await.expect("get works").is_some(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_is_too_large_is_refused_and_nothing_is_stored() {
    let stage = Stage::new().await;
    let cache = RedisCache::on(&stage.redis);
    let large = Bytes::from(vec![0; RedisCache::MAX_VALUE + 1]);
    let refused = cache.put(&key("a"), large, MINUTE).await.expect_err("it is too large");
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_string().contains("1048577 bytes"), "{refused}");
    assert_eq!(stage.server.command(&format!("EXISTS {A}")), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_is_exact_to_the_millisecond() {
    let stage = Stage::new().await;
    let cache = RedisCache::on(&stage.redis);
    cache.put(&key("a"), "value".into(), Duration::from_micros(90_123_999)).await.expect("put works");
    let left: u64 = stage.server.command(&format!("PTTL {A}")).parse().expect("a number");
    assert!((85_000..=90_123).contains(&left), "{left}");
    cache.put(&key("a"), "value".into(), Duration::from_micros(999)).await.expect("put works");
    assert_eq!(cache.get(&key("a")).await.expect("get works"), None, "less than Redis counts is no time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bits_that_turn_over_on_their_way_make_no_value() {
    let stage = Stage::new().await;
    let cache = RedisCache::on(&stage.redis);
    let mut noise = Noise::new(4);
    let value = Bytes::from((0..4_096).map(|_| noise.byte()).collect::<Vec<_>>());
    cache.put(&key("a"), value.clone(), MINUTE).await.expect("put works");
    stage.proxy.trouble(Trouble::Corrupt { one_in: 3 });
    for _ in 0..300 {
        // Whether a miss or an error: the cache was of no help.
        if let Ok(Some(found)) = cache.get(&key("a")).await {
            assert_eq!(found, value);
        } else {
            cache.put(&key("a"), value.clone(), MINUTE).await.ok();
        }
    }
    stage.proxy.heal();
    stage.proxy.cut();
    until(async || cache.put(&key("a"), value.clone(), MINUTE).await.is_ok()).await;
    assert_eq!(cache.get(&key("a")).await.expect("get works"), Some(value));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_every_read_is_a_miss_that_costs_less_than_a_millisecond() {
    let stage = Stage::new().await;
    let values = Values::on(&stage, Policy::CACHE);
    stage.server.stop(Stop::Kill);
    until(async || {
        values.get("a").await;
        values.watch.has_opened()
    })
    .await;
    let mut took = Vec::new();
    for number in 0..1_000 {
        let begun = Instant::now();
        values.get(&number.to_string()).await;
        took.push(begun.elapsed());
    }
    let median = median(took);
    assert!(median < Duration::from_millis(1), "{median:?}");
    assert!(values.computed.load(Ordering::Relaxed) > 1_000);
    // How many compute at once then is a test of `Cached`.
    stage.server.start();
    until(async || values.get("a").await == values.get("a").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_slow_is_not_waited_for() {
    let stage = Stage::new().await;
    let values = Values::on(&stage, Policy::CACHE);
    stage.proxy.trouble(Trouble::Delay(Duration::from_millis(100)));
    let begun = Instant::now();
    for _ in 0..100 {
        values.get("a").await;
    }
    // Three questions each, of which the first few take 20 ms until the breaker opens.
    assert!(begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
    assert!(values.watch.has_opened());
    assert_eq!(values.computed.load(Ordering::Relaxed), 100);
    stage.proxy.heal();
    until(async || values.get("a").await == values.get("a").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_falls_silent_is_used_again_when_it_answers() {
    let stage = Stage::new().await;
    let values = Values::on(&stage, Policy::CACHE);
    stage.proxy.trouble(Trouble::Blackhole);
    let begun = Instant::now();
    for _ in 0..100 {
        values.get("a").await;
    }
    assert!(begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
    stage.proxy.heal();
    until(async || values.get("a").await == values.get("a").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_invalidated_in_an_outage_is_gone_after_it() {
    let stage = Stage::new().await;
    let (ours, theirs) = (Values::on(&stage, patient()), Values::on(&stage, patient()));
    assert_eq!((ours.get("a").await, theirs.get("a").await), (1, 1));
    stage.proxy.trouble(Trouble::Refuse);
    stage.proxy.cut();
    ours.cached.invalidate(&key("a")).await.expect_err("it could not be told");
    // The value has a minute to live.
    stage.proxy.heal();
    until(async || {
        ours.get("b").await;
        stage.server.command(&format!("EXISTS {A}")) == "0"
    })
    .await;
    theirs.computed.store(41, Ordering::Relaxed);
    until(async || theirs.get("a").await == 42).await;
}
