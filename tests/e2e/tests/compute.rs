//! Tasks over HTTP: who may call them, how long an answer is waited for, and what it says when there is no result.

use std::time::Duration;

use bytes::Bytes;
use portwright_domain::TraceContext;
use portwright_domain::job::{CauseOfDeath, Death, Outcome};
use portwright_e2e::work::InHand;
use portwright_e2e::{Answer, Caller, TestApp};
use portwright_testkit::ManualClock;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

const PRIMES: &str = "/compute/primes";

async fn primes(caller: &Caller, below: u64, prefer: &str) -> Answer {
    caller.post_with(PRIMES, &json!({"below": below}), "Prefer", prefer).await
}

fn applied(answer: &Answer) -> &str {
    answer.header("preference-applied")
}

#[tokio::test]
async fn every_role_may_call_and_whoever_is_not_signed_in_may_not() {
    let app = TestApp::embedded().await;
    let _worker = app.work();
    for role in ["user", "moderator", "admin"] {
        let caller = app.user(role).await;
        let answer = caller.post(PRIMES, &json!({"below": 100})).await;
        let body = answer.expect(200);
        assert_eq!(body["result"], json!({"count": 25, "largest": 97}), "{role}");
        assert_eq!(body["job"]["createdBy"], caller.id());
        assert_eq!(applied(&answer), "wait=10");
    }
    app.nobody().post(PRIMES, &json!({"below": 100})).await.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn an_answer_that_is_waited_for_brings_the_result_and_the_job() {
    let app = TestApp::embedded().await;
    let (user, _worker) = (app.user("user").await, app.work());
    let answer = primes(&user, 1_000_000, "wait=20").await;
    let body = answer.expect(200);
    assert_eq!(body["result"], json!({"count": 78_498, "largest": 999_983}));
    assert_eq!(applied(&answer), "wait=20");
    assert!(!answer.header("consistency-token").is_empty());
    let job = &body["job"];
    assert_eq!(job["state"], "succeeded");
    assert_eq!(job["result"], body["result"]);
    assert_eq!(job["progress"], json!({"done": 1_000_000, "total": 1_000_000, "message": null}));
    let path = format!("/jobs/{}", job["id"].as_str().expect("an id"));
    assert_eq!(&user.get(&path).await.expect(200), job, "it is tracked");
}

#[tokio::test]
async fn there_are_no_primes_below_two() {
    let app = TestApp::embedded().await;
    let (user, _worker) = (app.user("user").await, app.work());
    for below in [0, 1, 2] {
        let body = primes(&user, below, "wait=20").await.expect(200);
        assert_eq!(body["result"], json!({"count": 0, "largest": null}), "{below}");
    }
    let body = primes(&user, 3, "wait=20").await.expect(200);
    assert_eq!(body["result"], json!({"count": 1, "largest": 2}));
}

#[tokio::test]
async fn whoever_does_not_wait_gets_the_job_and_where_to_look_for_it() {
    let app = TestApp::embedded().await;
    let user = app.user("user").await;
    let answer = primes(&user, 100, "respond-async").await;
    let job = answer.expect(202);
    let path = format!("/jobs/{}", job["id"].as_str().expect("an id"));
    assert_eq!(answer.header("location"), path);
    assert_eq!((applied(&answer), answer.header("retry-after")), ("respond-async", "1"));
    assert!(!answer.header("consistency-token").is_empty());
    let expected = json!({
        "id": job["id"],
        "task": "compute.primes",
        "version": 1,
        "queue": "cpu",
        "state": "ready",
        "priority": 5,
        "attempts": 0,
        "maxAttempts": 3,
        "progress": {"done": 0, "total": null, "message": null},
        "result": null,
        "error": null,
        "createdBy": user.id(),
        "createdAt": app.now().to_string(),
        "scheduledFor": null,
        "startedAt": null,
        "finishedAt": null,
    });
    assert_eq!(job, expected);
    assert_eq!(app.drain_jobs().await, 1);
    let job = user.get(&path).await.expect(200);
    assert_eq!((&job["state"], &job["result"]), (&json!("succeeded"), &json!({"count": 25, "largest": 97})));
    assert_eq!((&job["attempts"], &job["finishedAt"]), (&json!(1), &json!(app.now().to_string())));
}

#[tokio::test]
async fn what_takes_longer_than_the_wait_goes_on_as_a_job() {
    let app = TestApp::embedded().await;
    let user = app.user("user").await;
    let asked_at = Instant::now();
    let answer = primes(&user, 100, "wait=1").await;
    let job = answer.expect(202);
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&asked_at.elapsed()));
    assert_eq!((applied(&answer), answer.header("retry-after")), ("wait=1", "1"));
    assert_eq!(job["state"], "ready");
    assert_eq!(app.drain_jobs().await, 1);
    assert_eq!(user.get(answer.header("location")).await.expect(200)["state"], "succeeded");
}

#[tokio::test]
async fn preferences_are_read_as_the_standard_says() {
    let app = TestApp::embedded().await;
    let (user, _worker) = (app.user("user").await, app.work());
    for (prefer, status, expected) in [
        ("wait=55", 200, "wait=55"),
        ("wait=56", 200, "wait=55"),
        ("wait=\"20\"; foo=bar, return=minimal", 200, "wait=20"),
        ("Wait=20, wait=1", 200, "wait=20"),
        ("wait=soon", 200, "wait=10"),
        ("handling=lenient", 200, "wait=10"),
        ("respond-async, wait=20", 200, "wait=20"),
        ("Respond-Async", 202, "respond-async"),
    ] {
        let answer = primes(&user, 100, prefer).await;
        answer.expect(status);
        assert_eq!(applied(&answer), expected, "{prefer}");
    }
    let request = user.request(Method::POST, PRIMES).json(&json!({"below": 100}));
    let answer = user.send(request.header("Prefer", "return=minimal").header("Prefer", "wait=30")).await;
    answer.expect(200);
    assert_eq!(applied(&answer), "wait=30");
}

#[tokio::test]
async fn bad_input_is_refused_without_a_job() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    for (body, code) in [
        (json!({"below": 1_000_000_001_u64}), "out-of-range"),
        (json!({"below": 1e300}), "out-of-range"),
        (json!({"below": -1}), "out-of-range"),
        (json!({"below": 1.5}), "invalid-type"),
        (json!({"below": "100"}), "invalid-type"),
        (json!({"below": null}), "invalid-type"),
        (json!({}), "required"),
    ] {
        user.post(PRIMES, &body).await.expect_invalid(&[("/below", code)]);
    }
    user.post(PRIMES, &json!({"below": 1, "above": 2})).await.expect_invalid(&[("/above", "unknown-field")]);
    user.post(&format!("{PRIMES}?wait=1"), &json!({"below": 1}))
        .await
        .expect_invalid(&[("wait", "unknown-parameter")]);
    assert_eq!(admin.get("/jobs").await.expect(200)["data"], json!([]));
}

/// What is answered when the job ends like this while somebody waits.
async fn when_it_ends(app: &TestApp, user: &Caller, outcome: Outcome) -> (Answer, Value) {
    let end = async {
        let job = InHand::next(app.jobs()).await;
        let id = job.job();
        job.end(outcome).await;
        id
    };
    let (answer, id) = tokio::join!(primes(user, 100, "wait=20"), end);
    let job = user.get(&format!("/jobs/{id}")).await.expect(200);
    let problem = answer.json();
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(&id.to_string())), "{problem}");
    (answer, job)
}

#[tokio::test]
async fn the_error_of_a_task_is_422_with_the_error() {
    let app = TestApp::embedded().await;
    let user = app.user("user").await;
    let error = json!({"code": "too-large", "about": {"most": 7}});
    let (answer, job) = when_it_ends(&app, &user, Outcome::Failed(Bytes::from(error.to_string()))).await;
    assert_eq!(answer.expect_problem(422, "job-failed")["error"], error);
    assert_eq!((&job["state"], &job["error"]), (&json!("failed"), &error));
}

#[tokio::test]
async fn a_job_without_a_result_is_502_and_shows_nothing_of_the_inside() {
    let app = TestApp::embedded().await;
    let user = app.user("user").await;
    for cause in CauseOfDeath::ALL {
        let death = Death { cause, detail: "it panicked: secret at src/primes.rs:7".to_owned() };
        let (answer, job) = when_it_ends(&app, &user, Outcome::Dead(death)).await;
        answer.expect_problem(502, "job-dead");
        assert_eq!((&job["state"], &job["error"]["cause"]), (&json!("dead"), &json!(cause.as_str())));
        assert!(!answer.text.contains("secret") && !job.to_string().contains("secret"), "{job}");
    }
    let (answer, job) = when_it_ends(&app, &user, Outcome::Cancelled).await;
    answer.expect_problem(502, "job-dead");
    assert_eq!((&job["state"], &job["error"]), (&json!("cancelled"), &Value::Null));
}

#[tokio::test]
async fn a_full_queue_takes_nothing_and_says_when_to_come_again() {
    let app = TestApp::with(|config| config.jobs.limits.waiting = 1).await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    user.start_primes(100).await;
    for prefer in ["respond-async", "wait=5"] {
        let refused = primes(&user, 100, prefer).await;
        refused.expect_problem(503, "queue-full");
        assert_eq!(refused.header("retry-after"), "1");
    }
    assert_eq!(admin.get("/jobs").await.expect(200)["pagination"]["total"], 1);
    app.drain_jobs().await;
    user.start_primes(100).await;
}

#[tokio::test]
async fn a_key_makes_one_job_of_two_requests() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    let ask = async |below: u64| {
        let request = user.request(Method::POST, PRIMES).json(&json!({"below": below}));
        user.send(request.header("Prefer", "respond-async").header("Idempotency-Key", "the-key")).await
    };
    let (first, second) = (ask(100).await, ask(100).await);
    assert_eq!(first.expect(202), second.expect(202));
    assert_eq!(second.header("location"), first.header("location"));
    assert_eq!(applied(&second), "respond-async");
    let id = first.json()["id"].as_str().and_then(|id| id.parse::<Uuid>().ok()).expect("a UUID");
    assert_eq!(id.get_version_num(), 7);
    let began = id.get_timestamp().expect("a time").to_unix().0;
    assert_eq!(Some(began), u64::try_from(ManualClock::START.unix_micros() / 1_000_000).ok());
    ask(101).await.expect_problem(422, "idempotency-key-reused");
    assert_eq!(admin.get("/jobs").await.expect(200)["pagination"]["total"], 1);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_job_that_goes_on() {
    let app = TestApp::embedded().await;
    let user = app.user("user").await;
    let asking = primes(&user, 100, "wait=20");
    let gone = tokio::time::timeout(Duration::from_millis(300), asking).await;
    assert!(gone.is_err(), "nobody works");
    assert_eq!(app.drain_jobs().await, 1);
}

#[tokio::test]
async fn a_job_carries_the_trace_of_its_request() {
    let app = TestApp::embedded().await;
    let user = app.user("user").await;
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (header, goes_on) in [(given, true), ("nonsense", false)] {
        let request = user.request(Method::POST, PRIMES).json(&json!({"below": 100}));
        let request = request.header("Prefer", "respond-async").header("traceparent", header);
        let id = user.send(request).await.expect(202)["id"].as_str().expect("an id").parse().expect("a UUID");
        let job = app.jobs().queue.find(portwright_domain::job::JobId(id)).await.expect("find works");
        let given = TraceContext::parse(given).expect("valid");
        let trace = job.expect("it is known").spec.trace.expect("a trace");
        let trace = TraceContext::parse(&trace).expect("valid");
        assert_eq!((trace.trace_id == given.trace_id, trace.is_sampled), (goes_on, goes_on));
        assert_ne!(trace.span_id, given.span_id, "the request itself is between them");
    }
}
