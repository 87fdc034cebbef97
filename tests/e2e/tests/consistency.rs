//! `Consistency-Token`: a read that sends one back sees that write; what is no token of ours is refused.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use portwright_e2e::app::{ADMIN, PASSWORD, new_user};
use portwright_e2e::{Answer, Caller, TestApp, World};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::json;

const TOKEN: &str = "consistency-token";

async fn expect_refused(caller: &Caller, token: &str) {
    let value = HeaderValue::from_bytes(token.as_bytes()).expect("a header value");
    for path in ["/users", "/users?cursor=", &caller.path()] {
        let request = caller.request(Method::GET, path).header(TOKEN, value.clone());
        let answer = caller.send(request).await;
        assert_eq!(answer.status, 400, "{path} {token:?}");
        answer.expect_problem(400, "bad-consistency-token");
    }
}

fn token(answer: &Answer) -> String {
    let token = answer.header(TOKEN).to_owned();
    assert!(!token.is_empty(), "{}", answer.text);
    token
}

#[tokio::test]
async fn a_read_with_the_token_of_a_write_sees_the_write() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for number in 0..20 {
        let email = format!("{number}@example.com");
        let created = admin.post("/users", &new_user(&email, &json!({}))).await;
        let path = created.header("location");
        let listed = admin.get_with(&format!("/users?email={email}"), TOKEN, &token(&created)).await;
        assert_eq!(listed.expect(200)["data"][0], created.expect(201));

        let changed = admin.patch(path, &json!({"firstName": format!("Ada {number}")})).await;
        let read = admin.get_with(path, TOKEN, &token(&changed)).await;
        assert_eq!(read.expect(200), changed.expect(200));
        assert_eq!(read.header("etag"), changed.header("etag"));

        let removed = admin.delete(path).await;
        admin.get_with(path, TOKEN, &token(&removed)).await.expect_problem(404, "not-found");
    }
}

#[tokio::test]
async fn registering_signing_in_and_refreshing_answer_a_token() {
    let app = TestApp::embedded().await;
    let (admin, nobody) = (app.admin().await, app.nobody());
    let registered = nobody.post("/auth/register", &new_user("ada@example.com", &json!({}))).await;
    registered.expect(201);
    let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
    app.advance(std::time::Duration::from_secs(5));
    let signed_in = nobody.post("/auth/login", &credentials).await;
    let refresh = json!({"refreshToken": signed_in.expect(200)["refreshToken"]});
    let refreshed = nobody.post("/auth/refresh", &refresh).await;
    refreshed.expect(200);
    let path = format!("/users/{}", registered.json()["user"]["id"].as_str().expect("an identity"));
    for answer in [registered, signed_in, refreshed] {
        let read = admin.get_with(&path, TOKEN, &token(&answer)).await;
        assert_eq!(read.expect(200)["lastLogin"], app.now().to_string());
    }
}

#[tokio::test]
async fn an_altered_or_truncated_token_is_refused() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let real = token(&admin.patch(&admin.path(), &json!({})).await);
    for at in 0..real.len() {
        let replacement = if &real[at..=at] == "A" { "B" } else { "A" };
        expect_refused(&admin, &format!("{}{replacement}{}", &real[..at], &real[at + 1..])).await;
        expect_refused(&admin, &real[..at]).await;
    }
    admin.get_with("/users", TOKEN, &real).await.expect(200);
}

#[tokio::test]
async fn what_is_no_token_of_this_service_is_refused() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    app.user("user").await;
    let real = token(&admin.patch(&admin.path(), &json!({})).await);
    let other = TestApp::embedded().await;
    let foreign_admin = other.sign_in(ADMIN, PASSWORD).await;
    let foreign = token(&foreign_admin.patch(&foreign_admin.path(), &json!({})).await);
    let page = admin.get("/users?cursor=&limit=1").await.expect(200);
    let cursor = page["pagination"]["nextCursor"].as_str().expect("a cursor");
    let long = "A".repeat(8_000);
    let not_ours = [
        "",
        "0",
        "*",
        "sqlite",
        "FFFFFFFF/FFFFFFFF",
        "c3FsaXRl",
        "é",
        "null",
        &long,
        &foreign,
        cursor,
        admin.token(),
        admin.refresh_token(),
        &format!("{real}, {real}"),
        &format!("\"{real}\""),
        &format!("{real}="),
        &format!("{real}A"),
        &real.to_uppercase(),
    ];
    for token in not_ours {
        expect_refused(&admin, token).await;
    }
    // Two of them are one value with a comma (RFC 9110, section 5.3), which is no token.
    for second in [real.as_str(), "nonsense"] {
        let request = admin.request(Method::GET, "/users").header(TOKEN, &real).header(TOKEN, second);
        admin.send(request).await.expect_problem(400, "bad-consistency-token");
    }
}

#[tokio::test]
async fn a_token_belongs_to_no_one_and_gives_no_rights() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    let written = token(&admin.patch(&admin.path(), &json!({})).await);
    user.get_with(&user.path(), TOKEN, &written).await.expect(200);
    user.get_with(&admin.path(), TOKEN, &written).await.expect_problem(404, "not-found");
    user.get_with("/users", TOKEN, &written).await.expect_problem(403, "forbidden");
    app.nobody().get_with("/users", TOKEN, &written).await.expect_problem(401, "unauthorized");
    // It lives as long as the key that sealed it: clients may keep it between two sessions.
    app.advance(std::time::Duration::from_hours(48));
    app.admin().await.get_with("/users", TOKEN, &written).await.expect(200);
}

#[tokio::test]
async fn a_bad_token_is_refused_before_what_the_client_has_is_looked_at() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let request =
        admin.request(Method::GET, &admin.path()).header("if-none-match", "*").header(TOKEN, "nonsense");
    admin.send(request).await.expect_problem(400, "bad-consistency-token");
    let real = token(&admin.patch(&admin.path(), &json!({})).await);
    let request = admin.request(Method::GET, &admin.path()).header("if-none-match", "*").header(TOKEN, real);
    assert_eq!(admin.send(request).await.status, 304);
}

#[tokio::test]
async fn reads_of_users_answer_a_token_where_there_are_replicas() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let has_replicas = World::of_this_run() == World::Cluster;
    for answer in [admin.get("/users").await, admin.get(&admin.path()).await] {
        assert_eq!(!answer.header(TOKEN).is_empty(), has_replicas, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_job_that_has_ended_answers_a_token_where_there_are_replicas() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let job = admin.start_primes(100).await;
    let path = format!("/jobs/{}", job["id"].as_str().expect("an identity"));
    assert_eq!(admin.get(&path).await.header(TOKEN), "", "it goes on");
    app.drain_jobs().await;
    let ended = admin.get(&path).await;
    assert_eq!(ended.expect(200)["state"], "succeeded");
    if World::of_this_run() == World::Cluster {
        admin.get_with(&admin.path(), TOKEN, &token(&ended)).await.expect(200);
    } else {
        assert_eq!(ended.header(TOKEN), "", "no read is older than another");
    }
}

#[tokio::test]
async fn a_replay_takes_nobody_back_to_the_state_of_the_first_answer() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let create = || {
        let body = new_user("ada@example.com", &json!({}));
        admin.send(admin.request(Method::POST, "/users").header("idempotency-key", "a-key").json(&body))
    };
    let first = create().await;
    let path = first.header("location");
    let changed = admin.patch(path, &json!({"firstName": "Augusta"})).await;
    let replay = create().await;
    assert_eq!(replay.expect(201), first.expect(201));
    let read = admin.get_with(path, TOKEN, &token(&replay)).await;
    assert_eq!(read.expect(200), changed.expect(200));
    if World::of_this_run() == World::Cluster {
        assert_ne!(token(&replay), token(&first));
    }
}

#[tokio::test]
async fn refused_writes_answer_no_token() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    let taken = new_user(ADMIN, &json!({}));
    for answer in [
        admin.post("/users", &taken).await,
        admin.delete(&admin.path()).await,
        admin.patch(&admin.path(), &json!({"email": 1})).await,
        user.delete(&admin.path()).await,
        app.nobody().post("/auth/login", &json!({"email": ADMIN, "password": "wrong"})).await,
    ] {
        assert_eq!(answer.header(TOKEN), "", "{}", answer.text);
    }
    let other = json!({"refreshToken": user.refresh_token()});
    let ended_nothing = admin.post("/auth/logout", &other).await;
    ended_nothing.expect(204);
    assert_eq!(ended_nothing.header(TOKEN), "");
}
