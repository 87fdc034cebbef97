//! More requests than can be worked on: some wait for a moment, the others are told to come back, and whoever only waits
//! for somebody else is in nobody's way.

use std::sync::Arc;
use std::time::Duration;

use portwright_http::{ConcurrencyLimit, Problem, ProblemCode, RouteLimits, ServerLimits, WithDeadline};
use tokio::time::{Instant, sleep_until};

use crate::api::{Running, Setup};
use crate::client::{Answer, Client, within};
use crate::measures::Seen;

/// Nobody waits so long in a test that passes.
const LONG: Duration = Duration::from_secs(30);

const ONE: ConcurrencyLimit = ConcurrencyLimit { working: 1, waiting: 1, patience: LONG };

async fn start(concurrency: ConcurrencyLimit) -> (Running, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let setup = Setup { concurrency: Some(concurrency), observer: seen.clone(), ..Setup::default() };
    (setup.start().await, seen)
}

/// Sends a request whose handler waits until it is released.
async fn occupy(server: &Running) -> Client {
    let client = ask(server, "/waiting").await;
    within(server.signals.entered.notified()).await;
    client
}

/// Sends a request and does not wait for its answer.
async fn ask(server: &Running, path: &str) -> Client {
    let mut client = Client::connect(server.address).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
    client
}

async fn get(server: &Running, path: &str) -> Answer {
    Client::connect(server.address).await.get(path).await
}

/// What was observed, once this was.
async fn until(seen: &Seen, words: &str) -> Vec<String> {
    let mut all = Vec::new();
    within(async {
        while !all.iter().any(|it| it == words) {
            tokio::task::yield_now().await;
            all.extend(seen.take());
        }
    })
    .await;
    all
}

#[track_caller]
fn expect_shed(answer: &Answer) {
    assert_eq!(answer.code(), "overloaded");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(answer.header("ratelimit"), None, "nobody counted it");
}

#[tokio::test]
async fn one_more_waits_for_its_turn_and_the_next_is_refused_at_once() {
    let (server, seen) = start(ONE).await;
    let mut working = occupy(&server).await;
    let mut waiting = ask(&server, "/greeting").await;
    until(&seen, "queued").await;
    let mut refused = Client::connect(server.address).await;
    expect_shed(&refused.get("/greeting").await);
    assert_eq!(seen.take(), ["began", "shed full", "GET /greeting 503"]);

    server.signals.release.notify_one();
    assert_eq!(working.answer().await.status, 200);
    assert_eq!(waiting.answer().await.status, 200);
    assert!(until(&seen, "GET /greeting 200").await.contains(&"unqueued".to_owned()));
    assert_eq!(refused.get("/greeting").await.status, 200, "and its connection is as good as before");
}

#[tokio::test]
async fn nobody_waits_longer_than_a_moment() {
    let (server, seen) = start(ConcurrencyLimit { waiting: 10, ..ConcurrencyLimit::of(1) }).await;
    let _working = occupy(&server).await;
    let asked = Instant::now();
    expect_shed(&get(&server, "/greeting").await);
    assert!(asked.elapsed() >= ConcurrencyLimit::PATIENCE, "{:?}", asked.elapsed());
    assert!(until(&seen, "GET /greeting 503").await.contains(&"shed late".to_owned()));
}

#[tokio::test]
async fn probes_and_scrapes_are_answered_whatever_is_going_on() {
    let (server, _) = start(ConcurrencyLimit { waiting: 0, ..ONE }).await;
    let _working = occupy(&server).await;
    expect_shed(&get(&server, "/greeting").await);
    assert_eq!(get(&server, "/health/live").await.status, 200);
    assert_eq!(get(&server, "/metrics").await.status, 404, "in this API there are none, which is an answer");
}

#[tokio::test]
async fn a_client_that_is_slow_to_send_keeps_nobody_from_being_served() {
    let (server, _) = start(ConcurrencyLimit { waiting: 0, ..ONE }).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(server.address).await;
        let head = "POST /bytes HTTP/1.1\r\nHost: test\r\nContent-Type: application/octet-stream\r\nContent-Length: 10\r\n";
        client.send(format!("{head}Expect: 100-continue\r\n\r\n")).await;
        // The server asks for the body when its handler reads it.
        assert_eq!(client.answer_to_head().await.status, 100);
        client.send("01234").await;
        assert_eq!(get(&server, "/greeting").await.status, 200);
        slow.push(client);
    }
    for mut client in slow {
        client.send("56789").await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "10"));
    }
}

#[tokio::test]
async fn a_request_whose_small_body_is_not_here_has_not_begun() {
    let (server, seen) = start(ONE).await;
    let mut slow = Client::connect(server.address).await;
    let head = "POST /bytes HTTP/1.1\r\nHost: test\r\nContent-Type: application/octet-stream\r\n";
    slow.send(format!("{head}Content-Length: 10\r\n\r\n01234")).await;
    assert_eq!(get(&server, "/greeting").await.status, 200);
    assert_eq!(until(&seen, "GET /greeting 200").await, ["began", "default true", "GET /greeting 200"]);

    slow.send("56789").await;
    let answer = slow.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "10"));
    assert_eq!(until(&seen, "POST /bytes 200").await, ["began", "default true", "POST /bytes 200"]);
}

#[tokio::test]
async fn a_body_that_is_too_slow_is_refused_under_the_name_of_its_request() {
    let seen = Arc::new(Seen::default());
    let limits = ServerLimits { body_pause: Duration::from_millis(50), ..ServerLimits::default() };
    let server = Setup { limits, observer: seen.clone(), ..Setup::default() }.start().await;
    let mut slow = Client::connect(server.address).await;
    slow.send("POST /bytes HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234").await;
    let answer = slow.answer().await;
    assert_eq!((answer.code().as_str(), answer.header("connection")), ("request-timeout", Some("close")));
    let seen = until(&seen, "POST /bytes 408").await;
    assert_eq!(seen, ["began", "default true", "POST /bytes 408"], "and no handler read anything");
    assert_eq!(answer.problem()["instance"], "/bytes");
}

#[tokio::test]
async fn an_answer_that_is_streamed_holds_no_turn() {
    let (server, _) = start(ConcurrencyLimit { waiting: 0, ..ONE }).await;
    let mut reader = ask(&server, "/endless").await;
    assert_eq!(reader.answer_to_head().await.status, 200);
    assert_eq!(get(&server, "/greeting").await.status, 200);
}

#[tokio::test]
async fn a_client_that_goes_away_gives_up_its_turn_and_its_place() {
    let (server, seen) = start(ONE).await;
    let working = occupy(&server).await;
    let waiting = ask(&server, "/greeting").await;
    until(&seen, "queued").await;
    drop(waiting);
    until(&seen, "unqueued").await;
    let mut next = ask(&server, "/greeting").await;
    until(&seen, "queued").await;
    drop(working);
    assert_eq!(next.answer().await.status, 200);
}

/// A port that is given up when the caller has no time left, or at once.
fn gives_up(at_the_end: bool) -> WithDeadline {
    Arc::new(move |at, _| {
        Box::pin(async move {
            if at_the_end {
                sleep_until(at).await;
            }
            Err(Problem::new(ProblemCode::Unavailable).into())
        })
    })
}

#[tokio::test]
async fn what_fails_for_want_of_time_is_a_timeout_and_what_fails_before_is_what_it_is() {
    let second = Duration::from_secs(1);
    let route = RouteLimits { deadline: second, ..RouteLimits::DEFAULT };
    for (at_the_end, status, code) in [(true, 504, "timeout"), (false, 503, "unavailable")] {
        let limits = ServerLimits { route, ..ServerLimits::default() };
        let setup = Setup { limits, with_deadline: gives_up(at_the_end), ..Setup::default() };
        let server = setup.start().await;
        let answer = get(&server, "/greeting").await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
}
