//! Whatever is asked of it, this queue and the one in memory answer the same.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use portwright_memory::MemoryJobQueue;
use portwright_sqlite::{SqliteConfig, SqliteJobQueue};
use portwright_testkit::ManualClock;
use portwright_testkit::contract::job_queue::model::{self, LIMITS, Steps};
use proptest::prelude::*;

async fn compare(steps: &Steps) {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::default());
    let config = SqliteConfig::at(folder.path().join("queue.db"));
    let stored = SqliteJobQueue::init(&config, LIMITS, clock.clone()).await.expect("a queue");
    let model = MemoryJobQueue::with_limits(LIMITS, clock.clone());
    model::compare(&stored, &model, &clock, steps, || {}).await;
    stored.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_in_a_file_answers_like_the_one_in_memory(steps in model::steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(compare(&steps));
    }
}
