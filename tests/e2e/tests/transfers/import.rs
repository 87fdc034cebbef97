//! `POST /users/import`: the way of a file, and what comes of it.

use std::time::Duration;

use portwright_domain::job::{JobState, Outcome};
use portwright_e2e::TestApp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{HEADER, ended, file, population, result, send, until_cleared, upload};

#[tokio::test]
async fn an_import_is_a_job_that_creates_users_and_reports_what_became_of_each_row() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let text = file(&[
        "ada@example.com,Ada,Lovelace,moderator,granite-otter-lagoon-37",
        "",
        "\"quoted,@example.com\",Ada,Lovelace,user,granite-otter-lagoon-37",
        "ADMIN@example.com,Not,Changed,user,granite-otter-lagoon-37",
        "b@example.com,\"B\nB\",Two lines,user,granite-otter-lagoon-37",
        "c@example.com,C,C,user,short",
        "Ada@Example.com,Again,Ada,user,granite-otter-lagoon-37",
    ]);
    let accepted = send(&admin, text).await;
    let job = accepted.body(202);
    assert_eq!(
        (&job["task"], &job["state"], &job["result"]),
        (&json!("users.import"), &json!("ready"), &Value::Null)
    );
    assert_eq!(job["createdBy"], admin.id());
    assert_eq!(accepted.header("retry-after"), "1");
    assert!(!accepted.header("consistency-token").is_empty());

    let job = ended(&app, &accepted).await;
    assert_eq!(
        result(&job),
        json!({"created": 1, "unchanged": 2, "refused": [
            {"line": 4, "code": "invalid-email", "detail": "email: the address has a character that is not allowed where it stands"},
            {"line": 6, "code": "invalid-character", "detail": "firstName: must not contain control characters"},
            {"line": 8, "code": "too-short", "detail": "password: at least 8 characters"},
        ]})
    );
    assert_eq!((job.progress.done, job.progress.total), (6, Some(6)));
    let ada = app.sign_in("ada@example.com", "granite-otter-lagoon-37").await;
    let user = ada.get("/auth/me").await.body(200);
    assert_eq!((&user["role"], &user["isActive"]), (&json!("moderator"), &json!(true)));
    assert_eq!(admin.get("/auth/me").await.body(200)["lastName"], admin.session()["user"]["lastName"]);
}

#[tokio::test]
async fn only_admins_import_and_that_is_known_before_the_body_is_read() {
    let app = TestApp::embedded().await;
    for (caller, status, code) in [
        (app.user("user").await, 403, "forbidden"),
        (app.user("moderator").await, 403, "forbidden"),
        (app.nobody(), 401, "unauthorized"),
    ] {
        send(&caller, file(&[])).await.expect_problem(status, code);
        // More than a connection holds: if it were read, this would take a while, and be 413.
        let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 65_536]));
        let endless = reqwest::Body::wrap_stream(endless);
        match upload(&caller, endless).send().await {
            Ok(answer) => assert_eq!(answer.status().as_u16(), status),
            // The answer was there before the body was sent, and the client may not have listened.
            Err(error) => assert!(error.is_request() || error.is_body(), "{error}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_csv_is_refused() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for content_type in
        ["application/json", "text/plain", "text/csv; charset=iso-8859-1", "multipart/form-data"]
    {
        let request = admin.request(Method::POST, "/users/import").body(file(&[]));
        let answer = admin.send(request.header("content-type", content_type)).await;
        answer.expect_problem(415, "unsupported-media-type");
    }
    let without = admin.request(Method::POST, "/users/import").body(file(&[]));
    admin.send(without).await.expect_problem(415, "unsupported-media-type");
    let zipped = upload(&admin, file(&[])).header("content-encoding", "gzip");
    admin.send(zipped).await.expect_problem(415, "unsupported-media-type");
    for content_type in ["text/csv; charset=utf-8", "Text/CSV"] {
        let request = admin.request(Method::POST, "/users/import").body(file(&[]));
        admin.send(request.header("content-type", content_type)).await.expect(202);
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_imported_as_a_whole_creates_nobody() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let good = "ada@example.com,Ada,Lovelace,user,granite-otter-lagoon-37";
    for (bytes, expected) in [
        (
            Vec::new(),
            json!({"code": "missing-columns", "columns": ["email", "firstName", "lastName", "role", "password"]}),
        ),
        (
            good.as_bytes().to_vec(),
            json!({"code": "missing-columns", "columns": ["email", "firstName", "lastName", "role", "password"]}),
        ),
        (format!("{HEADER},age\n{good},7").into_bytes(), json!({"code": "unknown-column", "position": 6})),
        ([file(&[good]).as_bytes(), &[0xff]].concat(), json!({"code": "not-text"})),
        (
            format!("{HEADER}\n{}", "x,,,,\n".repeat(100_001)).into_bytes(),
            json!({"code": "too-many-rows", "most": 100_000}),
        ),
    ] {
        let job = ended(&app, &send(&admin, bytes).await).await;
        assert_eq!(job.state, JobState::Failed);
        let Some(Outcome::Failed(error)) = job.outcome else { panic!("{:?}", job.outcome) };
        assert_eq!(serde_json::from_slice::<Value>(&error).expect("JSON"), expected);
    }
    assert_eq!(population(&admin).await, 1);
}

#[tokio::test]
async fn the_file_is_gone_from_storage_when_its_job_has_ended_and_the_password_is_nowhere() {
    let app = TestApp::with(|config| config.compute.lease = Duration::from_secs(2)).await;
    let admin = app.admin().await;
    let secret = "harbor-lantern-walrus-5";
    let text = file(&[
        &format!("ada@example.com,Ada,Lovelace,user,{secret}"),
        &format!("b@example.com,B,B,{secret},{secret}"),
        &format!("no-address,C,C,user,{secret}"),
    ]);
    let accepted = send(&admin, text).await;
    assert_eq!(app.stored_files("imports"), 1);
    let job = ended(&app, &accepted).await;
    assert_eq!(result(&job)["created"], 1);
    until_cleared(&app).await;
    for (place, bytes) in [("the database", app.database_bytes()), ("the queue", app.queue_bytes())] {
        // What is there to be found is found.
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(has(if place == "the queue" { "users.import" } else { "ada@example.com" }), "{place}");
        assert!(!has(secret), "a password is in {place}");
    }
    assert!(!format!("{job:?}").contains(secret));
}
