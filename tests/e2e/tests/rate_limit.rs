//! The general rate limit: 50 requests per client in a minute, and every answer tells what is left.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::net::Ipv4Addr;
use std::time::Duration;

use futures::future::join_all;
use portwright::config::Config;
use portwright_e2e::app::{ADMIN, PASSWORD, rounded_up};
use portwright_e2e::{Answer, Caller, TestApp, wire};
use reqwest::Method;
use serde_json::json;

/// A path that anyone may get and that costs little.
const CHEAP: &str = "/.well-known/jwks.json";

const HEADERS: [&str; 5] =
    ["ratelimit-policy", "ratelimit", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];

/// A server with the limit that it has by default.
async fn limited() -> TestApp {
    TestApp::with(|config| config.rate_limit = Config::embedded(&config.data_dir).rate_limit).await
}

/// How many requests and seconds are left, by a header.
fn told(answer: &Answer) -> (u32, i64) {
    let state = answer.header("ratelimit").strip_prefix(r#""default";r="#).expect("the policy");
    let (remaining, seconds) = state.split_once(";t=").expect("a time");
    (remaining.parse().expect("a number"), seconds.parse().expect("a number"))
}

/// What the headers say is left, if all of them say the same.
#[track_caller]
fn remaining(app: &TestApp, answer: &Answer, seconds: i64) -> u32 {
    let (left, told) = told(answer);
    assert!(app.are_left(told, seconds), "{told} of {seconds} s");
    let [policy, state, limit, remaining, reset] = HEADERS.map(|name| {
        let mut values = answer.headers.get_all(name).iter();
        let value = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        assert!(values.next().is_none(), "{name} stands there twice");
        value
    });
    assert_eq!(policy, r#""default";q=50;w=60"#);
    assert_eq!(state, format!(r#""default";r={left};t={told}"#));
    assert_eq!(remaining, left.to_string());
    assert_eq!(limit, "50");
    // Rounded up, as the seconds are.
    assert_eq!(reset, ((app.now().unix_micros() + 999_999) / 1_000_000 + told).to_string());
    left
}

#[track_caller]
fn expect_refused(app: &TestApp, answer: &Answer, seconds: i64) {
    answer.expect_problem(429, "rate-limited");
    assert_eq!(remaining(app, answer, seconds), 0);
    assert_eq!(answer.header("retry-after"), told(answer).1.to_string());
}

async fn use_up(caller: &Caller) {
    for _ in 0..50 {
        caller.get(CHEAP).await.expect(200);
    }
}

#[tokio::test]
async fn of_fifty_five_requests_at_once_fifty_are_answered() {
    let app = limited().await;
    let nobody = app.nobody();
    let answers = join_all((0..55).map(|_| nobody.get(CHEAP))).await;
    let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((served.len(), refused.len()), (50, 5));
    for answer in refused {
        expect_refused(&app, answer, 60);
    }
    // Each of them took another place.
    let mut left: Vec<_> = served.iter().map(|answer| remaining(&app, answer, 60)).collect();
    left.sort_unstable();
    assert!(left.into_iter().eq(0..50));
}

#[tokio::test]
async fn a_window_begins_with_the_first_request_and_its_end_frees_all() {
    let app = limited().await;
    let nobody = app.nobody();
    let rest = app.shortly_before();
    app.advance(Duration::from_millis(1_234));
    assert_eq!(nobody.get(CHEAP).await.header("x-ratelimit-remaining"), "49");
    app.advance(Duration::from_secs(59).saturating_sub(rest));
    for left in (0..49).rev() {
        assert_eq!(nobody.get(CHEAP).await.header("x-ratelimit-remaining"), left.to_string());
    }
    app.advance(Duration::from_secs(1));
    for _ in 0..3 {
        let refused = nobody.get(CHEAP).await;
        refused.expect_problem(429, "rate-limited");
        let (remaining, seconds) = told(&refused);
        assert_eq!((remaining, refused.header("retry-after")), (0, &*seconds.to_string()));
        assert!(app.are_left(seconds, rounded_up(rest)), "{seconds} s");
    }
    // To be refused prolongs nothing.
    app.advance(rest);
    assert_eq!(remaining(&app, &nobody.get(CHEAP).await, 60), 49);
}

#[tokio::test]
async fn health_is_not_counted_and_says_nothing_of_limits() {
    let app = limited().await;
    let nobody = app.nobody();
    use_up(&nobody).await;
    for path in ["/health", "/health/live", "/health/ready"] {
        for _ in 0..5 {
            let answer = nobody.get(path).await;
            answer.expect(200);
            assert!(HEADERS.iter().all(|name| answer.header(name).is_empty()), "{:?}", answer.headers);
        }
    }
    for path in ["/healthy", "/health-check", "/Health"] {
        expect_refused(&app, &nobody.get(path).await, 60);
    }
}

#[tokio::test]
async fn every_other_answer_counts_whatever_it_is() {
    let app = limited().await;
    let nobody = app.nobody();
    let mut left = 50;
    for (method, path, status) in [
        (Method::GET, "/openapi.json", 200),
        (Method::HEAD, CHEAP, 200),
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/auth/me", 401),
        (Method::POST, CHEAP, 405),
        (Method::OPTIONS, "/users", 204),
        (Method::POST, "/auth/login", 415),
        (Method::GET, "/auth/me?a=b", 422),
        (Method::GET, "/problems/rate-limited", 200),
    ] {
        let answer = nobody.send(nobody.request(method.clone(), path)).await;
        assert_eq!(answer.status, status, "{method} {path}");
        left -= 1;
        assert_eq!(remaining(&app, &answer, 60), left, "{method} {path}");
    }
    // Also what is not even a request.
    for head in [format!("GET /{} HTTP/1.1", "x".repeat(9_000)), "GET / HTTP/1.1\r\nX: a\0b".to_owned()] {
        let answer = wire::request(&app.address(), &head, b"").await.to_lowercase();
        left -= 1;
        assert!(answer.contains(&format!("\r\nx-ratelimit-remaining: {left}\r\n")), "{answer}");
    }
}

#[tokio::test]
async fn a_user_has_a_share_of_its_own_wherever_it_calls_from() {
    let app = limited().await;
    // Two sign-ins from this address.
    let (admin, ada) = (app.admin().await, app.user("user").await);
    let elsewhere = app.nobody_at(Ipv4Addr::new(127, 0, 1, 1)).with_session(ada.session().clone());
    for _ in 0..25 {
        ada.get("/auth/me").await.expect(200);
        elsewhere.get("/auth/me").await.expect(200);
    }
    expect_refused(&app, &ada.get("/auth/me").await, 60);
    expect_refused(&app, &elsewhere.get("/auth/me").await, 60);
    admin.get("/auth/me").await.expect(200);
    let nobody = app.nobody().get(CHEAP).await;
    nobody.expect(200);
    // Three sign-ins: one of the admin, and two to make the user and sign it in.
    assert_eq!(remaining(&app, &nobody, 60), 50 - 3 - 1);
}

#[tokio::test]
async fn an_address_that_is_used_up_stops_nobody_who_is_signed_in() {
    let app = limited().await;
    let admin = app.admin().await;
    for _ in 0..49 {
        app.nobody().get(CHEAP).await.expect(200);
    }
    expect_refused(&app, &app.nobody().get(CHEAP).await, 60);
    let login = json!({"email": ADMIN, "password": PASSWORD});
    expect_refused(&app, &app.nobody().post("/auth/login", &login).await, 60);
    admin.get("/auth/me").await.expect(200);
    app.nobody_at(Ipv4Addr::new(127, 0, 1, 1)).get(CHEAP).await.expect(200);
}

#[tokio::test]
async fn a_token_that_proves_nothing_takes_from_the_share_of_its_address() {
    let app = limited().await;
    let ada = app.user("user").await;
    app.advance(Duration::from_mins(15));
    let (header_and_payload, _) = ada.token().rsplit_once('.').expect("a token");
    let tokens = [
        "nonsense".to_owned(),
        format!("{header_and_payload}."),
        // It has expired.
        ada.token().to_owned(),
    ];
    for (token, left) in tokens.iter().cycle().zip((0..50).rev()) {
        let answer = app.nobody().with_token(token).get("/auth/me").await;
        answer.expect_problem(401, "unauthorized");
        assert_eq!(remaining(&app, &answer, 60), left);
    }
    expect_refused(&app, &app.nobody().with_token("more nonsense").get("/auth/me").await, 60);
    expect_refused(&app, &app.nobody().get(CHEAP).await, 60);
}

#[tokio::test]
async fn nobody_gets_another_share_with_headers_alone() {
    let app = limited().await;
    let nobody = app.nobody();
    let names =
        ["X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Request-Id"];
    for (number, name) in (0..51).zip(names.iter().cycle()) {
        let address = format!("192.0.2.{number}");
        let value = if *name == "Forwarded" { format!("for={address}") } else { address };
        let answer = nobody.send(nobody.request(Method::GET, CHEAP).header(*name, value)).await;
        assert_eq!(answer.status, if number < 50 { 200 } else { 429 }, "{number}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_tells_whose_share_it_is() {
    let app = TestApp::with(|config| {
        config.rate_limit = Config::embedded(&config.data_dir).rate_limit;
        config.trusted_proxies = "127.0.0.1".parse().expect("a network");
    })
    .await;
    let through = async |proxy: Caller, client: &str| {
        proxy.send(proxy.request(Method::GET, CHEAP).header("X-Forwarded-For", client)).await
    };
    for _ in 0..50 {
        through(app.nobody(), "192.0.2.1").await.expect(200);
    }
    expect_refused(&app, &through(app.nobody(), "192.0.2.1").await, 60);
    // Who sends the header itself only moves the truth one place to the left.
    expect_refused(&app, &through(app.nobody(), "198.51.100.7, 192.0.2.1").await, 60);
    through(app.nobody(), "192.0.2.2").await.expect(200);
    // Nobody made 127.0.1.1 a proxy.
    let stranger = through(app.nobody_at(Ipv4Addr::new(127, 0, 1, 1)), "192.0.2.1").await;
    assert_eq!(remaining(&app, &stranger, 60), 49);
}

#[tokio::test]
async fn an_ipv6_customer_has_one_share_and_ipv4_in_its_clothes_is_ipv4() {
    let app = TestApp::with(|config| {
        config.rate_limit = Config::embedded(&config.data_dir).rate_limit;
        config.trusted_proxies = "127.0.0.1".parse().expect("a network");
    })
    .await;
    let left = async |client: &str| {
        let proxy = app.nobody();
        let answer = proxy.send(proxy.request(Method::GET, CHEAP).header("X-Forwarded-For", client)).await;
        answer.header("x-ratelimit-remaining").to_owned()
    };
    for (client, remaining) in [
        ("2001:db8:0:1::1", "49"),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", "48"),
        ("[2001:DB8:0:1::2]:443", "47"),
        ("2001:db8:0:2::1", "49"),
        ("192.0.2.1", "49"),
        ("::ffff:192.0.2.1", "48"),
        ("::ffff:c000:0201", "47"),
        ("192.0.2.2", "49"),
    ] {
        assert_eq!(left(client).await, remaining, "{client}");
    }
}

#[tokio::test]
async fn the_operator_sets_number_and_window() {
    let app = TestApp::with(|config| {
        config.rate_limit.limit = 2;
        config.rate_limit.window = Duration::from_millis(59_500);
    })
    .await;
    let answer = app.nobody().get(CHEAP).await;
    assert_eq!(answer.header("ratelimit-policy"), r#""default";q=2;w=60"#);
    let (remaining, seconds) = told(&answer);
    assert_eq!(remaining, 1);
    assert!(app.are_left(seconds, 60), "{seconds} s");
    app.nobody().get(CHEAP).await.expect(200);
    app.nobody().get(CHEAP).await.expect_problem(429, "rate-limited");
    app.advance(Duration::from_millis(59_500));
    app.nobody().get(CHEAP).await.expect(200);
}
