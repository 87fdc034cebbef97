//! Jobs over HTTP: who sees them, how they are stopped and run again, and what is left of them in the end.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use bytes::Bytes;
use portwright_domain::job::Outcome;
use portwright_domain::ports::job_queue::REMEMBERED;
use portwright_e2e::work::InHand;
use portwright_e2e::{Answer, Caller, TestApp};
use serde_json::{Value, json};

const MISSING: &str = "/jobs/01900000-0000-7000-8000-000000000000";

/// The path of a new job of this caller.
async fn start(caller: &Caller) -> String {
    path_of(&caller.start_primes(100).await)
}

fn path_of(job: &Value) -> String {
    format!("/jobs/{}", job["id"].as_str().expect("an id"))
}

async fn fail_next(app: &TestApp) {
    let error = Bytes::from_static(br#"{"code":"stopped"}"#);
    InHand::next(app.jobs()).await.end(Outcome::Failed(error)).await;
}

async fn state(caller: &Caller, path: &str) -> Value {
    caller.get(path).await.expect(200)["state"].clone()
}

/// A problem without what differs from request to request.
fn bare(answer: &Answer) -> Value {
    let mut body = answer.expect_problem(404, "not-found");
    body["instance"] = Value::Null;
    body["requestId"] = Value::Null;
    body
}

#[tokio::test]
async fn a_job_is_seen_by_its_creator_and_by_admins_and_hidden_from_others() {
    let app = TestApp::embedded().await;
    let (admin, ada) = (app.admin().await, app.user("user").await);
    let path = start(&ada).await;
    assert_eq!(ada.get(&path).await.expect(200), admin.get(&path).await.expect(200));
    for role in ["user", "moderator"] {
        let other = app.user(role).await;
        assert_eq!(bare(&other.get(&path).await), bare(&other.get(MISSING).await), "{role}");
        assert_eq!(bare(&other.delete(&path).await), bare(&other.delete(MISSING).await), "{role}");
    }
    assert_eq!(state(&ada, &path).await, "ready", "nobody stopped it");
    app.nobody().get(&path).await.expect_problem(401, "unauthorized");
    app.nobody().delete(&path).await.expect_problem(401, "unauthorized");
    for path in ["/jobs/7", "/jobs/nonsense", MISSING] {
        admin.get(path).await.expect_problem(404, "not-found");
        admin.delete(path).await.expect_problem(404, "not-found");
        admin.post(&format!("{path}/retry"), &Value::Null).await.expect_problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_job_that_waits_is_stopped_and_never_starts() {
    let app = TestApp::embedded().await;
    let ada = app.user("user").await;
    let path = start(&ada).await;
    let stopped = ada.delete(&path).await;
    stopped.expect(204);
    assert!(!stopped.header("consistency-token").is_empty());
    assert_eq!(state(&ada, &path).await, "cancelled");
    assert_eq!(app.drain_jobs().await, 0);
    ada.delete(&path).await.expect_problem(409, "job-finished");
}

#[tokio::test]
async fn a_job_that_runs_is_told_to_stop() {
    let app = TestApp::embedded().await;
    let (ada, _worker) = (app.user("user").await, app.work());
    let path = path_of(&ada.start_primes(1_000_000_000).await);
    for _ in 0..10_000 {
        if ada.get(&path).await.expect(200)["progress"]["done"] != 0 {
            break;
        }
    }
    assert_eq!(state(&ada, &path).await, "running");
    ada.delete(&path).await.expect(204);
    let answer = ada.get(&path).await.expect(200);
    assert_eq!(answer["progress"]["total"], 1_000_000_000);
    for _ in 0..10_000 {
        if state(&ada, &path).await != "running" {
            break;
        }
    }
    assert_eq!(state(&ada, &path).await, "cancelled");
}

#[tokio::test]
async fn what_ended_without_success_is_run_again_by_admins() {
    let app = TestApp::embedded().await;
    let (admin, ada) = (app.admin().await, app.user("user").await);
    let path = start(&ada).await;
    let retry = format!("{path}/retry");
    admin.post(&retry, &Value::Null).await.expect_problem(409, "job-not-failed");
    fail_next(&app).await;
    assert_eq!(state(&ada, &path).await, "failed");
    for (caller, status, code) in [
        (app.nobody(), 401, "unauthorized"),
        (ada.clone(), 403, "forbidden"),
        (app.user("moderator").await, 403, "forbidden"),
    ] {
        caller.post(&retry, &Value::Null).await.expect_problem(status, code);
    }
    let retried = admin.post(&retry, &Value::Null).await;
    let job = retried.expect(202);
    assert_eq!((&job["state"], &job["attempts"], &job["error"]), (&json!("ready"), &json!(0), &Value::Null));
    assert_eq!((retried.header("location"), retried.header("retry-after")), (path.as_str(), "1"));
    assert_eq!(app.drain_jobs().await, 1);
    assert_eq!(state(&ada, &path).await, "succeeded");
    admin.post(&retry, &Value::Null).await.expect_problem(409, "job-not-failed");

    let path = start(&ada).await;
    ada.delete(&path).await.expect(204);
    admin.post(&format!("{path}/retry"), &Value::Null).await.expect(202);
}

#[tokio::test]
async fn a_job_past_its_retention_is_gone_for_a_day_and_then_was_never_there() {
    let app = TestApp::with(|config| config.jobs.limits.succeeded.age = Duration::from_mins(1)).await;
    let (admin, ada, eve) = (app.admin().await, app.user("user").await, app.user("user").await);
    let path = start(&ada).await;
    assert_eq!(app.drain_jobs().await, 1);
    app.advance(Duration::from_mins(1));
    app.jobs().source.reclaim().await.expect("reclaim works");
    for caller in [&ada, &admin] {
        caller.get(&path).await.expect_problem(410, "job-expired");
        caller.delete(&path).await.expect_problem(410, "job-expired");
    }
    admin.post(&format!("{path}/retry"), &Value::Null).await.expect_problem(410, "job-expired");
    eve.get(&path).await.expect_problem(404, "not-found");
    app.advance(REMEMBERED);
    app.jobs().source.reclaim().await.expect("reclaim works");
    let admin = app.admin().await;
    admin.get(&path).await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn the_list_is_for_admins_newest_first_and_filtered() {
    let app = TestApp::embedded().await;
    let (admin, ada) = (app.admin().await, app.user("user").await);
    let mut paths = Vec::new();
    for _ in 0..5 {
        app.advance(Duration::from_secs(1));
        paths.insert(0, start(&ada).await);
    }
    ada.delete(&paths[4]).await.expect(204);
    fail_next(&app).await;

    let list = async |query: &str| {
        let body = admin.get(&format!("/jobs{query}")).await.expect(200);
        body["data"].as_array().expect("jobs").iter().map(path_of).collect::<Vec<_>>()
    };
    assert_eq!(list("").await, paths);
    assert_eq!(list("?state=cancelled").await, paths[4..]);
    assert_eq!(list("?state=failed&task=compute.primes&queue=cpu").await, paths[3..4]);
    assert_eq!(list("?state=ready&limit=2&page=2").await, paths[2..3]);
    assert_eq!(list("?task=users.import").await, [""; 0]);
    assert_eq!(list("?queue=default").await, [""; 0]);
    assert_eq!(list("?page=9").await, [""; 0]);

    let page = admin.get("/jobs?limit=2&page=2").await;
    assert_eq!(page.expect(200)["pagination"], json!({"page": 2, "limit": 2, "total": 5, "totalPages": 3}));
    assert_eq!(
        page.header("link"),
        "</jobs?limit=2&page=1>; rel=\"first\", </jobs?limit=2&page=1>; rel=\"prev\", \
         </jobs?limit=2&page=3>; rel=\"next\", </jobs?limit=2&page=3>; rel=\"last\""
    );
    let one = admin.get(&paths[0]).await.expect(200);
    assert_eq!(admin.get("/jobs?limit=1").await.expect(200)["data"][0], one);
    for (caller, status, code) in [
        (app.nobody(), 401, "unauthorized"),
        (ada, 403, "forbidden"),
        (app.user("moderator").await, 403, "forbidden"),
    ] {
        caller.get("/jobs").await.expect_problem(status, code);
    }
}

#[tokio::test]
async fn every_mistake_in_the_query_of_the_list_is_told() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for (query, expected) in [
        ("page=0", &[("page", "out-of-range")][..]),
        ("limit=0", &[("limit", "out-of-range")]),
        ("limit=101", &[("limit", "out-of-range")]),
        ("state=lost", &[("state", "unknown-value")]),
        ("task=Primes", &[("task", "invalid-name")]),
        ("queue=", &[("queue", "invalid-name")]),
        ("cursor=", &[("cursor", "unknown-parameter")]),
        ("state=ready&state=dead", &[("state", "repeated-parameter")]),
        (
            "limit=x&page=-1&stat=1",
            &[("limit", "out-of-range"), ("page", "out-of-range"), ("stat", "unknown-parameter")],
        ),
    ] {
        admin.get(&format!("/jobs?{query}")).await.expect_invalid(expected);
    }
}
