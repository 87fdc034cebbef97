//! How often somebody may be wrong about a password, as a client sees it.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures::future::join_all;
use portwright::config::Config;
use portwright_e2e::app::{ADMIN, PASSWORD, new_user, rounded_up};
use portwright_e2e::{Answer, Caller, TestApp};
use serde_json::json;

const WRONG: &str = "not-the-password";

/// A server with the limit that it has by default.
async fn limited() -> TestApp {
    TestApp::with(|config| config.login = Config::embedded(&config.data_dir).login).await
}

async fn log_in(from: &Caller, email: &str, password: &str) -> Answer {
    from.post("/auth/login", &json!({"email": email, "password": password})).await
}

/// One of many addresses from which nobody has called yet.
fn elsewhere(app: &TestApp, number: u8) -> Caller {
    app.nobody_at(Ipv4Addr::new(127, 0, 1, number))
}

#[track_caller]
fn expect_wrong(answer: &Answer) {
    answer.expect_problem(401, "invalid-credentials");
}

#[track_caller]
fn expect_limited(app: &TestApp, answer: &Answer, seconds: i64) {
    answer.expect_problem(429, "rate-limited");
    let told = answer.header("retry-after").parse().unwrap_or_default();
    assert!(app.are_left(told, seconds), "{told} of {seconds} s");
    assert_eq!(answer.header("www-authenticate"), "");
}

async fn fail(from: &Caller, email: &str, times: usize) {
    for _ in 0..times {
        expect_wrong(&log_in(from, email, WRONG).await);
    }
}

#[tokio::test]
async fn ten_failures_in_a_minute_and_no_more() {
    let app = limited().await;
    let nobody = app.nobody();
    fail(&nobody, ADMIN, 1).await;
    app.advance(Duration::from_secs(20));
    fail(&nobody, ADMIN, 9).await;
    expect_limited(&app, &log_in(&nobody, ADMIN, WRONG).await, 40);
    // Who guesses must not learn that this guess was right.
    expect_limited(&app, &log_in(&nobody, ADMIN, PASSWORD).await, 40);

    let rest = app.shortly_before();
    app.advance(Duration::from_secs(40).saturating_sub(rest));
    expect_limited(&app, &log_in(&nobody, ADMIN, PASSWORD).await, rounded_up(rest));
    app.advance(rest);
    log_in(&nobody, ADMIN, PASSWORD).await.expect(200);
    fail(&nobody, ADMIN, 10).await;
    expect_limited(&app, &log_in(&nobody, ADMIN, WRONG).await, 60);
}

#[tokio::test]
async fn an_address_that_nobody_has_is_limited_alike() {
    let app = limited().await;
    let known = elsewhere(&app, 1);
    let unknown = elsewhere(&app, 2);
    fail(&known, ADMIN, 10).await;
    fail(&unknown, "nobody@example.com", 10).await;
    let request =
        |from: &Caller| from.request(reqwest::Method::POST, "/auth/login").header("X-Request-Id", "the-same");
    let credentials = |email: &str| json!({"email": email, "password": WRONG});
    let of_known = known.send(request(&known).json(&credentials(ADMIN))).await;
    let of_unknown = unknown.send(request(&unknown).json(&credentials("nobody@example.com"))).await;
    expect_limited(&app, &of_known, 60);
    expect_limited(&app, &of_unknown, 60);
    assert_eq!(of_known.text, of_unknown.text);
}

#[tokio::test]
async fn an_account_is_limited_wherever_the_guesses_come_from() {
    let app = limited().await;
    let admin = app.admin().await;
    admin.post("/users", &new_user("ada@example.com", &json!({}))).await.expect(201);
    for (number, spelling) in
        (1..=10).zip([ADMIN, "ADMIN@example.com", "admin@ＥＸＡＭＰＬＥ.com"].iter().cycle())
    {
        fail(&elsewhere(&app, number), spelling, 1).await;
    }
    let fresh = elsewhere(&app, 11);
    expect_limited(&app, &log_in(&fresh, ADMIN, PASSWORD).await, 60);
    // It is one account that is limited, and only for signing in.
    log_in(&fresh, "ada@example.com", PASSWORD).await.expect(200);
    admin.get("/auth/me").await.expect(200);
}

#[tokio::test]
async fn an_address_is_limited_whichever_accounts_are_guessed() {
    let app = limited().await;
    let busy = elsewhere(&app, 1);
    let texts = ["a@example.com", "no address", "", "\u{0}", &"x".repeat(10_000)];
    for text in texts.iter().cycle().take(10) {
        fail(&busy, text, 1).await;
    }
    expect_limited(&app, &log_in(&busy, ADMIN, PASSWORD).await, 60);
    log_in(&elsewhere(&app, 2), ADMIN, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_made_up_forwarding_header_is_no_other_address() {
    let app = limited().await;
    for number in 0..11 {
        let nobody = app.nobody();
        let request = nobody
            .request(reqwest::Method::POST, "/auth/login")
            .header("X-Forwarded-For", format!("192.0.2.{number}"));
        let body = json!({"email": format!("{number}@example.com"), "password": WRONG});
        let answer = nobody.send(request.json(&body)).await;
        if number < 10 { expect_wrong(&answer) } else { expect_limited(&app, &answer, 60) }
    }
}

#[tokio::test]
async fn all_addresses_of_an_ipv6_customer_are_one() {
    let app = TestApp::with(|config| {
        config.login = Config::embedded(&config.data_dir).login;
        config.trusted_proxies = "127.0.0.1".parse().expect("a network");
    })
    .await;
    let log_in_from = async |address: &str, email: &str, password: &str| {
        let proxy = app.nobody();
        let request = proxy.request(reqwest::Method::POST, "/auth/login").header("X-Forwarded-For", address);
        proxy.send(request.json(&json!({"email": email, "password": password}))).await
    };
    for number in 0..10 {
        let address = format!("2001:db8::{number:x}:1");
        expect_wrong(&log_in_from(&address, &format!("{number}@example.com"), WRONG).await);
    }
    expect_limited(&app, &log_in_from("2001:db8::ffff", ADMIN, PASSWORD).await, 60);
    log_in_from("2001:db8:0:1::ffff", ADMIN, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn successes_and_malformed_requests_do_not_count() {
    let app = limited().await;
    let nobody = app.nobody();
    for _ in 0..9 {
        fail(&nobody, ADMIN, 1).await;
        log_in(&nobody, ADMIN, PASSWORD).await.expect(200);
        nobody
            .post("/auth/login", &json!({"email": ADMIN}))
            .await
            .expect_invalid(&[("/password", "required")]);
    }
    for _ in 0..3 {
        log_in(&nobody, ADMIN, PASSWORD).await.expect(200);
    }
    // And a success forgives nothing.
    fail(&nobody, ADMIN, 1).await;
    expect_limited(&app, &log_in(&nobody, ADMIN, PASSWORD).await, 60);
}

#[tokio::test]
async fn of_many_guesses_at_once_ten_are_told_that_they_were_wrong() {
    let app = limited().await;
    let nobody = app.nobody();
    let answers = join_all((0..24).map(|_| log_in(&nobody, ADMIN, WRONG))).await;
    let (told, limited): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 401);
    assert_eq!(told.len(), 10);
    told.into_iter().for_each(expect_wrong);
    for answer in limited {
        expect_limited(&app, answer, 60);
    }
}

#[tokio::test]
async fn guessing_the_current_password_counts_as_signing_in() {
    let app = limited().await;
    let admin = app.admin().await;
    let body = json!({"currentPassword": WRONG, "newPassword": "granite-otter-lagoon-37"});
    for _ in 0..10 {
        let wrong = admin.post("/auth/password", &body).await;
        wrong.expect_invalid(&[("/currentPassword", "invalid-credentials")]);
    }
    expect_limited(&app, &admin.post("/auth/password", &body).await, 60);
    expect_limited(&app, &log_in(&elsewhere(&app, 1), ADMIN, PASSWORD).await, 60);
    app.advance(Duration::from_mins(1));
    log_in(&app.nobody(), ADMIN, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn the_operator_sets_number_and_window() {
    let app = TestApp::with(|config| {
        config.login.limit = 2;
        config.login.window = Duration::from_secs(45);
    })
    .await;
    let nobody = app.nobody();
    fail(&nobody, ADMIN, 2).await;
    expect_limited(&app, &log_in(&nobody, ADMIN, PASSWORD).await, 45);
    app.advance(Duration::from_secs(45));
    log_in(&nobody, ADMIN, PASSWORD).await.expect(200);
}
