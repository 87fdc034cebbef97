//! `Idempotency-Key`: a `POST` that is sent again gets the first answer, and nothing happens twice.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::net::Ipv4Addr;
use std::time::Duration;

use portwright_e2e::app::{ADMIN, PASSWORD, new_user};
use portwright_e2e::{Answer, Caller, TestApp};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

const DAY: Duration = Duration::from_hours(24);

async fn post(caller: &Caller, path: &str, key: &str, body: &Value) -> Answer {
    let key = HeaderValue::from_bytes(key.as_bytes()).expect("a header value");
    caller.send(caller.request(Method::POST, path).header("idempotency-key", key).json(body)).await
}

/// Everything that is the same in the first answer and in a replay.
fn essence(answer: &Answer) -> (u16, String, Vec<(String, Vec<u8>)>) {
    // The token of a replay is that of the newest state, see `consistency.rs`.
    let of_one_answer = |name: &str| {
        name.contains("ratelimit") || matches!(name, "x-request-id" | "date" | "consistency-token")
    };
    let headers = answer.headers.iter().filter(|(name, _)| !of_one_answer(name.as_str()));
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    headers.sort();
    (answer.status, answer.text.clone(), headers)
}

#[track_caller]
fn expect_replay(replay: &Answer, first: &Answer) {
    assert_eq!(essence(replay), essence(first));
    assert_ne!(replay.header("x-request-id"), first.header("x-request-id"));
}

async fn count(admin: &Caller, email: &str) -> u64 {
    let found = admin.get(&format!("/users?email={email}")).await.expect(200);
    found["pagination"]["total"].as_u64().expect("a total")
}

#[tokio::test]
async fn a_replay_is_the_first_answer_byte_for_byte_under_a_new_request_id() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let body = new_user("ada@example.com", &json!({}));
    let first = post(&admin, "/users", "a-key", &body).await;
    let user = first.expect(201);
    // What has happened since does not matter.
    app.advance(Duration::from_mins(1));
    admin.patch(first.header("location"), &json!({"firstName": "Augusta"})).await.expect(200);
    for _ in 0..3 {
        let replay = post(&admin, "/users", "a-key", &body).await;
        expect_replay(&replay, &first);
        assert_eq!(
            replay.header("location"),
            format!("/users/{}", user["id"].as_str().expect("an identity"))
        );
        assert_eq!(replay.header("etag"), "\"1\"");
        assert!(!replay.header("consistency-token").is_empty());
    }
    let request = admin.request(Method::POST, "/users").header("idempotency-key", "a-key").json(&body);
    let named = admin.send(request.header("x-request-id", "named-by-the-client")).await;
    assert_eq!((named.header("x-request-id"), &named.text), ("named-by-the-client", &first.text));
    assert_eq!(count(&admin, "ada@example.com").await, 1);
    // Without a key it is another request.
    admin.post("/users", &body).await.expect_problem(409, "email-taken");
}

#[tokio::test]
async fn a_key_is_for_one_request_only() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let body = new_user("ada@example.com", &json!({}));
    let first = post(&admin, "/users", "a-key", &body).await;
    first.expect(201);
    let raw = async |path: &str, media_type: &str, text: String| {
        let request = admin.request(Method::POST, path).header("idempotency-key", "a-key");
        admin.send(request.header("content-type", media_type).body(text)).await
    };
    let text = body.to_string();
    for other in [
        post(&admin, "/users", "a-key", &new_user("eve@example.com", &json!({}))).await,
        post(&admin, "/users", "a-key", &json!({})).await,
        raw("/users", "application/json", format!("{text} ")).await,
        raw("/users", "application/json", String::new()).await,
        raw("/users", "application/json; charset=utf-8", text.clone()).await,
        raw("/users?x=1", "application/json", text.clone()).await,
    ] {
        other.expect_problem(422, "idempotency-key-reused");
    }
    assert_eq!(count(&admin, "eve@example.com").await, 0);
    expect_replay(&raw("/users", "application/json", text).await, &first);
}

#[tokio::test]
async fn another_user_or_path_has_keys_of_its_own() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let other = app.user("admin").await;
    let of = |name: &str| new_user(&format!("{name}@example.com"), &json!({}));
    let first = post(&admin, "/users", "a-key", &of("one")).await;
    let second = post(&other, "/users", "a-key", &of("two")).await;
    assert_ne!(first.expect(201)["id"], second.expect(201)["id"]);
    post(&admin, "/auth/register", "a-key", &of("three")).await.expect(201);
    post(&app.nobody(), "/auth/register", "a-key", &of("four")).await.expect(201);
    expect_replay(&post(&admin, "/users", "a-key", &of("one")).await, &first);
    expect_replay(&post(&other, "/users", "a-key", &of("two")).await, &second);
    // A key belongs to the user, not to the session; and keys are told apart by case.
    expect_replay(&post(&app.admin().await, "/users", "a-key", &of("one")).await, &first);
    post(&admin, "/users", "A-Key", &of("one")).await.expect_problem(409, "email-taken");
}

#[tokio::test]
async fn who_is_not_signed_in_has_the_keys_of_the_address() {
    let app = TestApp::embedded().await;
    let here = app.nobody();
    let there = app.nobody_at(Ipv4Addr::new(127, 0, 0, 2));
    let of = |name: &str| new_user(&format!("{name}@example.com"), &json!({}));
    post(&here, "/auth/register", "a-key", &of("one")).await.expect(201);
    post(&here, "/auth/register", "a-key", &of("two")).await.expect_problem(422, "idempotency-key-reused");
    // Nobody talks us into another address.
    let request =
        here.request(Method::POST, "/auth/register").header("idempotency-key", "a-key").json(&of("two"));
    let forwarded = request.header("x-forwarded-for", "127.0.0.2").header("forwarded", "for=127.0.0.2");
    here.send(forwarded).await.expect_problem(422, "idempotency-key-reused");
    post(&there, "/auth/register", "a-key", &of("two")).await.expect(201);
}

#[tokio::test]
async fn of_many_equal_requests_at_once_one_happens() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let body = new_user("ada@example.com", &json!({}));
    let answers = futures::future::join_all((0..30).map(|_| post(&admin, "/users", "a-key", &body))).await;
    let (answered, running): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    let first = answered.first().expect("one that happened");
    for replay in &answered[1..] {
        expect_replay(replay, first);
    }
    for refused in running {
        refused.expect_problem(409, "idempotency-key-running");
    }
    expect_replay(&post(&admin, "/users", "a-key", &body).await, first);
    assert_eq!(count(&admin, "ada@example.com").await, 1);
}

#[tokio::test]
async fn a_running_key_cannot_be_used_for_something_else() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let bodies: Vec<_> =
        (0..10).map(|number| new_user(&format!("{number}@example.com"), &json!({}))).collect();
    let answers =
        futures::future::join_all(bodies.iter().map(|body| post(&admin, "/users", "a-key", body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.expect_problem(422, "idempotency-key-reused");
    }
    assert_eq!(count(&admin, "@example.com").await, 2, "the administrator and one more");
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[tokio::test]
async fn tokens_are_answered_once_and_kept_nowhere() {
    let app = TestApp::embedded().await;
    let nobody = app.nobody();
    let person = new_user("ada@example.com", &json!({}));
    let registered = post(&nobody, "/auth/register", "register-key", &person).await;
    let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
    let signed_in = post(&nobody, "/auth/login", "login-key", &credentials).await;
    let refresh = json!({"refreshToken": signed_in.expect(200)["refreshToken"]});
    let refreshed = post(&nobody, "/auth/refresh", "refresh-key", &refresh).await;
    for (path, key, body) in [
        ("/auth/register", "register-key", &person),
        ("/auth/login", "login-key", &credentials),
        ("/auth/refresh", "refresh-key", &refresh),
    ] {
        let replay = post(&nobody, path, key, body).await;
        replay.expect_problem(409, "already-used");
        let other = new_user("eve@example.com", &json!({}));
        post(&nobody, path, key, &other).await.expect_problem(422, "idempotency-key-reused");
    }
    // The retry of a refresh was no second use of its token: the session lives.
    let last = nobody.with_session(refreshed.expect(200));
    last.get("/auth/me").await.expect(200);

    let stored = app.database_bytes();
    for kept in ["ada@example.com", "register-key", "login-key", "refresh-key"] {
        assert!(contains(&stored, kept), "{kept} is not where this test looks");
    }
    for (answer, status) in [(registered, 201), (signed_in, 200), (refreshed, 200)] {
        let session = answer.expect(status);
        for name in ["accessToken", "refreshToken"] {
            let token = session[name].as_str().expect("a token");
            assert!(!contains(&stored, token), "{name}");
            // Nor a part of it, in whatever form it might have been embedded.
            let tail = &token[token.len() - 40..];
            assert!(!contains(&stored, tail), "{name}");
        }
    }
    assert!(!contains(&stored, PASSWORD));
}

#[tokio::test]
async fn a_key_is_1_to_255_visible_ascii_characters() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let body = new_user("ada@example.com", &json!({}));
    let long = "k".repeat(256);
    for key in ["", " ", "a b", "a\tb", "é", "a\u{a0}b", "\u{80}", &long] {
        post(&admin, "/users", key, &body).await.expect_problem(400, "idempotency-key-invalid");
    }
    let twice =
        admin.request(Method::POST, "/users").header("idempotency-key", "a").header("idempotency-key", "a");
    admin.send(twice.json(&body)).await.expect_problem(400, "idempotency-key-invalid");
    assert_eq!(count(&admin, "ada@example.com").await, 0);
    let keys = ["!", "~", "\"quoted\"", "a,b;c=d", &long[1..], "../../etc/passwd", "'OR'1'='1"];
    for (number, key) in keys.into_iter().enumerate() {
        let body = new_user(&format!("{number}@example.com"), &json!({}));
        let first = post(&admin, "/users", key, &body).await;
        first.expect(201);
        expect_replay(&post(&admin, "/users", key, &body).await, &first);
    }
}

#[tokio::test]
async fn a_key_means_nothing_where_repeating_is_harmless() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for (name, key) in [("Ada", "a-key"), ("Bea", "a-key"), ("Eve", "not a key")] {
        for method in [Method::PATCH, Method::PUT] {
            let request = admin.request(method, &admin.path()).header("idempotency-key", key);
            let changed = admin.send(request.json(&json!({"firstName": name}))).await;
            assert_eq!(changed.expect(200)["firstName"], name);
        }
        admin.get_with("/users", "idempotency-key", key).await.expect(200);
    }
}

#[tokio::test]
async fn an_answer_is_kept_for_a_day_and_not_longer() {
    let app = TestApp::embedded().await;
    let body = new_user("ada@example.com", &json!({}));
    let first = post(&app.admin().await, "/users", "a-key", &body).await;
    first.expect(201);
    app.advance(DAY.checked_sub(Duration::from_secs(1)).expect("a day is longer"));
    let admin = app.admin().await;
    expect_replay(&post(&admin, "/users", "a-key", &body).await, &first);
    app.advance(Duration::from_secs(1));
    post(&admin, "/users", "a-key", &body).await.expect_problem(409, "email-taken");
    admin.delete(first.header("location")).await.expect(204);
    // That refusal is the first answer of the key's second life.
    post(&admin, "/users", "a-key", &body).await.expect_problem(409, "email-taken");
    app.advance(DAY);
    let again = post(&app.admin().await, "/users", "a-key", &body).await.expect(201);
    assert_ne!(again["id"], first.json()["id"]);
}

#[tokio::test]
async fn an_ended_session_gets_no_replay() {
    let app = TestApp::embedded().await;
    let (admin, other) = (app.admin().await, app.user("admin").await);
    let body = new_user("ada@example.com", &json!({}));
    post(&other, "/users", "a-key", &body).await.expect(201);
    admin.patch(&other.path(), &json!({"isActive": false})).await.expect(200);
    post(&other, "/users", "a-key", &body).await.expect_problem(401, "unauthorized");
    post(&app.nobody(), "/users", "a-key", &body).await.expect_problem(401, "unauthorized");
    post(&app.nobody().with_token("made-up"), "/users", "a-key", &body)
        .await
        .expect_problem(401, "unauthorized");
    admin.patch(&other.path(), &json!({"isActive": true, "role": "user"})).await.expect(200);
    let email = other.session()["user"]["email"].as_str().expect("an address");
    // Who did it may see what came of it, but may not do it again.
    let demoted = app.sign_in(email, PASSWORD).await;
    post(&demoted, "/users", "a-key", &body).await.expect(201);
    post(&demoted, "/users", "another-key", &body).await.expect_problem(403, "forbidden");
    let credentials = json!({"email": ADMIN, "password": PASSWORD});
    // A dead token does not stand in the way of signing in.
    post(&other, "/auth/login", "a-key", &credentials).await.expect(200);
}
