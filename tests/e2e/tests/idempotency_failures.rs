//! `Idempotency-Key` where something goes wrong: which refusals are kept, and clients that go away.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::num::NonZeroUsize;
use std::time::Duration;

use futures::future::join_all;
use portwright_e2e::app::{ADMIN, PASSWORD, new_user};
use portwright_e2e::{Answer, Caller, TestApp};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

async fn post(caller: &Caller, path: &str, key: &str, body: &Value) -> Answer {
    caller.send(caller.request(Method::POST, path).header("idempotency-key", key).json(body)).await
}

/// A problem without the identity of its request.
fn essence(answer: &Answer) -> Value {
    let mut body = answer.json();
    body["requestId"] = Value::Null;
    body
}

#[tokio::test]
async fn a_refusal_that_would_stay_is_kept_and_completed_anew() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    let ada = new_user("ada@example.com", &json!({}));
    let holder = admin.post("/users", &ada).await;
    holder.expect(201);
    let wrong = new_user("nobody", &json!({"role": "root", "unknown": 1}));
    let nobody = app.nobody();
    let refusals: [(&Caller, &str, &Value, u16, &str); 5] = [
        (&admin, "/users", &ada, 409, "email-taken"),
        (&nobody, "/auth/register", &ada, 409, "email-taken"),
        (&admin, "/users", &wrong, 422, "validation-failed"),
        (&user, "/users", &ada, 403, "forbidden"),
        (&admin, "/nowhere", &ada, 404, "not-found"),
    ];
    let mut firsts = Vec::new();
    for (number, (caller, path, body, status, code)) in refusals.iter().enumerate() {
        let first = post(caller, path, &format!("key-{number}"), body).await;
        assert_eq!(first.expect_problem(*status, code)["instance"], *path);
        firsts.push(first);
    }
    // The reason goes away, the answer stays.
    admin.delete(holder.header("location")).await.expect(204);
    for (number, (caller, path, body, status, code)) in refusals.iter().enumerate() {
        let replay = post(caller, path, &format!("key-{number}"), body).await;
        replay.expect_problem(*status, code);
        assert_eq!(essence(&replay), essence(&firsts[number]));
        assert_eq!(replay.header("content-type"), firsts[number].header("content-type"));
        assert_ne!(replay.header("x-request-id"), firsts[number].header("x-request-id"));
        // So is the rule that a key is for one request.
        let other = post(caller, path, &format!("key-{number}"), &json!({"other": 1})).await;
        other.expect_problem(422, "idempotency-key-reused");
    }
    post(&admin, "/users", "a-new-key", &ada).await.expect(201);
}

#[tokio::test]
async fn a_refused_sign_in_is_not_kept() {
    let app = TestApp::embedded().await;
    let (admin, nobody) = (app.admin().await, app.nobody());
    let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
    post(&nobody, "/auth/login", "a-key", &credentials).await.expect_problem(401, "invalid-credentials");
    admin.post("/users", &new_user("ada@example.com", &json!({}))).await.expect(201);
    post(&nobody, "/auth/login", "a-key", &credentials).await.expect(200);
    post(&nobody, "/auth/login", "a-key", &credentials).await.expect_problem(409, "already-used");

    let body = new_user("eve@example.com", &json!({}));
    post(&nobody, "/users", "a-key", &body).await.expect_problem(401, "unauthorized");
    // Not even that there was a request: another may have the key.
    let other = new_user("bea@example.com", &json!({}));
    post(&nobody, "/users", "a-key", &other).await.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn too_many_requests_is_not_kept() {
    let app = TestApp::with(|config| config.login.limit = 2).await;
    let nobody = app.nobody();
    let wrong = json!({"email": ADMIN, "password": "wrong"});
    for _ in 0..2 {
        nobody.post("/auth/login", &wrong).await.expect_problem(401, "invalid-credentials");
    }
    let right = json!({"email": ADMIN, "password": PASSWORD});
    let refused = post(&nobody, "/auth/login", "a-key", &right).await;
    refused.expect_problem(429, "rate-limited");
    let after = refused.header("retry-after").parse().expect("seconds");
    app.advance(Duration::from_secs(after));
    post(&nobody, "/auth/login", "a-key", &right).await.expect(200);
}

#[tokio::test]
async fn an_overloaded_service_keeps_no_answer() {
    let app = TestApp::with(|config| {
        config.hashing.threads = NonZeroUsize::MIN;
        config.hashing.queue = 0;
    })
    .await;
    let nobody = app.nobody();
    let mut refused = Vec::new();
    // Each round has many more hashes to make than can wait; one that refuses nobody is luck.
    for round in 0..20 {
        let people: Vec<_> =
            (0..10).map(|number| new_user(&format!("{round}-{number}@x"), &json!({}))).collect();
        let register = async |body: &Value| {
            let key = body["email"].as_str().expect("text");
            (body.clone(), post(&nobody, "/auth/register", key, body).await)
        };
        let answers = join_all(people.iter().map(register)).await;
        refused.extend(answers.into_iter().filter(|(_, answer)| answer.status != 201));
        if !refused.is_empty() {
            break;
        }
    }
    assert!(!refused.is_empty(), "nobody was refused");
    for (body, answer) in refused {
        answer.expect_problem(503, "unavailable");
        assert!(!answer.header("retry-after").is_empty());
        let key = body["email"].as_str().expect("text");
        assert_eq!(post(&nobody, "/auth/register", key, &body).await.expect(201)["user"]["email"], key);
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_claims_no_key() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let raw = async |media_type: &str, body: String| {
        let request = admin.request(Method::POST, "/users").header("idempotency-key", "a-key");
        admin.send(request.header("content-type", media_type).body(body)).await
    };
    raw("application/json", " ".repeat(1024 * 1024 + 1)).await.expect_problem(413, "payload-too-large");
    raw("text/plain", "x".to_owned()).await.expect_problem(415, "unsupported-media-type");
    post(&admin, "/users", "a-key", &new_user("ada@example.com", &json!({}))).await.expect(201);
}

/// Sends the whole request on a connection of its own.
async fn send_and_hold(app: &TestApp, caller: &Caller, path: &str, key: &str, body: &Value) -> TcpStream {
    let (address, body) = (app.address(), body.to_string());
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Idempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n",
        caller.token(),
        body.len()
    );
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    stream.write_all((head + &body).as_bytes()).await.expect("sent");
    stream
}

/// Tries again while the first request is running, for ten seconds at most.
async fn retried(caller: &Caller, path: &str, key: &str, body: &Value) -> Answer {
    let retries = async {
        loop {
            let answer = post(caller, path, key, body).await;
            if answer.json()["code"] != "idempotency-key-running" {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), retries).await.expect("the first request ends")
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_answer_to_its_retry() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    // In some rounds the probe overtakes the request that it is to find running; those show nothing.
    for round in 0..50 {
        let (key, email) = (format!("key-{round}"), format!("{round}@example.com"));
        let body = new_user(&email, &json!({}));
        let first = send_and_hold(&app, &admin, "/users", &key, &body).await;
        let probe = post(&admin, "/users", &key, &body).await;
        if probe.json()["code"] == "idempotency-key-running" {
            drop(first);
            let answer = retried(&admin, "/users", &key, &body).await;
            let listed = admin.get("/users?limit=1").await.expect(200);
            assert_eq!(listed["data"][0], answer.expect(201));
            assert_eq!(listed["pagination"]["total"], 2 + round);
            return;
        }
        probe.expect(201);
    }
    panic!("no request was seen to run");
}

#[tokio::test]
async fn whenever_a_client_goes_away_its_retry_finds_one_effect_and_an_answer() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for round in 0..40 {
        let (key, email) = (format!("key-{round}"), format!("{round}@example.com"));
        let body = new_user(&email, &json!({}));
        let path = if round % 2 == 0 { "/users" } else { "/auth/register" };
        let connection = send_and_hold(&app, &admin, path, &key, &body).await;
        // Not to wait for anything: every round goes away at another stage of the request.
        tokio::time::sleep(Duration::from_millis(round)).await;
        drop(connection);
        let answer = retried(&admin, path, &key, &body).await;
        match answer.status {
            201 => {}
            // The first was answered, to nobody; its tokens are lost, and signing in gives others.
            _ => drop(answer.expect_problem(409, "already-used")),
        }
        // Whoever was told nothing but that it was done has no token to read it with; signing in gives one.
        app.sign_in(&email, PASSWORD).await;
        let found = admin.get(&format!("/users?email={email}")).await.expect(200);
        let exact =
            found["data"].as_array().expect("rows").iter().filter(|user| user["email"] == *email).count();
        assert_eq!(exact, 1, "round {round}");
    }
}

#[tokio::test]
async fn half_a_request_claims_no_key() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let body = new_user("ada@example.com", &json!({}));
    let address = app.address();
    let head = format!(
        "POST /users HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Idempotency-Key: a-key\r\nContent-Length: {}\r\n\r\n{{\"email\"",
        admin.token(),
        body.to_string().len()
    );
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("sent");
    drop(stream);
    post(&admin, "/users", "a-key", &body).await.expect(201);
}
