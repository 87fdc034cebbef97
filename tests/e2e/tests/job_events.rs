//! The events of a job over HTTP: every state is told once, the last one is told, and then the stream ends.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use bytes::Bytes;
use portwright_domain::job::Outcome;
use portwright_e2e::events::{Event, Events};
use portwright_e2e::work::InHand;
use portwright_e2e::{Caller, TestApp};
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, timeout};

fn done() -> Outcome {
    Outcome::Succeeded(Bytes::from_static(br#"{"count":25,"largest":97}"#))
}

/// A new job of this caller: its path, and that of its events.
async fn start(caller: &Caller) -> (String, String) {
    let job = format!("/jobs/{}", caller.start_primes(100).await["id"].as_str().expect("an id"));
    (job.clone(), format!("{job}/events"))
}

async fn next(events: &mut Events) -> Event {
    events.next().await.expect("an event")
}

/// The next event of this state; those in between may be others.
async fn until_state(events: &mut Events, state: &str) -> Event {
    loop {
        let event = next(events).await;
        if event.data["state"] == state {
            return event;
        }
    }
}

#[tokio::test]
async fn a_job_is_followed_from_its_state_now_to_its_end() {
    let app = TestApp::embedded().await;
    let ada = app.user("user").await;
    let (job, path) = start(&ada).await;
    let mut events = ada.follow(&path, None).await;
    for (name, value) in [("cache-control", "no-store"), ("x-accel-buffering", "no")] {
        assert_eq!(events.headers()[name], value);
    }
    let first = next(&mut events).await;
    assert_eq!((first.name.as_str(), &first.data), ("job", &ada.get(&job).await.expect(200)));

    let in_hand = InHand::next(app.jobs()).await;
    let running = until_state(&mut events, "running").await;
    in_hand.report(1, 2).await;
    let reported = until_state(&mut events, "running").await;
    assert_eq!(reported.data["progress"], json!({"done": 1, "total": 2, "message": "halfway"}));
    in_hand.end(done()).await;
    let last = until_state(&mut events, "succeeded").await;
    assert_eq!(last.data["result"], json!({"count": 25, "largest": 97}));
    assert_eq!(last.data, ada.get(&job).await.expect(200));
    assert_eq!(events.next().await, None);
    let mut ids = [first, running, reported, last].map(|event| event.id).to_vec();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "every state has an id of its own");
}

#[tokio::test]
async fn a_finished_job_tells_how_it_ended_and_nothing_more() {
    let app = TestApp::embedded().await;
    let ada = app.user("user").await;
    let (job, path) = start(&ada).await;
    app.drain_jobs().await;
    let events = ada.follow(&path, None).await.all().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].data, ada.get(&job).await.expect(200));
    let again = ada.follow(&path, Some("an id that nobody gave")).await.all().await;
    assert_eq!(again, events);
    let nothing = ada.get_with(&path, "Last-Event-ID", &events[0].id).await;
    nothing.expect(204);
    assert_eq!(nothing.text, "");
}

#[tokio::test]
async fn whoever_comes_back_is_told_what_changed_meanwhile() {
    let app = TestApp::embedded().await;
    let ada = app.user("user").await;
    let (_, path) = start(&ada).await;
    let first = next(&mut ada.follow(&path, None).await).await;

    let unknown = next(&mut ada.follow(&path, Some("7")).await).await;
    assert_eq!(unknown, first, "an unknown id starts from the present state");
    let mut known = ada.follow(&path, Some(&first.id)).await;
    let silence = timeout(Duration::from_secs(1), known.next()).await;
    assert!(silence.is_err(), "nothing changed: {silence:?}");
    let in_hand = InHand::next(app.jobs()).await;
    assert_eq!(next(&mut known).await.data["state"], "running");
    drop(known);

    in_hand.end(done()).await;
    let missed = ada.follow(&path, Some(&first.id)).await.all().await;
    assert_eq!(missed.len(), 1);
    assert_eq!(missed[0].data["state"], "succeeded");
}

#[tokio::test]
async fn every_end_is_told() {
    let app = TestApp::embedded().await;
    let ada = app.user("user").await;
    let error = json!({"code": "stopped"});
    let (_, path) = start(&ada).await;
    InHand::next(app.jobs()).await.end(Outcome::Failed(Bytes::from(error.to_string()))).await;
    let failed = ada.follow(&path, None).await.all().await;
    assert_eq!((&failed[0].data["state"], &failed[0].data["error"]), (&json!("failed"), &error));

    let (job, path) = start(&ada).await;
    let mut events = ada.follow(&path, None).await;
    assert_eq!(next(&mut events).await.data["state"], "ready");
    ada.delete(&job).await.expect(204);
    assert_eq!(next(&mut events).await.data["state"], "cancelled");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn events_are_for_whoever_sees_the_job() {
    let app = TestApp::with(|config| config.jobs.limits.succeeded.age = Duration::from_mins(1)).await;
    let (admin, ada) = (app.admin().await, app.user("user").await);
    let (_, path) = start(&ada).await;
    assert_eq!(next(&mut admin.follow(&path, None).await).await.data["state"], "ready");
    app.nobody().get(&path).await.expect_problem(401, "unauthorized");
    for role in ["user", "moderator"] {
        app.user(role).await.get(&path).await.expect_problem(404, "not-found");
    }
    for path in ["/jobs/7/events", "/jobs/01900000-0000-7000-8000-000000000000/events"] {
        admin.get(path).await.expect_problem(404, "not-found");
    }
    let other_form = ada.request(Method::GET, &path).header("Accept", "application/json");
    ada.send(other_form).await.expect_problem(406, "not-acceptable");
    ada.get(&format!("{path}?from=1")).await.expect_invalid(&[("from", "unknown-parameter")]);
    app.drain_jobs().await;
    app.advance(Duration::from_mins(1));
    app.jobs().source.reclaim().await.expect("reclaim works");
    ada.get(&path).await.expect_problem(410, "job-expired");
}

#[tokio::test]
async fn a_stream_does_not_hold_up_the_end_of_the_server() {
    let app = TestApp::embedded().await;
    let ada = app.user("user").await;
    let (_, path) = start(&ada).await;
    let mut events = ada.follow(&path, None).await;
    next(&mut events).await;
    let asked_at = Instant::now();
    let (end, ()) = tokio::join!(events.next(), app.stop());
    assert_eq!(end, None);
    assert!(asked_at.elapsed() < Duration::from_secs(5), "{:?}", asked_at.elapsed());
}

#[tokio::test]
async fn a_user_follows_a_few_jobs_at_once_and_gets_the_places_back() {
    let app = TestApp::embedded().await;
    let (ada, eve) = (app.user("user").await, app.admin().await);
    let (_, path) = start(&ada).await;
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut events = ada.follow(&path, None).await;
        next(&mut events).await;
        open.push(events);
    }
    let refused = ada.get(&path).await;
    refused.expect_problem(429, "rate-limited");
    assert_eq!(refused.header("retry-after"), "15");
    next(&mut eve.follow(&path, None).await).await;
    drop(open);
    for _ in 0..1_000 {
        let answer = ada.request(Method::GET, &path).send().await.expect("an answer");
        if answer.status() == 200 {
            return;
        }
        assert_eq!(answer.status(), 429);
    }
    panic!("the places of closed streams are taken for ever");
}
