//! Redis: without it no job is taken, and everything else goes on.

use std::time::Duration;

use portwright::config::{self, Queue, Secret};
use portwright_e2e::TestApp;
use portwright_e2e::home;
use portwright_testkit::proxy::{Proxy, Trouble};
use portwright_testkit::servers::{Redis, Stop};
use reqwest::Method;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_was_taken_although_nobody_was_told_is_not_made_again_by_who_repeats_the_key() {
    let redis = Redis::new();
    let wire = Proxy::to(redis.port()).await;
    let app = TestApp::with(|config| {
        let urls = vec![Secret::new(format!("redis://127.0.0.1:{}", wire.port()))];
        let namespace = "resilience".to_owned();
        config.queue = Queue::Redis(config::Redis { urls, namespace, may_lose_jobs: false });
    })
    .await;
    let admin = app.admin().await;
    let order = async || {
        let order = admin.request(Method::POST, "/compute/primes").json(&json!({"below": 100}));
        admin.send(order.header("Prefer", "respond-async").header("Idempotency-Key", "a-key")).await
    };

    // Redis is told of the job, and cannot say so.
    wire.trouble(Trouble::CutOn { pattern: b"compute.primes", delivered: true });
    order().await.expect_problem(503, "queue-unavailable");
    assert!(wire.cuts() > 0, "the job was sent");
    wire.heal();
    until(202, order).await;
    let jobs = admin.get("/jobs?task=compute.primes").await.expect(200);
    assert_eq!(jobs["pagination"]["total"], 1, "{jobs}");
    // A key is for one caller.
    let other = app.user("user").await;
    let theirs = other.request(Method::POST, "/compute/primes").json(&json!({"below": 100}));
    let theirs =
        other.send(theirs.header("Prefer", "respond-async").header("Idempotency-Key", "a-key")).await;
    assert_ne!(theirs.expect(202)["id"], jobs["data"][0]["id"]);
}
