//! Redis: without it no job is taken, and everything else goes on.

use std::time::Duration;

use portwright_e2e::TestApp;
use portwright_e2e::home;
use portwright_testkit::servers::{Redis, Stop};
use serde_json::json;

use crate::{expect_away, meanwhile, readiness, rename, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_no_job_is_taken_and_everything_else_goes_on() {
    let redis = Redis::new();
    let app = TestApp::with(|config| config.queue = home::queue_in(&redis, "resilience")).await;
    let admin = app.admin().await;
    admin.start_primes(100).await;

    meanwhile(|| redis.stop(Stop::Kill));
    for _ in 0..3 {
        let order = json!({"below": 100});
        let enqueued = admin.post_with("/compute/primes", &order, "Prefer", "respond-async");
        expect_away("queue-unavailable", Duration::from_millis(1_500), enqueued).await;
    }
    // Signing in, with its limits, needs nothing of it; nor does anything that is kept in the database.
    let again = app.admin().await;
    rename(&again, "Ada").await.expect(200);
    assert_eq!(again.get("/auth/me").await.expect(200)["firstName"], "Ada");
    assert_eq!(readiness(&app, 200).await, json!("warn"));

    meanwhile(|| redis.start());
    let order = json!({"below": 100});
    let took =
        until(202, async || admin.post_with("/compute/primes", &order, "Prefer", "respond-async").await);
    let took = took.await;
    assert!(took < Duration::from_secs(2), "jobs are taken again after {took:?}");
    assert!(app.drain_jobs().await >= 1, "what was taken before is there");
}
