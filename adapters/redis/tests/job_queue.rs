//! The queue keeps every promise of the port.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::sync::Arc;

use portwright_domain::ports::job_queue::Limits;
use portwright_redis::{RedisConfig, RedisJobQueue};
use portwright_testkit::contract::job_queue::Queue;
use portwright_testkit::contract::job_queue::limits::LIMITS;
use portwright_testkit::servers::Redis;
use portwright_testkit::{Fixture, ManualClock};

async fn queue_within(limits: Limits) -> Fixture<dyn Queue> {
    let server = Redis::new();
    let clock = Arc::new(ManualClock::default());
    let config = RedisConfig::at([server.url()]).expect("a URL");
    let queue = RedisJobQueue::init_with_clock(&config, limits, clock.clone()).await.expect("a queue");
    Fixture::<dyn Queue>::new(Arc::new(queue)).with_clock(clock).keeping(server)
}

async fn fresh_queue() -> Fixture<dyn Queue> {
    queue_within(Limits::default()).await
}
portwright_testkit::job_queue_contract!(fresh_queue);

async fn small_queue() -> Fixture<dyn Queue> {
    queue_within(LIMITS).await
}
portwright_testkit::job_queue_limits_contract!(small_queue);
