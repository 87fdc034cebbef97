//! What Prometheus reads of a server.

use std::collections::BTreeMap;

use portwright_testkit::Scrape;
use reqwest::{Client, Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::durability::Random;
use crate::place::{PATIENCE, Place};
use crate::server::Server;
use crate::size::sized;
use crate::workers::until;

const REQUESTS: &str = "http_server_request_duration_seconds_count";

/// Where a server says that its metrics are.
pub(crate) async fn metrics_of(server: &Server) -> String {
    server.logged("started").await["metrics"].as_str().expect("a URL").to_owned()
}

pub(crate) async fn get(url: &str) -> reqwest::Response {
    let client = Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
    client.get(url).send().await.expect("an answer")
}

pub(crate) async fn scrape(url: &str) -> Scrape {
    let answer = get(url).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4");
    Scrape::parse(&answer.text().await.expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_metrics_are_on_the_port_for_operators_alone() {
    let place = Place::empty();
    let mut command = place.command(["serve"]);
    command.envs([
        ("APP_ENV", "production"),
        ("HOST", "127.0.0.1"),
        ("MANAGEMENT_PORT", "0"),
        ("JWT_SECRET", "RhcrPiqqUCqSnBZ9OfZ8YbB0GVYsKjB2y1a5vXwQfNs="),
        ("SHUTDOWN_READY_DELAY", "0"),
        ("RATE_LIMIT_MAX_REQUESTS", "1"),
        ("COMPUTE_AUTO_SPAWN", "false"),
    ]);
    let server = Server::start(&mut command).await;
    let metrics = metrics_of(&server).await;
    let api = server.api();
    let hidden = api.get("/metrics").await.expect(404);
    assert_eq!(hidden["code"], "not-found");
    assert_eq!(api.get("/users").await.status, 401);
    assert_eq!(api.get("/users").await.status, 429, "that was the only request that it may make");
    let operators = metrics.strip_suffix("/metrics").expect("the path");
    for _ in 0..20 {
        let answer = get(&metrics).await;
        assert_eq!((answer.status(), answer.headers().get("ratelimit")), (StatusCode::OK, None));
        assert_eq!(get(&format!("{operators}/health/live")).await.status(), StatusCode::OK);
        assert_eq!(get(&format!("{operators}/users")).await.status(), StatusCode::NOT_FOUND, "no API there");
    }
    let counted = scrape(&metrics).await;
    assert_eq!(counted.whole(REQUESTS, &[("http_route", "/users")]), 2);
    assert_eq!(counted.whole("rate_limit_decisions_total", &[("decision", "refused")]), 1);
    assert_eq!(counted.whole(REQUESTS, &[]), 2, "scrapes and probes do not count");
    let log = server.stop().await.log;
    let answered: Vec<_> = log.lines().filter(|line| line.contains(r#""message":"answered""#)).collect();
    assert_eq!(answered.len(), 2 + 20, "the API, and what is not among metrics and health: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_where_the_ports_truly_are() {
    let place = Place::empty();
    let mut command = place.command(["serve"]);
    let server = Server::start(command.envs([("HOST", "0.0.0.0"), ("MANAGEMENT_PORT", "0")])).await;
    let (started, operators) =
        (server.logged("started").await, server.logged("metrics and health for operators").await);
    for url in [&started["url"], &started["metrics"], &operators["url"]] {
        assert!(url.as_str().is_some_and(|url| url.starts_with("http://0.0.0.0:")), "{url}");
    }
    assert_eq!(started["metrics"], format!("{}/metrics", operators["url"].as_str().expect("a URL")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_for_operators_that_is_taken_is_an_error_that_names_it() {
    let place = Place::empty();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let mut command = place.command(["serve"]);
    let ran = crate::place::ran(command.env("MANAGEMENT_PORT", port.to_string()), b"").await;
    assert_eq!(ran.code, Some(69), "{}", ran.stderr);
    assert!(ran.stderr.contains("MANAGEMENT_PORT"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("127.0.0.1:{port}")), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_clients_make_up_adds_no_series() {
    let place = Place::empty();
    let server = place.serve().await;
    let metrics = metrics_of(&server).await;
    let mut random = Random::seeded();
    knock(&server, &mut random, 500).await;
    let before = scrape(&metrics).await;
    let count = sized(5_000, 100_000);
    knock(&server, &mut random, count).await;
    let after = scrape(&metrics).await;
    assert_eq!(series(&before), series(&after));
    let all = u64::try_from(count + 500).expect("few");
    assert_eq!(after.whole(REQUESTS, &[]), all);
    assert_eq!(after.values_of(REQUESTS, "http_request_method"), ["GET", "POST", "_OTHER"]);
    assert_eq!(after.values_of(REQUESTS, "http_route"), ["/problems/{code}", "/users/{id}", "unmatched"]);
    server.stop().await;
}

/// How many series there are of each metric that requests touch. What looks after the files in the background uses the
/// database and the storage in its own time.
fn series(scrape: &Scrape) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for (name, ..) in
        scrape.samples.iter().filter(|(name, ..)| !name.starts_with("db_") && !name.starts_with("storage_"))
    {
        *counts.entry(name.as_str()).or_default() += 1;
    }
    counts
}

/// Sends so many requests for paths that nobody asked for before, some with methods of their own, over one connection.
async fn knock(server: &Server, random: &mut Random, count: usize) {
    let mut requests = String::new();
    for number in 0..count {
        let (word, more) = (random.next(), random.next());
        let method = ["GET", "POST", "BREW", "Q"][number % 4];
        let path = match number % 7 {
            0 => format!("/users/{word:x}"),
            1 => format!("/problems/{word:x}"),
            2 => format!("/{word:x}/{more:x}?q={more:x}"),
            3 => format!("/%{word:x}"),
            _ => format!("/{word:x}"),
        };
        let method = if method == "Q" { format!("Q{:X}", word & 0xFFFF) } else { method.to_owned() };
        let last = if number + 1 == count { "Connection: close\r\n" } else { "" };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n{last}\r\n");
        requests.push_str(&head);
    }
    let (mut reader, mut writer) = TcpStream::connect(server.address).await.expect("connected").into_split();
    let mut answers = Vec::new();
    let exchange = async {
        let (written, read) =
            tokio::join!(writer.write_all(requests.as_bytes()), reader.read_to_end(&mut answers));
        written.expect("written");
        read.expect("read");
    };
    timeout(PATIENCE * 8, exchange).await.expect("in time");
    let answers = String::from_utf8_lossy(&answers);
    assert_eq!(answers.matches("HTTP/1.1 ").count(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_counted_where_it_belongs() {
    let place = Place::empty();
    let server = place.serve().await;
    let (metrics, admin) = (metrics_of(&server).await, place.first_admin(&server).await);
    for _ in 0..3 {
        admin.get("/users").await.expect(200);
    }
    admin.get("/users/00000000-0000-7000-8000-000000000000").await.expect(404);
    admin.sign_in("nobody@example.com", "tango-velvet-harbor-92").await.expect(401);
    admin.post("/compute/primes", &json!({"below": "x"})).await.expect(422);
    let asked = Client::builder().no_proxy().build().expect("a client");
    let asked = asked.request(Method::POST, format!("http://{}/compute/primes", server.address));
    let asked = asked.bearer_auth(admin.session["accessToken"].as_str().expect("a token"));
    let accepted =
        asked.header("Prefer", "respond-async").json(&json!({"below": 10})).send().await.expect("an answer");
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);

    let counted = scrape(&metrics).await;
    let requests = |method, route, status| {
        let labels =
            [("http_request_method", method), ("http_route", route), ("http_response_status_code", status)];
        counted.whole(REQUESTS, &labels)
    };
    assert_eq!(requests("GET", "/users", "200"), 3);
    assert_eq!(requests("GET", "/users/{id}", "404"), 1);
    assert_eq!(requests("POST", "/compute/primes", "422"), 1);
    assert_eq!(requests("POST", "/compute/primes", "202"), 1);
    assert_eq!(requests("POST", "/auth/login", "401"), 1);
    assert_eq!(counted.whole(REQUESTS, &[]), 8, "the sign-in of the administrator, too");
    assert_eq!(counted.whole("http_server_active_requests", &[]), 0);
    assert_eq!(
        counted.whole("rate_limit_decisions_total", &[("policy", "default"), ("decision", "allowed")]),
        8
    );
    assert_eq!(counted.whole("sign_ins_total", &[("outcome", "succeeded")]), 1);
    assert_eq!(counted.whole("sign_ins_total", &[("outcome", "refused")]), 1);
    assert_eq!(counted.whole("jobs_enqueued_total", &[("task", "compute.primes")]), 1);
    assert_eq!(counted.whole("jobs_in_state", &[("queue", "cpu"), ("state", "ready")]), 1);
    let listed = [("operation", "users.list"), ("outcome", "ok")];
    let listed = counted.whole("db_client_operation_duration_seconds_count", &listed);
    assert_eq!(listed, 3 + 1, "at the start somebody looked whether there is anybody");
    assert_eq!(counted.whole("circuit_breaker_state", &[("breaker", "store.reads"), ("state", "closed")]), 1);
    assert_eq!(counted.whole("circuit_breaker_state", &[("state", "open")]), 0);
    assert_eq!(counted.values_of("scrape_source_up", "source"), ["build", "process", "queue", "runtime"]);
    assert_eq!(counted.whole("scrape_source_up", &[]), 4);
    assert_eq!(counted.values_of("build_info", "version"), [env!("CARGO_PKG_VERSION")]);
    until("the pulse beats", async || {
        scrape(&metrics).await.sum("tokio_scheduling_delay_seconds_count", &[]) > 0.0
    })
    .await;
    server.stop().await;
}
