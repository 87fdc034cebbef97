//! Versions of a user: `ETag`, `If-None-Match` and `If-Match`.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use futures::future::join_all;
use portwright_e2e::app::{ADMIN, PASSWORD, new_user};
use portwright_e2e::{Answer, Caller, TestApp};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::json;

fn raw(value: &str) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).expect("a header value")
}

async fn create(admin: &Caller, email: &str) -> String {
    admin.post("/users", &new_user(email, &json!({}))).await.header("location").to_owned()
}

/// `PATCH`, `PUT` or `DELETE` with every line of `If-Match` there is to be.
async fn send_if_match(caller: &Caller, method: &Method, path: &str, lines: &[&str]) -> Answer {
    let mut request = caller.request(method.clone(), path);
    for line in lines {
        request = request.header("if-match", raw(line));
    }
    if *method != Method::DELETE {
        request = request.json(&json!({"firstName": "Changed"}));
    }
    caller.send(request).await
}

#[tokio::test]
async fn signing_in_changes_last_login_and_neither_version_nor_updated_at() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let path = create(&admin, "ada@example.com").await;
    let before = admin.get(&path).await;
    app.advance(std::time::Duration::from_mins(1));
    let ada = app.sign_in("ada@example.com", PASSWORD).await;
    let after = admin.get(&path).await;
    let mut expected = before.json();
    expected["lastLogin"] = app.now().to_string().into();
    assert_eq!(after.expect(200), expected);
    assert_eq!(ada.session()["user"], expected);
    assert_eq!(after.header("etag"), before.header("etag"));
    ada.post("/auth/refresh", &json!({"refreshToken": ada.refresh_token()})).await.expect(200);
    assert_eq!(admin.get(&path).await.header("etag"), before.header("etag"));
}

#[tokio::test]
async fn a_client_that_has_the_version_gets_no_body() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let path = create(&admin, "ada@example.com").await;
    for known in ["\"1\"", "W/\"1\"", "*", "\"7\", \"1\"", "\"7\",W/\"1\""] {
        for method in [Method::GET, Method::HEAD] {
            let request = admin.request(method, &path).header("if-none-match", known);
            let answer = admin.send(request).await;
            assert_eq!((answer.status, answer.text.as_str()), (304, ""), "{known}");
            assert_eq!(answer.header("etag"), "\"1\"");
            assert_eq!(answer.header("cache-control"), "private, no-cache");
            assert_eq!(answer.header("content-type"), "");
        }
    }
    for unknown in ["\"2\"", "1", "\"1", "\"01\"", "w/\"1\"", "W/W/\"1\"", "\"\"", "", "\"1\"\"2\"", "é"] {
        let request = admin.request(Method::GET, &path).header("if-none-match", raw(unknown));
        assert_eq!(admin.send(request).await.expect(200)["email"], "ada@example.com", "{unknown}");
    }
}

#[tokio::test]
async fn a_new_version_is_answered_to_whoever_has_the_old_one() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let path = create(&admin, "ada@example.com").await;
    admin.patch(&path, &json!({"firstName": "Augusta"})).await.expect(200);
    let read = admin.get_with(&path, "if-none-match", "\"1\"").await;
    assert_eq!((read.expect(200)["firstName"].as_str(), read.header("etag")), (Some("Augusta"), "\"2\""));
}

/// What `If-Match` may say of a user at version 1, and whether that is a match.
const IF_MATCH: [(&[&str], bool); 25] = [
    (&[], true),
    (&["\"1\""], true),
    (&["*"], true),
    (&["\"0\", \"1\""], true),
    (&["\"0\",\"1\",\"2\""], true),
    (&["\"7\"", "\"1\""], true),
    (&["\"2\""], false),
    (&["\"0\", \"2\""], false),
    // The comparison is strong (RFC 9110, section 13.1.1).
    (&["W/\"1\""], false),
    (&["W/\"1\", \"7\""], false),
    // What is no tag of ours matches nothing, and what is no tag at all neither.
    (&["1"], false),
    (&["\"01\""], false),
    (&["\"+1\""], false),
    (&["\" 1\""], false),
    (&["\"1"], false),
    (&["1\""], false),
    (&["'1'"], false),
    (&["\"4294967297\""], false),
    (&["\"-1\""], false),
    (&["\"\""], false),
    (&[""], false),
    (&["garbage"], false),
    (&["é"], false),
    // A star stands alone.
    (&["\"7\", *"], false),
    (&["\"*\""], false),
];

#[tokio::test]
async fn a_change_happens_only_to_a_version_that_if_match_names() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for method in [Method::PATCH, Method::PUT, Method::DELETE] {
        let mut path = create(&admin, "ada@example.com").await;
        for (lines, matches) in IF_MATCH {
            let answer = send_if_match(&admin, &method, &path, lines).await;
            if matches {
                assert_eq!(
                    answer.status,
                    if method == Method::DELETE { 204 } else { 200 },
                    "{method} {lines:?}"
                );
                admin.delete(&path).await;
                path = create(&admin, "ada@example.com").await;
            } else {
                assert_eq!(answer.status, 412, "{method} {lines:?}");
                answer.expect_problem(412, "precondition-failed");
                let read = admin.get(&path).await;
                assert_eq!(
                    (read.expect(200)["firstName"].as_str(), read.header("etag")),
                    (Some("Ada"), "\"1\"")
                );
            }
        }
        admin.delete(&path).await.expect(204);
    }
}

#[tokio::test]
async fn of_two_who_read_the_same_version_the_second_learns_that_it_is_late() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let path = create(&admin, "ada@example.com").await;
    let seen = admin.get(&path).await.header("etag").to_owned();
    let first = send_if_match(&admin, &Method::PATCH, &path, &[&seen]).await;
    first.expect(200);
    send_if_match(&admin, &Method::PATCH, &path, &[&seen]).await.expect_problem(412, "precondition-failed");
    send_if_match(&admin, &Method::DELETE, &path, &[&seen]).await.expect_problem(412, "precondition-failed");
    send_if_match(&admin, &Method::DELETE, &path, &[first.header("etag")]).await.expect(204);
}

#[tokio::test]
async fn of_many_changes_of_one_version_at_once_exactly_one_happens() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let path = create(&admin, "ada@example.com").await;
    let names: Vec<_> = (0..20).map(|number| format!("Ada {number}")).collect();
    let answers = join_all(names.iter().map(|name| {
        let request = admin.request(Method::PATCH, &path).header("if-match", "\"1\"");
        admin.send(request.json(&json!({"firstName": name})))
    }))
    .await;
    let (happened, late): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(happened.len(), 1);
    for answer in late {
        answer.expect_problem(412, "precondition-failed");
    }
    let read = admin.get(&path).await;
    assert_eq!((read.expect(200), read.header("etag")), (happened[0].json(), "\"2\""));
}

#[tokio::test]
async fn changes_without_a_precondition_all_happen_one_after_the_other() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let path = create(&admin, "ada@example.com").await;
    let changes: Vec<_> = (0..20).map(|number| json!({"firstName": format!("Ada {number}")})).collect();
    let answers = join_all(changes.iter().map(|change| admin.patch(&path, change))).await;
    let mut versions: Vec<u32> = answers
        .iter()
        .map(|answer| answer.header("etag").trim_matches('"').parse().expect("a version"))
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..22).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_precondition_reveals_nothing_about_a_user_that_the_caller_may_not_touch() {
    let app = TestApp::embedded().await;
    let (admin, user, moderator) = (app.admin().await, app.user("user").await, app.user("moderator").await);
    let missing = "/users/00000000-0000-7000-8000-000000000000";
    for path in [&admin.path(), missing] {
        for tag in ["*", "\"1\"", "\"2\""] {
            for method in [Method::PATCH, Method::PUT] {
                send_if_match(&user, &method, path, &[tag]).await.expect_problem(404, "not-found");
                send_if_match(&moderator, &method, path, &[tag]).await.expect_problem(403, "forbidden");
            }
            send_if_match(&user, &Method::DELETE, path, &[tag]).await.expect_problem(403, "forbidden");
            user.get_with(path, "if-none-match", tag).await.expect_problem(404, "not-found");
        }
        let known = app.nobody().get_with(path, "if-none-match", "*").await;
        known.expect_problem(401, "unauthorized");
    }
    send_if_match(&admin, &Method::PATCH, missing, &["*"]).await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn a_new_password_is_a_new_version() {
    let app = TestApp::embedded().await;
    let admin = app.sign_in(ADMIN, PASSWORD).await;
    let change = json!({"currentPassword": PASSWORD, "newPassword": "meadow-lantern-copper-4"});
    admin.post("/auth/password", &change).await.expect(204);
    assert_eq!(admin.get(&admin.path()).await.header("etag"), "\"2\"");
}
