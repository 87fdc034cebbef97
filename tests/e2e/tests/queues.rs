//! Queues over HTTP: what waits, and how to let it wait.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use portwright_e2e::TestApp;
use portwright_e2e::work::InHand;
use serde_json::{Value, json};

fn queue(answer: &Value, name: &str) -> Value {
    let queues = answer["data"].as_array().expect("queues");
    queues.iter().find(|queue| queue["name"] == name).cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_queue_shows_how_many_jobs_are_where_and_how_long_they_wait() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    assert_eq!(admin.get("/queues").await.expect(200), json!({"data": []}));
    for _ in 0..3 {
        admin.start_primes(100).await;
    }
    let _running = InHand::next(app.jobs()).await;
    app.advance(Duration::from_millis(1_500));
    let expected = json!({
        "name": "cpu",
        "paused": false,
        "scheduled": 0,
        "ready": 2,
        "running": 1,
        "dead": 0,
        "oldestReadySeconds": 1.5,
    });
    assert_eq!(admin.get("/queues").await.expect(200), json!({"data": [expected]}));
}

#[tokio::test]
async fn a_paused_queue_takes_jobs_and_starts_none() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for _ in 0..2 {
        let paused = admin.post("/queues/cpu/pause", &Value::Null).await;
        paused.expect(204);
        assert!(!paused.header("consistency-token").is_empty());
    }
    assert_eq!(queue(&admin.get("/queues").await.expect(200), "cpu")["paused"], true);
    admin.start_primes(100).await;
    assert_eq!(app.drain_jobs().await, 0);
    for _ in 0..2 {
        admin.post("/queues/cpu/resume", &Value::Null).await.expect(204);
    }
    let resumed = queue(&admin.get("/queues").await.expect(200), "cpu");
    assert_eq!((&resumed["paused"], &resumed["ready"]), (&json!(false), &json!(1)));
    assert_eq!(app.drain_jobs().await, 1);
}

#[tokio::test]
async fn only_admins_see_queues_and_let_them_rest() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for (caller, status, code) in [
        (app.nobody(), 401, "unauthorized"),
        (app.user("user").await, 403, "forbidden"),
        (app.user("moderator").await, 403, "forbidden"),
    ] {
        caller.get("/queues").await.expect_problem(status, code);
        for verb in ["pause", "resume"] {
            let path = format!("/queues/cpu/{verb}");
            caller.post(&path, &Value::Null).await.expect_problem(status, code);
        }
    }
    assert_eq!(admin.get("/queues").await.expect(200), json!({"data": []}));
}

#[tokio::test]
async fn what_cannot_be_the_name_of_a_queue_is_the_name_of_none() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for name in ["CPU", "a%20b", "%C3%A4", &"a".repeat(101)] {
        let path = format!("/queues/{name}/pause");
        admin.post(&path, &Value::Null).await.expect_problem(404, "not-found");
    }
    admin.get("/queues?page=1").await.expect_invalid(&[("page", "unknown-parameter")]);
}
