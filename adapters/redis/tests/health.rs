//! What the probe says of servers that are well, that may lose something, and that are away.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use portwright_domain::ports::{Health, HealthProbe, HealthStatus};
use portwright_redis::{RedisConfig, RedisConnection, RedisHealth};
use portwright_testkit::servers::{Redis, Stop};
use tokio::time::{Instant, sleep};

async fn probe(url: String) -> RedisHealth {
    let config = RedisConfig::at([url]).expect("a URL");
    RedisHealth::on(&RedisConnection::init(&config).await.expect("a connection"))
}

fn detail<'a>(health: &'a Health, name: &str) -> &'a str {
    let found = health.details.iter().find(|(detail, _)| *detail == name);
    found.map(|(_, value)| value.as_str()).expect("it is told")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_says_what_it_is() {
    let server = Redis::with_options(&["--maxmemory", "64mb"]);
    let _replica = server.replica();
    let probe = probe(server.url()).await;
    let health = probe.check().await;
    assert_eq!((probe.name(), health.status), ("redis", HealthStatus::Pass));
    assert_eq!(detail(&health, "role"), "master");
    assert!(detail(&health, "memory").ends_with(" of 67108864 bytes"), "{health:?}");
    assert_eq!((detail(&health, "aof"), detail(&health, "eviction")), ("on", "noeviction"));
    assert_eq!(detail(&health, "replicas"), "1");
    assert!(detail(&health, "version").starts_with(|c: char| c.is_ascii_digit()));
    assert_eq!(health.details.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_may_lose_something_is_a_warning() {
    let evicting = Redis::with_options(&["--maxmemory-policy", "allkeys-lru"]);
    let forgetful = Redis::without_aof();
    for (server, name, value) in [(&evicting, "eviction", "allkeys-lru"), (&forgetful, "aof", "off")] {
        let health = probe(server.url()).await.check().await;
        assert_eq!((health.status, detail(&health, name)), (HealthStatus::Warn, value));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_fails_soon_and_passes_when_it_is_back() {
    let server = Redis::with_options(&["--requirepass", "hunter2"]);
    let probe = probe(server.url().replace("//", "//:hunter2@")).await;
    assert_eq!(probe.check().await.status, HealthStatus::Pass);
    server.stop(Stop::Kill);
    let begun = Instant::now();
    let health = probe.check().await;
    assert_eq!(health.status, HealthStatus::Fail);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(!format!("{health:?} {probe:?}").contains("hunter2"), "{health:?}");
    server.start();
    let deadline = Instant::now() + Duration::from_secs(3);
    while probe.check().await.status != HealthStatus::Pass {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(10)).await;
    }
}
