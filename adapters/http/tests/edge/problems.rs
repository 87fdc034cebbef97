//! Whatever goes wrong is a problem with the status of the contract, and tells nothing of our insides.

use std::sync::Arc;

use portwright_http::ProblemCode;
use serde_json::json;

use crate::api::Setup;
use crate::client::{Answer, Client};

/// The answer to one request on a connection of its own.
async fn answer(line: &str, headers: &str, body: &str) -> Answer {
    let server = Setup::default().start().await;
    let mut client = Client::connect(server.address).await;
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}");
    client.send(format!("{head}Content-Length: {length}\r\n\r\n{body}")).await;
    client.answer().await
}

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn every_error_of_the_framework_has_its_status_and_code() {
    for (line, headers, body, status, code) in [
        ("GET /nowhere", "", "", 404, "not-found"),
        ("GET /greeting/", "", "", 404, "not-found"),
        ("GET /things/1", "", "", 404, "not-found"),
        ("DELETE /notes", "", "", 405, "method-not-allowed"),
        ("BREW /notes", "", "", 405, "method-not-allowed"),
        ("TRACE /notes", "", "", 405, "method-not-allowed"),
        ("GET /repeat", "", "", 422, "validation-failed"),
        ("GET /repeat?times=1000", "", "", 422, "validation-failed"),
        ("POST /notes", "", "{}", 415, "unsupported-media-type"),
        ("POST /notes", "Content-Type: text/plain\r\n", "{}", 415, "unsupported-media-type"),
        ("POST /notes", JSON, "{", 400, "malformed-body"),
        ("POST /notes", JSON, "{}", 400, "malformed-body"),
        ("POST /notes", JSON, "\u{1}", 400, "malformed-body"),
        ("POST /notes", "Content-Encoding: gzip\r\n", "{}", 415, "unsupported-media-type"),
        ("GET /greeting", "Accept: image/png\r\n", "", 406, "not-acceptable"),
        ("GET /secret", "", "", 401, "unauthorized"),
        ("GET /panic", "", "", 500, "internal"),
        ("GET /fails", "", "", 500, "internal"),
        ("GET /problems/no-such", "", "", 404, "not-found"),
        ("GET /bare?403", "", "", 403, "forbidden"),
        ("GET /bare?503", "", "", 503, "unavailable"),
    ] {
        let answer = answer(line, headers, body).await;
        let problem = answer.problem();
        assert_eq!((answer.status, &problem["code"]), (status, &json!(code)), "{line:?}");
        assert_eq!(problem["type"], format!("/problems/{code}"));
        let path = line.split([' ', '?']).nth(1).expect("a path");
        assert_eq!(problem["instance"], path);
        for inside in ["SELECT", "serde", "panick", "on purpose", "integer", "param0", "Type \\\"", "line 1"]
        {
            assert!(!answer.body.contains(inside), "{inside} in {}", answer.body);
        }
    }
}

#[tokio::test]
async fn a_parameter_is_named_and_its_parser_is_not() {
    let missing = answer("GET /repeat", "", "").await.problem();
    assert_eq!(
        missing["errors"],
        json!([{"pointer": "times", "code": "required", "detail": "must be given"}])
    );
    let invalid = answer("GET /repeat?times=x", "", "").await.problem();
    let detail = "not a value that this parameter can have";
    assert_eq!(invalid["errors"], json!([{"pointer": "times", "code": "invalid", "detail": detail}]));
}

#[tokio::test]
async fn a_method_that_is_not_allowed_tells_which_are() {
    assert_eq!(answer("DELETE /notes", "", "").await.header("allow"), Some("POST, OPTIONS"));
    assert_eq!(answer("POST /things/x", "", "").await.header("allow"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(answer("TRACE /greeting", "", "").await.header("allow"), Some("GET, HEAD, OPTIONS"));
    let options = answer("OPTIONS /greeting", "", "").await;
    assert_eq!((options.status, options.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
    assert_eq!(answer("OPTIONS /nowhere", "", "").await.code(), "not-found");
}

#[tokio::test]
async fn a_401_asks_for_a_token_and_says_when_there_was_a_wrong_one() {
    let without = answer("GET /secret", "", "").await;
    assert_eq!(without.header("www-authenticate"), Some("Bearer"));
    let with = answer("GET /secret", "Authorization: Bearer x\r\n", "").await;
    assert_eq!(with.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
}

#[tokio::test]
async fn a_refused_request_has_a_request_id_but_no_path() {
    let server = Setup::default().start().await;
    let mut client = Client::connect(server.address).await;
    client.send("RUBBISH\r\n\r\n").await;
    let problem = client.answer().await.problem();
    assert_eq!(problem.get("instance"), None);
    assert_eq!(problem["detail"], "the head has a character that is not allowed where it stands");
}

#[tokio::test]
async fn a_head_request_has_the_status_and_no_body() {
    let server = Setup::default().start().await;
    let mut client = Client::connect(server.address).await;
    client.send("HEAD /nowhere HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await;
    let head = client.answer_to_head().await;
    assert_eq!((head.status, head.header("content-type")), (404, Some("application/problem+json")));
    client.closed().await;
}

#[tokio::test]
async fn every_problem_has_a_page() {
    let (app, _) = Setup::default().protected();
    let app = Arc::new(app);
    for code in ProblemCode::ALL {
        let request = poem::Request::builder().uri_str(format!("/problems/{}", code.as_str())).finish();
        let response = poem::Endpoint::get_response(&*app, request).await;
        assert_eq!(response.status(), 200);
        let page = response.into_body().into_string().await.expect("text");
        assert!(page.contains(code.title()) && page.contains(code.remedy()), "{page}");
    }
}
