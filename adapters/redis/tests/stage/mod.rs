//! A Redis behind everything that protects us from it, and a proxy between.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portwright_domain::ports::{Event, Observer};
use portwright_redis::{RedisConfig, RedisConnection};
use portwright_testkit::proxy::Proxy;
use portwright_testkit::servers::Redis;
use tokio::time::{Instant, sleep};

/// How soon it is used again once it answers.
pub(crate) const SOON: Duration = Duration::from_secs(3);

/// A server, the way to it, and the connection through that.
pub(crate) struct Stage {
    pub(crate) server: Redis,
    pub(crate) proxy: Proxy,
    pub(crate) redis: RedisConnection,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let server = Redis::new();
        let proxy = Proxy::to(server.port()).await;
        let config = RedisConfig::at([format!("redis://127.0.0.1:{}", proxy.port())]).expect("a URL");
        let redis = RedisConnection::init(&config).await.expect("a connection");
        Self { server, proxy, redis }
    }
}

/// Counts how often something was done without Redis, and how often a breaker opened.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) fallbacks: AtomicU64,
    pub(crate) openings: AtomicU64,
}

impl Observer for Watch {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::LimitFellBack { .. } => self.fallbacks.fetch_add(1, Ordering::Relaxed),
            Event::BreakerChanged { state: "open", .. } => self.openings.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

impl Watch {
    pub(crate) fn has_opened(&self) -> bool {
        self.openings.load(Ordering::Relaxed) > 0
    }
}

/// Until this is so, which is soon.
pub(crate) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so().await {
        assert!(Instant::now() < deadline, "it is not so after {SOON:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// The middle one.
pub(crate) fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}
