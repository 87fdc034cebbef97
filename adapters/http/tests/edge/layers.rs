//! What every answer carries, whoever made it: identity, headers, the client's share, and a line in the log.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::error::ErrorKind;
use portwright_domain::ports::{Decision, Quota, RateKey, RateLimiter};
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use crate::api::{Running, Setup};
use crate::client::{Answer, Client, within};

/// One request with these headers on a connection of its own.
async fn request(server: &Running, line: &str, headers: &str) -> Answer {
    let mut client = Client::connect(server.address).await;
    client.send(format!("{line} HTTP/1.1\r\nHost: test\r\n{headers}Connection: close\r\n\r\n")).await;
    client.answer().await
}

fn quota(limit: u32) -> Quota {
    Quota { limit, window: Duration::from_mins(1) }
}

#[tokio::test]
async fn a_valid_request_id_is_echoed_and_another_is_replaced() {
    let server = Setup::default().start().await;
    let echoed = request(&server, "GET /greeting", "X-Request-Id: my.id-1_A\r\n").await;
    assert_eq!(echoed.header("x-request-id"), Some("my.id-1_A"));
    for headers in
        ["", "X-Request-Id: a b\r\n", "X-Request-Id: \r\n", &format!("X-Request-Id: {}\r\n", "x".repeat(129))]
    {
        let made = request(&server, "GET /nowhere", headers).await;
        let id = made.header("x-request-id").expect("an id");
        assert_eq!(uuid::Uuid::parse_str(id).map(|id| id.get_version_num()), Ok(7));
        assert_eq!(made.problem()["requestId"], id);
    }
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let server = Setup::default().start().await;
    for line in ["GET /greeting", "GET /nowhere", "GET /panic", "OPTIONS /greeting", "RUBBISH"] {
        let answer = request(&server, line, "").await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{line}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{line}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{line}");
        let policy = "default-src 'none'; frame-ancestors 'none'";
        assert_eq!(answer.header("content-security-policy"), Some(policy), "{line}");
        assert_eq!(answer.header("server"), None, "{line}");
    }
}

#[tokio::test]
async fn a_panic_ends_one_request_and_nothing_else() {
    let server = Setup::default().start().await;
    let mut client = Client::connect(server.address).await;
    assert_eq!(client.get("/panic").await.code(), "internal");
    assert_eq!(client.get("/greeting").await.status, 200);
}

#[tokio::test]
async fn of_55_requests_at_once_50_are_answered_and_5_have_to_wait() {
    let server = Setup { quota: quota(50), ..Setup::default() }.start().await;
    let requests = (0..55).map(|_| request(&server, "GET /greeting", ""));
    let answers = futures::future::join_all(requests).await;
    let (granted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((granted.len(), refused.len()), (50, 5));

    let mut remaining: Vec<u32> = granted
        .iter()
        .map(|answer| answer.header("x-ratelimit-remaining").expect("a number").parse().expect("a number"))
        .collect();
    remaining.sort_unstable();
    assert!(remaining.into_iter().eq(0..50));
    for answer in refused {
        assert_eq!(answer.code(), "rate-limited");
        assert_eq!(answer.header("retry-after"), Some("60"));
        assert_eq!(answer.header("ratelimit-policy"), Some("\"default\";q=50;w=60"));
        assert_eq!(answer.header("ratelimit"), Some("\"default\";r=0;t=60"));
        assert_eq!(answer.header("x-ratelimit-limit"), Some("50"));
        // A minute after the clock of the test, which stands still.
        assert_eq!(answer.header("x-ratelimit-reset"), Some("1767225660"));
    }
}

#[tokio::test]
async fn errors_count_and_probes_do_not() {
    let server = Setup { quota: quota(4), ..Setup::default() }.start().await;
    for (line, left) in
        [("GET /nowhere", "3"), ("GET /secret", "2"), ("OPTIONS /greeting", "1"), ("RUBBISH", "0")]
    {
        assert_eq!(request(&server, line, "").await.header("x-ratelimit-remaining"), Some(left), "{line}");
    }
    assert_eq!(request(&server, "GET /greeting", "").await.status, 429);
    for path in ["/health/live", "/health", "/metrics"] {
        let probe = request(&server, &format!("GET {path}"), "").await;
        assert_ne!(probe.status, 429);
        assert_eq!(probe.header("ratelimit"), None);
    }
    assert_eq!(request(&server, "GET /healthy", "").await.status, 429);
}

#[tokio::test]
async fn a_user_has_a_share_of_its_own() {
    let server = Setup { quota: quota(1), ..Setup::default() }.start().await;
    for headers in ["Authorization: Bearer 1\r\n", "Authorization: Bearer 2\r\n", ""] {
        assert_eq!(request(&server, "GET /greeting", headers).await.status, 200);
    }
    for headers in ["Authorization: Bearer 1\r\n", "Authorization: Bearer forged\r\n", ""] {
        assert_eq!(request(&server, "GET /greeting", headers).await.status, 429);
    }
}

#[tokio::test]
async fn nobody_gets_a_new_share_by_making_up_addresses() {
    let spoofed =
        ["X-Forwarded-For: 192.0.2.1\r\n", "X-Forwarded-For: 192.0.2.2\r\n", "Forwarded: for=192.0.2.3\r\n"];
    let server = Setup { quota: quota(1), ..Setup::default() }.start().await;
    let mut statuses = Vec::new();
    for headers in spoofed {
        statuses.push(request(&server, "GET /greeting", headers).await.status);
    }
    assert_eq!(statuses, [200, 429, 429]);

    let server = Setup { quota: quota(1), proxies: "127.0.0.0/8", ..Setup::default() }.start().await;
    for headers in spoofed {
        assert_eq!(request(&server, "GET /greeting", headers).await.status, 200);
    }
    // Behind a proxy, the client writes what it likes in front of the proxy's own entry.
    for made_up in ["8.8.8.8", "8.8.4.4"] {
        let headers = format!("X-Forwarded-For: {made_up}, 192.0.2.1\r\n");
        assert_eq!(request(&server, "GET /greeting", &headers).await.status, 429);
    }
}

/// A limiter that is down, or hangs.
struct Broken {
    hangs: bool,
}

#[async_trait]
impl RateLimiter for Broken {
    async fn take(&self, _: &RateKey, _: Quota) -> Result<Decision, PortError> {
        if self.hangs {
            std::future::pending().await
        } else {
            Err(PortError::new(ErrorKind::Unavailable, "rate_limiter.take", "down"))
        }
    }

    async fn peek(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        self.take(key, quota).await
    }
}

#[tokio::test]
async fn a_limiter_that_cannot_tell_refuses_nobody() {
    for hangs in [false, true] {
        let limiter: Option<Arc<dyn RateLimiter>> = Some(Arc::new(Broken { hangs }));
        let server = Setup { quota: quota(1), limiter, ..Setup::default() }.start().await;
        for _ in 0..2 {
            let answer = request(&server, "GET /greeting", "").await;
            assert_eq!((answer.status, answer.header("ratelimit")), (200, None));
        }
    }
}

/// Keeps what is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("unpoisoned").clone()).expect("text")
    }

    /// The lines about answers.
    fn answered(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        lines.filter(|line: &Value| line["fields"]["message"] == "answered").collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("unpoisoned").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_client_that_went_away_has_a_line_too() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Setup::default().start().await;
    let mut client = Client::connect(server.address).await;
    client.send("GET /waiting HTTP/1.1\r\nHost: test\r\n\r\n").await;
    within(server.signals.entered.notified()).await;
    drop(client);
    within(server.signals.dropped.notified()).await;
    let logged = async {
        while log.answered().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(logged).await;
    assert_eq!(log.answered()[0]["span"]["http.response.status_code"], 499);
}

#[tokio::test]
async fn a_request_has_one_line_in_the_log_without_what_is_private() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Setup::default().start().await;
    let private = "Authorization: Bearer sesame\r\nX-Request-Id: r1\r\n";
    request(&server, "GET /things/7?email=ann%40example.org", private).await;
    request(&server, "GET /health/live", "").await;
    request(&server, "BREW /nowhere/ann@example.org", "").await;

    let (text, lines) = (log.text(), log.answered());
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0]["level"], "INFO");
    assert!(lines[0]["fields"]["duration_ms"].is_u64());
    let span = &lines[0]["span"];
    assert_eq!((&span["http.request.method"], &span["http.route"]), (&"GET".into(), &"/things/{id}".into()));
    assert_eq!((&span["url.path"], &span["request_id"]), (&"/things/7".into(), &"r1".into()));
    assert_eq!((&span["http.response.status_code"], &span["error.type"]), (&404.into(), &Value::Null));
    assert_eq!(span["trace_id"].as_str().map(str::len), Some(32));
    let span = &lines[1]["span"];
    assert_eq!((&span["http.request.method"], &span["http.route"]), (&"_OTHER".into(), &Value::Null));
    assert_eq!(span["url.path"], "/nowhere/_");
    assert!(!text.contains("example") && !text.contains("sesame"), "{text}");
}
