//! What is too long, too large or too many, at the limit and one past it.

use portwright_e2e::app::new_user;
use portwright_e2e::{Answer, TestApp, wire};
use serde_json::json;

use crate::raw;

const MEBIBYTE: usize = 1024 * 1024;
const CREDENTIALS: &str = r#"{"email":"nobody@example.com","password":"not-the-password"}"#;

/// A body of this size that signs nobody in.
fn padded(bytes: usize) -> String {
    format!("{CREDENTIALS}{}", " ".repeat(bytes - CREDENTIALS.len()))
}

#[tokio::test]
async fn a_body_has_a_mebibyte_at_most() {
    let app = TestApp::embedded().await;
    let login = "POST /auth/login HTTP/1.1\r\nContent-Type: application/json";
    let with_length = async |bytes: usize| {
        raw(&app, &format!("{login}\r\nContent-Length: {bytes}"), padded(bytes).as_bytes()).await
    };
    let in_chunks = async |bytes: usize| {
        let body = format!("{bytes:x}\r\n{}\r\n0\r\n\r\n", padded(bytes));
        raw(&app, &format!("{login}\r\nTransfer-Encoding: chunked"), body.as_bytes()).await
    };
    with_length(MEBIBYTE).await.expect_problem(401, "invalid-credentials");
    in_chunks(MEBIBYTE).await.expect_problem(401, "invalid-credentials");
    for answer in
        [with_length(MEBIBYTE + 1).await, in_chunks(MEBIBYTE + 1).await, in_chunks(3 * MEBIBYTE).await]
    {
        answer.expect_problem(413, "payload-too-large");
        assert_eq!(answer.header("connection"), "close");
    }
    // Also where the body is read for another reason.
    let key = format!("{login}\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked");
    let body = format!("{:x}\r\n{}\r\n0\r\n\r\n", MEBIBYTE + 1, padded(MEBIBYTE + 1));
    raw(&app, &key, body.as_bytes()).await.expect_problem(413, "payload-too-large");
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_not_asked_for() {
    let app = TestApp::embedded().await;
    let announce = |length: &str| {
        format!(
            "POST /auth/login HTTP/1.1\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {length}"
        )
    };
    for length in ["1048577", "999999999999", "9223372036854775806"] {
        // `Continue` would stand before the answer.
        raw(&app, &announce(length), b"").await.expect_problem(413, "payload-too-large");
    }
    for length in ["18446744073709551615", "18446744073709551616", "-1", "+2", "0x2", "2,2", "2 2", ""] {
        raw(&app, &announce(length), b"").await.expect_refused(400, "malformed-request");
    }
    let request = format!(
        "{}\r\nHost: test\r\nConnection: close\r\n\r\n{CREDENTIALS}",
        announce(&CREDENTIALS.len().to_string())
    );
    let answer = wire::exchange(&app.address(), request.as_bytes()).await;
    let answer = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").expect("the body is asked for");
    Answer::parse(answer).expect_problem(401, "invalid-credentials");
}

#[tokio::test]
async fn a_target_has_eight_kibibytes_at_most() {
    let app = TestApp::embedded().await;
    for (path, bytes) in [("/", 8 * 1024), ("/users?search=", 8 * 1024)] {
        let at_limit = format!("{path}{}", "x".repeat(bytes - path.len()));
        let answer = raw(&app, &format!("GET {at_limit} HTTP/1.1"), b"").await;
        assert!(answer.status == 404 || answer.status == 401, "{answer:?}");
        for more in ["x", &"x".repeat(4_000), &"x".repeat(100_000)] {
            let answer = raw(&app, &format!("GET {at_limit}{more} HTTP/1.1"), b"").await;
            answer.expect_refused(414, "uri-too-long");
            assert_eq!(answer.header("connection"), "close");
        }
    }
}

#[tokio::test]
async fn a_head_has_a_hundred_headers_and_sixteen_kibibytes_at_most() {
    let app = TestApp::embedded().await;
    // `raw` adds two.
    let many = |headers: usize| format!("GET /health/live HTTP/1.1{}", "\r\nX-Many: 1".repeat(headers - 2));
    raw(&app, &many(100), b"").await.expect(200);
    for headers in [101, 200, 1_000] {
        raw(&app, &many(headers), b"").await.expect_refused(431, "headers-too-large");
    }
    let large = |bytes: usize| format!("GET /health/live HTTP/1.1\r\nX-Large: {}", "x".repeat(bytes));
    raw(&app, &large(16_000), b"").await.expect(200);
    for bytes in [16 * 1024, 20_000, 1_000_000] {
        raw(&app, &large(bytes), b"").await.expect_refused(431, "headers-too-large");
    }
    raw(&app, &format!("GET /health/live HTTP/1.1\r\n{}: 1", "x".repeat(20_000)), b"")
        .await
        .expect_refused(431, "headers-too-large");
}

#[tokio::test]
async fn every_field_has_a_longest_value() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    // 254 bytes: 64 before the @, and labels of at most 63.
    let host = format!("{}.{}.{}", "b".repeat(63), "c".repeat(63), "d".repeat(61));
    let longest = format!("{}@{host}", "a".repeat(64));
    assert_eq!(longest.len(), 254);
    let at_limit = json!({"password": "🔑".repeat(128), "firstName": "ä".repeat(100), "lastName": format!("  {}  ", "ö".repeat(100))});
    let user = admin.post("/users", &new_user(&longest, &at_limit)).await.expect(201);
    assert_eq!(user["lastName"], "ö".repeat(100));
    for (more, expected) in [
        (json!({"email": format!("{longest}d")}), ("/email", "too-long")),
        (json!({"email": format!("a{}@b", "a".repeat(64))}), ("/email", "invalid-email")),
        (json!({"email": "x".repeat(500_000)}), ("/email", "too-long")),
        (json!({"password": "x".repeat(129)}), ("/password", "too-long")),
        (json!({"password": "🔑".repeat(257)}), ("/password", "too-long")),
        (json!({"password": "x".repeat(500_000)}), ("/password", "too-long")),
        // NFKC makes eighteen characters of this one.
        (json!({"password": "\u{fdfa}".repeat(300)}), ("/password", "too-long")),
        (json!({"firstName": "ä".repeat(101)}), ("/firstName", "too-long")),
        (json!({"lastName": "x".repeat(500_000)}), ("/lastName", "too-long")),
        (json!({"role": "x".repeat(500_000)}), ("/role", "unknown-role")),
    ] {
        admin.post("/users", &new_user("ada@example.com", &more)).await.expect_invalid(&[expected]);
        if more.get("password").is_none() {
            let path = format!("/users/{}", user["id"].as_str().expect("an id"));
            admin.patch(&path, &more).await.expect_invalid(&[expected]);
        }
    }
    let password = json!({"currentPassword": "x".repeat(1025), "newPassword": "x".repeat(129)});
    let answer = admin.post("/auth/password", &password).await;
    answer.expect_invalid(&[("/currentPassword", "too-long"), ("/newPassword", "too-long")]);
}
