//! The cache, the limiter and the probe keep every promise of their ports, the first two on a cluster as well.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ports::{Cache, CacheKey, HealthProbe, Quota, RateKey, RateLimiter};
use portwright_redis::{RedisCache, RedisConfig, RedisConnection, RedisHealth, RedisRateLimiter};
use portwright_testkit::servers::Redis;
use portwright_testkit::{Fixture, ManualClock};

const MINUTE: Duration = Duration::from_mins(1);

async fn connected(server: &Redis) -> RedisConnection {
    let config = RedisConfig::at([server.url()]).expect("a URL");
    RedisConnection::init(&config).await.expect("a connection")
}

/// The port goes by the time of the server.
fn fixture<P: ?Sized>(port: Arc<P>, server: Redis) -> Fixture<P> {
    let clock = Arc::new(ManualClock::default());
    let hand = clock.clone();
    Fixture::new(port).with_time(clock, move |by| {
        hand.advance(by);
        server.pass("*", by);
        Box::pin(std::future::ready(()))
    })
}

async fn fresh_cache() -> Fixture<dyn Cache> {
    let server = Redis::new();
    let port = Arc::new(RedisCache::on(&connected(&server).await));
    fixture::<dyn Cache>(port, server)
}
portwright_testkit::cache_contract!(fresh_cache);

async fn fresh_limiter() -> Fixture<dyn RateLimiter> {
    let server = Redis::new();
    let port = Arc::new(RedisRateLimiter::on(&connected(&server).await));
    fixture::<dyn RateLimiter>(port, server)
}
portwright_testkit::rate_limiter_contract!(fresh_limiter);

async fn fresh_probe() -> Fixture<dyn HealthProbe> {
    let server = Redis::new();
    let port = Arc::new(RedisHealth::on(&connected(&server).await));
    fixture::<dyn HealthProbe>(port, server)
}
portwright_testkit::health_probe_contract!(fresh_probe);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_member_of_a_cluster_leads_to_the_one_with_the_keys() {
    let members = Redis::cluster();
    let keys = ["a", "b", "c", "d"].map(|key| CacheKey::parse(key).expect("a key"));
    let client = RateKey { policy: "test", client: "a".to_owned() };
    for (number, member) in (1..).zip(&members) {
        let redis = connected(member).await;
        let cache = RedisCache::on(&redis);
        for key in &keys {
            cache.put(key, "value".into(), MINUTE).await.expect("put works");
        }
        cache.remove(&keys[..3]).await.expect("remove works");
        let mut found = Vec::new();
        for key in &keys {
            found.push(cache.get(key).await.expect("get works"));
        }
        assert_eq!(found, [None, None, None, Some("value".into())]);
        let quota = Quota { limit: 5, window: MINUTE };
        let decision = RedisRateLimiter::on(&redis).take(&client, quota).await.expect("take works");
        assert_eq!(decision.remaining, 5 - number);
    }
}
