//! Tokens that were signed with a key that is not ours, or with ours in another way.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portwright::config::{Secret, SigningKeySource};
use portwright_e2e::TestApp;
use serde_json::json;

use crate::mint::{Mint, opened, sign_with_secret, with};
use crate::{Gate, somebody};

#[tokio::test]
async fn a_key_that_the_token_brings_along_is_not_used() {
    let app = TestApp::embedded().await;
    let gate = Gate::of(&app).await;
    let (header, payload) = opened(somebody(&app).await.token());
    let attacker = Mint::of([7; 32]);
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(attacker.public())});
    gate.refuses(&attacker.sign(&header, &payload), "our key id").await;
    for (name, value) in [
        ("jwk", jwk.clone()),
        ("jku", json!(format!("http://{}/.well-known/jwks.json", app.address()))),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/cert.pem")),
        ("x5c", json!([STANDARD.encode(attacker.public())])),
        ("kid", json!("../../../../dev/null")),
        ("kid", json!("' UNION SELECT 'key")),
        ("kid", jwk["x"].clone()),
    ] {
        gate.refuses(
            &attacker.sign(&with(&header, name, value.clone()), &payload),
            &format!("{name}: {value}"),
        )
        .await;
    }
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let (mint, app) = Mint::with_server().await;
    let gate = Gate::of(&app).await;
    let (header, payload) = opened(somebody(&app).await.token());
    let jwks = app.nobody().get("/.well-known/jwks.json").await;
    let jwk = jwks.expect(200)["keys"][0].clone();
    let spki = [&b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"[..], mint.public()].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&spki));
    for secret in [
        mint.public(),
        &spki,
        pem.as_bytes(),
        pem.trim_end().as_bytes(),
        jwk.to_string().as_bytes(),
        jwk["x"].as_str().expect("text").as_bytes(),
        jwks.text.as_bytes(),
        b"",
        b"\0",
        b"secret",
    ] {
        for header in [with(&header, "alg", json!("HS256")), header.clone()] {
            gate.refuses(&sign_with_secret(secret, &header, &payload), &header).await;
        }
    }
}

#[tokio::test]
async fn a_service_with_a_shared_secret_takes_no_other_signature() {
    let secret = "7c6Wz9dVb2QmX4nLr8TfKs3HgJp5Ye1A";
    let app = TestApp::with(|config| {
        config.jwt.key = SigningKeySource::Secret(Secret::new(secret.to_owned()));
    })
    .await;
    let gate = Gate::of(&app).await;
    let (header, payload) = opened(somebody(&app).await.token());
    gate.accepts(&sign_with_secret(secret.as_bytes(), &header, &payload)).await;

    for (secret, how) in [("", "no secret"), ("secret", "a guess"), (&secret[..31], "a part of it")] {
        gate.refuses(&sign_with_secret(secret.as_bytes(), &header, &payload), how).await;
    }
    for algorithm in ["HS384", "HS512", "EdDSA", "none", "hs256"] {
        let header = with(&header, "alg", json!(algorithm));
        gate.refuses(&sign_with_secret(secret.as_bytes(), &header, &payload), algorithm).await;
        gate.refuses(&Mint::of([7; 32]).sign(&header, &payload), algorithm).await;
    }
    for payload in [with(&payload, "exp", json!(null)), with(&payload, "aud", json!("somebody"))] {
        gate.refuses(&sign_with_secret(secret.as_bytes(), &header, &payload), &payload).await;
    }
}

#[tokio::test]
async fn a_token_of_another_server_is_refused() {
    let (here, there) = (TestApp::embedded().await, TestApp::embedded().await);
    let stranger = somebody(&there).await;
    Gate::of(&here).await.refuses(stranger.token(), "its key is not ours").await;
    let token = json!({"refreshToken": stranger.refresh_token()});
    here.nobody().post("/auth/refresh", &token).await.expect_problem(401, "unauthorized");
}
