//! The queue keeps every promise of the port.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::sync::Arc;

use portwright_domain::ports::job_queue::Limits;
use portwright_sqlite::{SqliteConfig, SqliteJobQueue};
use portwright_testkit::contract::job_queue::Queue;
use portwright_testkit::contract::job_queue::limits::LIMITS;
use portwright_testkit::{Fixture, ManualClock};

async fn queue_within(limits: Limits) -> Fixture<dyn Queue> {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::default());
    let config = SqliteConfig::at(folder.path().join("queue.db"));
    let queue = SqliteJobQueue::init(&config, limits, clock.clone()).await.expect("a queue");
    Fixture::<dyn Queue>::new(Arc::new(queue)).with_clock(clock).keeping(folder)
}

async fn fresh_queue() -> Fixture<dyn Queue> {
    queue_within(Limits::default()).await
}
portwright_testkit::job_queue_contract!(fresh_queue);

async fn small_queue() -> Fixture<dyn Queue> {
    queue_within(LIMITS).await
}
portwright_testkit::job_queue_limits_contract!(small_queue);
