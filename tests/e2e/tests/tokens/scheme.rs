//! The header that carries a token, and genuine tokens whose session or user is gone.

use portwright_e2e::TestApp;
use serde_json::json;

use crate::{Gate, somebody, with_headers};

#[tokio::test]
async fn the_scheme_is_bearer_in_any_case() {
    let app = TestApp::embedded().await;
    let token = somebody(&app).await.token().to_owned();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        with_headers(&app, &[&format!("{scheme} {token}")]).await.expect(200);
        // RFC 9110, section 11.4: one or more spaces.
        with_headers(&app, &[&format!("{scheme}   {token}")]).await.expect(200);
    }
}

#[tokio::test]
async fn a_header_of_any_other_form_is_refused() {
    let app = TestApp::embedded().await;
    let gate = Gate::of(&app).await;
    let token = somebody(&app).await.token().to_owned();
    for header in [
        "",
        "Bearer",
        "Bearer  ",
        &token,
        &format!("Bearer{token}"),
        &format!("Bearer:{token}"),
        &format!("Bearer={token}"),
        &format!("Bearer\t{token}"),
        &format!("Basic {token}"),
        "Basic YWRtaW46YWRtaW4=",
        &format!("Token {token}"),
        &format!("Bearers {token}"),
        &format!("Bearer Bearer {token}"),
        &format!("Bearer {token} garbage"),
        &format!("Bearer {token},"),
        &format!("Bearer {token}, Bearer {token}"),
        &format!("Bearer {token};a=b"),
        &format!("Bearer \"{token}\""),
        &format!("Bearer <{token}>"),
        &format!("Bearer access_token={token}"),
        &format!("Bearer {token}\u{a0}"),
        "Bearer null",
        "Bearer undefined",
    ] {
        gate.refuses_header(header, header).await;
    }
}

#[tokio::test]
async fn two_headers_are_none() {
    let app = TestApp::embedded().await;
    let gate = Gate::of(&app).await;
    let good = format!("Bearer {}", somebody(&app).await.token());
    for pair in [[good.as_str(), &good], [&good, "Bearer nonsense"], ["Bearer nonsense", &good], ["", &good]]
    {
        gate.is_refusal(&with_headers(&app, &pair).await, &format!("{pair:?}"));
    }
}

#[tokio::test]
async fn a_token_is_taken_from_its_header_and_from_nowhere_else() {
    let app = TestApp::embedded().await;
    let token = somebody(&app).await.token().to_owned();
    let nobody = app.nobody();
    for (name, value) in [
        ("Cookie", format!("accessToken={token}")),
        ("X-Access-Token", token.clone()),
        ("Proxy-Authorization", format!("Bearer {token}")),
        ("X-Forwarded-User", "admin".to_owned()),
    ] {
        let request = nobody.request(reqwest::Method::GET, "/auth/me").header(name, value);
        let answer = nobody.send(request).await;
        answer.expect_problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{name}");
    }
    // RFC 9700, section 4.3.2: it would end up in logs and histories.
    let in_query = nobody.get(&format!("/auth/me?access_token={token}")).await;
    in_query.expect_invalid(&[("access_token", "unknown-parameter")]);
}

#[tokio::test]
async fn a_genuine_token_is_refused_once_its_session_or_user_is_gone() {
    let app = TestApp::embedded().await;
    let gate = Gate::of(&app).await;
    let admin = app.admin().await;

    let removed = somebody(&app).await;
    admin.delete(&removed.path()).await.expect(204);
    gate.refuses(removed.token(), "of a user who was removed").await;

    let inactive = somebody(&app).await;
    admin.patch(&inactive.path(), &json!({"isActive": false})).await.expect(200);
    gate.refuses(inactive.token(), "of a user who is not active").await;
    admin.patch(&inactive.path(), &json!({"isActive": true})).await.expect(200);
    gate.refuses(inactive.token(), "of a user who was not active").await;

    let signed_out = somebody(&app).await;
    let own = json!({"refreshToken": signed_out.refresh_token()});
    signed_out.post("/auth/logout", &own).await.expect(204);
    gate.refuses(signed_out.token(), "of a session that was ended").await;

    let robbed = somebody(&app).await;
    let token = json!({"refreshToken": robbed.refresh_token()});
    robbed.post("/auth/refresh", &token).await.expect(200);
    robbed.post("/auth/refresh", &token).await.expect_problem(401, "unauthorized");
    gate.refuses(robbed.token(), "of a session whose refresh token was used twice").await;
}

#[tokio::test]
async fn every_operation_for_the_signed_in_refuses_alike() {
    let app = TestApp::embedded().await;
    let document = app.nobody().get("/openapi.json").await.expect(200);
    let mut checked = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            if operation.get("security").is_none() {
                continue;
            }
            checked += 1;
            let path = path.replace("{id}", "00000000-0000-7000-8000-000000000000");
            let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            for (caller, challenge) in [
                (app.nobody(), "Bearer"),
                (app.nobody().with_token("a.b.c"), r#"Bearer error="invalid_token""#),
            ] {
                let answer = caller.send(caller.request(method.clone(), &path).json(&json!({}))).await;
                answer.expect_problem(401, "unauthorized");
                assert_eq!(answer.header("www-authenticate"), challenge, "{method} {path}");
            }
        }
    }
    assert!(checked >= 9, "only {checked} operations want a token");
}
