//! Whatever is asked of it, this queue and the one in memory answer the same: the rules in Lua are those of the domain.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod invariants;

use std::sync::Arc;

use portwright_domain::ports::job_queue::Limits;
use portwright_memory::MemoryJobQueue;
use portwright_redis::{RedisConfig, RedisJobQueue};
use portwright_testkit::ManualClock;
use portwright_testkit::contract::job_queue::model::{self, LIMITS, Steps};
use portwright_testkit::servers::Redis;
use proptest::prelude::*;

async fn compare(server: &Redis, steps: &Steps, limits: Limits) {
    server.command("FLUSHALL");
    let clock = Arc::new(ManualClock::default());
    let config = RedisConfig::at([server.url()]).expect("a URL");
    let stored = RedisJobQueue::init_with_clock(&config, limits, clock.clone()).await.expect("a queue");
    let model = MemoryJobQueue::with_limits(limits, clock.clone());
    let check = || invariants::hold(server);
    if limits == LIMITS {
        model::compare(&stored, &model, &clock, steps, check).await;
    } else {
        model::compare_at_once(&stored, &model, &clock, steps, check).await;
    }
}

fn compare_some(cases: u32, limits: Limits) {
    let server = Redis::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in model::steps())| {
        runtime.block_on(compare(&server, &steps, limits));
    });
}

#[test]
fn the_queue_in_redis_answers_like_the_one_in_memory() {
    compare_some(16, LIMITS);
}

#[test]
fn what_is_asked_at_once_is_answered_as_if_it_were_asked_in_turn() {
    compare_some(64, Limits::default());
}
