//! Media types of bodies, and what every answer says about itself.

use portwright_e2e::TestApp;
use reqwest::Method;

use crate::operations;

#[tokio::test]
async fn a_body_is_json_and_says_so() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    for operation in operations(&app, &user).await {
        let body = operation.body.to_string();
        for wrong in [
            "",
            "text/plain",
            "text/json",
            "application/xml",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/problem+json",
            "application/jsonp",
            "application/*",
            "*/*",
            "json",
            "application/json, text/plain",
            "application/json; charset=utf-16",
            "application/json; charset=latin1",
            "application/json; charset=",
            "application/json;;",
        ] {
            let answer = operation.send(&admin, wrong, body.clone()).await;
            assert_eq!(answer.status, 415, "{} as {wrong:?}: {}", operation.name(), answer.text);
            answer.expect_problem(415, "unsupported-media-type");
        }
        let request = admin.request(operation.method.clone(), &operation.path);
        admin.send(request.body(body)).await.expect_problem(415, "unsupported-media-type");
        let request = admin.request(operation.method.clone(), &operation.path);
        admin.send(request).await.expect_problem(415, "unsupported-media-type");
    }
}

#[tokio::test]
async fn json_may_name_its_charset_which_is_utf_8() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    for operation in operations(&app, &user).await {
        for right in [
            "application/json",
            "Application/JSON",
            "application/json;charset=utf-8",
            "application/json; charset=UTF-8",
            "application/json; charset=\"utf-8\"",
            "application/json; profile=\"x\"",
        ] {
            let answer = operation.send(&admin, right, "[").await;
            assert_eq!(answer.status, 400, "{} as {right:?}: {}", operation.name(), answer.text);
        }
    }
}

#[tokio::test]
async fn an_encoded_body_is_not_taken_for_json() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    for operation in operations(&app, &user).await {
        for coding in ["gzip", "br", "deflate", "gzip, gzip", "nonsense"] {
            let request = admin.request(operation.method.clone(), &operation.path).json(&operation.body);
            let answer = admin.send(request.header("Content-Encoding", coding)).await;
            assert_eq!(answer.status, 415, "{} in {coding}: {}", operation.name(), answer.text);
            answer.expect_problem(415, "unsupported-media-type");
            // RFC 9110, section 15.5.16.
            assert_eq!(answer.header("accept-encoding"), "identity");
        }
        let request = admin.request(operation.method.clone(), &operation.path).body("[");
        let request =
            request.header("Content-Type", "application/json").header("Content-Encoding", "identity");
        admin.send(request).await.expect_problem(400, "malformed-body");
    }
}

#[tokio::test]
async fn every_answer_says_what_it_is_and_nothing_about_the_server() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for (method, path, status, content_type) in [
        (Method::GET, "/users", 200, "application/json"),
        (Method::GET, "/auth/me", 200, "application/json"),
        (Method::GET, "/.well-known/jwks.json", 200, "application/json"),
        (Method::GET, "/openapi.json", 200, "application/json"),
        (Method::GET, "/openapi.yaml", 200, "application/yaml"),
        (Method::GET, "/docs", 200, "text/html; charset=utf-8"),
        (Method::GET, "/health", 200, "application/health+json"),
        (Method::GET, "/health/live", 200, "application/health+json"),
        (Method::GET, "/health/ready", 200, "application/health+json"),
        (Method::GET, "/problems/not-found", 200, "text/plain; charset=utf-8"),
        (Method::GET, "/nowhere", 404, "application/problem+json"),
        (Method::PUT, "/users", 405, "application/problem+json"),
        (Method::POST, "/users", 415, "application/problem+json"),
        (Method::OPTIONS, "/users", 204, ""),
    ] {
        let request = admin.request(method.clone(), path);
        // A page of somebody else asks.
        let request = request
            .header("Origin", "https://attacker.example")
            .header("Access-Control-Request-Method", "GET");
        let answer = admin.send(request).await;
        assert_eq!((answer.status, answer.header("content-type")), (status, content_type), "{method} {path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{method} {path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{method} {path}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{method} {path}");
        assert_ne!(answer.header("cache-control"), "", "{method} {path}");
        assert_ne!(answer.header("x-request-id"), "", "{method} {path}");
        for name in answer.headers.keys().map(reqwest::header::HeaderName::as_str) {
            let tells =
                name.starts_with("access-control-") || ["server", "x-powered-by", "via"].contains(&name);
            assert!(!tells, "{method} {path}: {name}");
        }
    }
}
