//! No client can hold the server up, whatever it does or leaves undone.

use std::time::Duration;

use portwright_http::{RouteLimits, ServerLimits};
use tokio::time::Instant;

use crate::api::{Running, Setup};
use crate::client::{Client, within};

/// Beyond its limit, a connection may take so long to be closed.
const TOLERANCE: Duration = Duration::from_secs(1);
const PACE: Duration = Duration::from_millis(20);

fn limits() -> ServerLimits {
    ServerLimits {
        head_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(600),
        write_timeout: Duration::from_millis(300),
        linger: Duration::from_millis(300),
        body_pause: Duration::from_millis(300),
        body_grace: Duration::from_millis(400),
        route: RouteLimits { body_bytes: 1_000, deadline: Duration::from_millis(900) },
        ..ServerLimits::default()
    }
}

async fn start(limits: ServerLimits) -> Running {
    Setup { limits, ..Setup::default() }.start().await
}

/// Whatever another client does, this one is served at once.
async fn served(server: &Running) {
    let start = Instant::now();
    assert_eq!(Client::connect(server.address).await.get("/greeting").await.status, 200);
    assert!(start.elapsed() < TOLERANCE);
}

#[track_caller]
fn assert_around(took: Duration, limit: Duration) {
    assert!(took >= limit.mul_f32(0.9) && took <= limit + TOLERANCE, "{took:?} is not around {limit:?}");
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let server = start(limits()).await;
    let mut client = Client::connect(server.address).await;
    served(&server).await;
    assert_around(client.closed().await, limits().head_timeout);
}

#[tokio::test]
async fn half_a_head_is_a_request_timeout() {
    let server = start(limits()).await;
    let mut client = Client::connect(server.address).await;
    let start = Instant::now();
    client.send("GET /greeting HTTP/1.1\r\nHost: te").await;
    served(&server).await;
    let answers = client.answers().await;
    assert_around(start.elapsed(), limits().head_timeout);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].code(), "request-timeout");
    assert_eq!(answers[0].header("connection"), Some("close"));
}

#[tokio::test]
async fn a_dripping_head_gains_no_time() {
    let server = start(limits()).await;
    let mut client = Client::connect(server.address).await;
    let start = Instant::now();
    client.send("GET /greeting HTTP/1.1\r\nX: ").await;
    client.drip(b'x', PACE).await;
    assert_around(start.elapsed(), limits().head_timeout);
    assert_eq!(client.answers().await[0].status, 408);
}

#[tokio::test]
async fn a_later_head_has_its_own_time() {
    let server = start(limits()).await;
    let mut client = Client::connect(server.address).await;
    assert_eq!(client.get("/greeting").await.status, 200);
    let start = Instant::now();
    client.send("GET /gree").await;
    assert_eq!(client.answers().await[0].status, 408);
    assert_around(start.elapsed(), limits().head_timeout);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = start(limits()).await;
    let mut client = Client::connect(server.address).await;
    assert_eq!(client.get("/greeting").await.status, 200);
    served(&server).await;
    assert_around(client.closed().await, limits().idle_timeout);
}

#[tokio::test]
async fn a_body_that_pauses_is_a_request_timeout() {
    let server = start(limits()).await;
    let mut client = Client::connect(server.address).await;
    let start = Instant::now();
    client.send(post("Content-Length: 100\r\n")).await;
    client.send("0123456789").await;
    served(&server).await;
    let answers = client.answers().await;
    assert_around(start.elapsed(), limits().body_pause);
    assert_eq!(answers[0].code(), "request-timeout");
    assert_eq!(answers[0].header("connection"), Some("close"));
}

#[tokio::test]
async fn a_dripping_body_is_a_request_timeout() {
    let server = start(limits()).await;
    let mut client = Client::connect(server.address).await;
    let start = Instant::now();
    client.send(post("Content-Length: 900\r\n")).await;
    client.drip(b'x', PACE).await;
    assert_around(start.elapsed(), limits().body_grace);
    assert_eq!(client.answers().await[0].code(), "request-timeout");
}

#[tokio::test]
async fn a_body_that_is_still_coming_at_the_deadline_is_the_clients_fault() {
    let limits = ServerLimits { body_grace: Duration::from_secs(10), ..limits() };
    let server = start(limits).await;
    let mut client = Client::connect(server.address).await;
    let start = Instant::now();
    client.send(post("Content-Length: 900\r\n")).await;
    client.drip(b'x', PACE).await;
    assert_around(start.elapsed(), limits.route.deadline);
    assert_eq!(client.answers().await[0].code(), "request-timeout");
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_off() {
    let server = start(limits()).await;
    let mut client = Client::connect(server.address).await;
    client.send("GET /endless HTTP/1.1\r\nHost: test\r\n\r\n").await;
    served(&server).await;
    let start = Instant::now();
    within(server.signals.dropped.notified()).await;
    assert!(start.elapsed() <= limits().write_timeout + 2 * TOLERANCE);
}

#[tokio::test]
async fn a_handler_is_dropped_when_its_client_goes_away() {
    let server = start(ServerLimits::default()).await;
    let mut client = Client::connect(server.address).await;
    client.send("GET /waiting HTTP/1.1\r\nHost: test\r\n\r\n").await;
    within(server.signals.entered.notified()).await;
    drop(client);
    within(server.signals.dropped.notified()).await;
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_a_timeout() {
    let server = start(limits()).await;
    let mut client = Client::connect(server.address).await;
    let start = Instant::now();
    let answer = client.get("/never").await;
    assert_around(start.elapsed(), limits().route.deadline);
    assert_eq!((answer.status, answer.code().as_str()), (504, "timeout"));
    assert_eq!(client.get("/greeting").await.status, 200);
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed() {
    for limits in [
        ServerLimits { connections_per_address: 2, ..ServerLimits::default() },
        ServerLimits { connections: 2, ..ServerLimits::default() },
    ] {
        let server = start(limits).await;
        let mut first = Client::connect(server.address).await;
        let mut second = Client::connect(server.address).await;
        assert_eq!(first.get("/greeting").await.status, 200);
        assert_eq!(second.get("/greeting").await.status, 200);
        assert!(Client::connect(server.address).await.closed().await < TOLERANCE);
        assert_eq!(first.get("/greeting").await.status, 200);

        first.send("GET /greeting HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await;
        assert_eq!(first.answers().await.len(), 1);
        // The place is free as soon as the server has seen the end of the connection, which nothing tells us.
        let freed =
            async { while Client::connect(server.address).await.try_get("/greeting").await.is_none() {} };
        within(freed).await;
    }
}

#[tokio::test]
async fn a_body_has_a_limit_that_depends_on_its_path() {
    let server = start(limits()).await;
    let chunked = |size: usize| {
        format!("Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size))
    };
    let sized = |size: usize| format!("Content-Length: {size}\r\n\r\n{}", "x".repeat(size));
    for (line, limit) in [("POST /bytes", 1_000), ("PUT /small", 10)] {
        for body in [sized, chunked] as [fn(usize) -> String; 2] {
            let request = |size| format!("{line} HTTP/1.1\r\nHost: test\r\n{CONTENT_TYPE}{}", body(size));
            let mut client = Client::connect(server.address).await;
            client.send(request(limit)).await;
            let answer = client.answer().await;
            assert_eq!((answer.status, answer.body), (200, limit.to_string()));

            let mut client = Client::connect(server.address).await;
            client.send(request(limit + 1)).await;
            let answers = client.answers().await;
            assert_eq!(answers[0].code(), "payload-too-large");
            assert_eq!((answers.len(), answers[0].header("connection")), (1, Some("close")));
        }
    }
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_refused_before_it_is_sent() {
    let server = start(limits()).await;
    let mut client = Client::connect(server.address).await;
    client.send(post("Content-Length: 1001\r\nExpect: 100-continue\r\n")).await;
    assert_eq!(client.answer().await.status, 413);
}

#[tokio::test]
async fn an_answer_arrives_although_the_client_goes_on_sending() {
    let server = start(limits()).await;
    let mut client = Client::connect(server.address).await;
    client.send(post("Content-Length: 8000000\r\n")).await;
    assert!(client.send(vec![b'x'; 8_000_000]).await, "the connection was reset");
    assert_eq!(client.answers().await[0].status, 413);
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let server = start(limits()).await;
    let header = "X-Header: 1\r\n";
    for (target, headers, status, code) in [
        ("/greeting".to_owned(), header.repeat(99), 200, None),
        ("/greeting".to_owned(), header.repeat(100), 431, Some("headers-too-large")),
        ("/greeting".to_owned(), format!("X: {}\r\n", "x".repeat(15_000)), 200, None),
        ("/greeting".to_owned(), format!("X: {}\r\n", "x".repeat(17_000)), 431, Some("headers-too-large")),
        ("/greeting".to_owned(), format!("X: {}\r\n", "x".repeat(1_000_000)), 431, Some("headers-too-large")),
        (format!("/greeting?{}", "x".repeat(8_000)), String::new(), 200, None),
        (format!("/greeting?{}", "x".repeat(8_200)), String::new(), 414, Some("uri-too-long")),
        (format!("/greeting?{}", "x".repeat(1_000_000)), String::new(), 414, Some("uri-too-long")),
    ] {
        let mut client = Client::connect(server.address).await;
        client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n{headers}\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status);
        if let Some(code) = code {
            assert_eq!(answer.code(), code);
        }
    }
}

const CONTENT_TYPE: &str = "Content-Type: application/octet-stream\r\n";

fn post(headers: &str) -> String {
    format!("POST /bytes HTTP/1.1\r\nHost: test\r\n{CONTENT_TYPE}{headers}\r\n")
}
