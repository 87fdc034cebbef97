//! `POST /users/export`, and the file that comes of it.

use std::time::Duration;

use portwright_e2e::app::new_user;
use portwright_e2e::{Answer, Caller, TestApp};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{ended, file_of, result, send};

/// Where the file is, once it is written.
async fn export(app: &TestApp, admin: &Caller, order: Value) -> (Value, String) {
    let accepted = admin.post("/users/export", &order).await;
    assert_eq!(accepted.body(202)["task"], "users.export");
    assert_eq!(accepted.header("retry-after"), "1");
    assert!(!accepted.header("consistency-token").is_empty());
    let report = result(&ended(app, &accepted).await);
    let href = report["href"].as_str().expect("a path").to_owned();
    (report, href)
}

#[track_caller]
fn is_an_attachment(answer: &Answer, content_type: &str, ending: &str) {
    assert_eq!(answer.header("content-type"), content_type);
    assert_eq!(
        answer.header("content-disposition"),
        format!("attachment; filename=\"users-2026-01-01.{ending}\"")
    );
    assert_eq!(answer.header("content-security-policy"), "sandbox; default-src 'none'");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cache-control"), "private, no-store");
}

#[tokio::test]
async fn an_export_is_a_job_whose_result_tells_where_the_file_is() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    ended(&app, &send(&admin, file_of(20)).await).await;
    let (report, href) = export(&app, &admin, json!({"format": "csv"})).await;
    assert_eq!((&report["rows"], &report["format"]), (&json!(21), &json!("csv")));
    assert!(href.starts_with("/users/exports/"), "{href}");
    let file = admin.get(&href).await;
    file.expect(200);
    is_an_attachment(&file, "text/csv; charset=utf-8", "csv");
    assert_eq!(file.text.lines().count(), 22);
    assert!(file.text.starts_with("id,email,"), "{}", &file.text[..100]);

    let head = admin.send(admin.request(Method::HEAD, &href)).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    is_an_attachment(&head, "text/csv; charset=utf-8", "csv");
    assert_eq!(head.header("content-length"), file.text.len().to_string());
    assert_eq!(file.header("content-length"), head.header("content-length"));
}

#[tokio::test]
async fn a_line_of_json_is_the_user_as_the_api_answers_it() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    admin.post("/users", &new_user("o'brien@example.com", &json!({"firstName": "=1+1"}))).await.expect(201);
    let order = json!({"format": "jsonl", "filter": {"search": "BRIEN", "role": "user", "isActive": true}});
    let (report, href) = export(&app, &admin, order).await;
    assert_eq!(report["rows"], 1);
    let file = admin.get(&href).await;
    is_an_attachment(&file, "application/jsonl", "jsonl");
    let line: Value = serde_json::from_str(&file.text).expect("one line of JSON");
    assert_eq!(line, admin.get("/users?email=brien").await.body(200)["data"][0]);
}

#[tokio::test]
async fn an_order_says_all_that_is_wrong_with_it() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let long = "x".repeat(255);
    for (order, expected) in [
        (json!({}), vec![("/format", "required")]),
        (json!({"format": "xlsx"}), vec![("/format", "unknown-value")]),
        (json!({"format": "csv", "filter": null}), vec![("/filter", "invalid-type")]),
        (json!({"format": "csv", "columns": ["password"]}), vec![("/columns", "unknown-field")]),
        (
            json!({"format": 1, "filter": {"role": "root", "email": long, "page": 2}}),
            vec![
                ("/format", "invalid-type"),
                ("/filter/role", "unknown-role"),
                ("/filter/email", "too-long"),
                ("/filter/page", "unknown-field"),
            ],
        ),
    ] {
        admin.post("/users/export", &order).await.expect_invalid(&expected);
    }
}

#[tokio::test]
async fn only_admins_export_and_read_what_was_exported() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let (_, href) = export(&app, &admin, json!({"format": "csv"})).await;
    for (caller, status, code) in [
        (app.user("user").await, 403, "forbidden"),
        (app.user("moderator").await, 403, "forbidden"),
        (app.nobody(), 401, "unauthorized"),
    ] {
        caller.post("/users/export", &json!({"format": "csv"})).await.expect_problem(status, code);
        caller.get(&href).await.expect_problem(status, code);
    }
}

#[tokio::test]
async fn there_is_no_file_where_there_is_none_yet_nor_any_more() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for path in [
        "/users/exports/nonsense",
        "/users/exports/",
        "/users/exports",
        &format!("/users/exports/{}", admin.id()),
    ] {
        admin.get(path).await.expect_problem(404, "not-found");
    }
    let waiting = admin.post("/users/export", &json!({"format": "csv"})).await;
    let href = format!("/users/exports/{}", waiting.body(202)["id"].as_str().expect("an id"));
    admin.get(&href).await.expect_problem(404, "not-found");
    ended(&app, &waiting).await;
    admin.get(&href).await.expect(200);
    app.advance(Duration::from_hours(24));
    app.admin().await.get(&href).await.expect_problem(404, "not-found");
}
