//! Claims that are not what ours are, under a signature that is.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::mint::{Mint, opened, with};
use crate::{Gate, somebody};

#[tokio::test]
async fn what_our_own_key_signed_is_refused_unless_every_claim_is_right() {
    let (mint, app) = Mint::with_server().await;
    let gate = Gate::of(&app).await;
    let (user, other) = (somebody(&app).await, somebody(&app).await);
    let (header, payload) = opened(user.token());
    let (_, other_payload) = opened(other.token());
    let of_other = |name: &str| serde_json::from_str::<Value>(&other_payload).expect("JSON")[name].clone();
    gate.accepts(&mint.sign(&header, &payload)).await;

    let mut wrong = vec![
        ("iss", json!("somebody")),
        ("iss", json!(["portwright"])),
        ("aud", json!("somebody")),
        ("aud", json!(["portwright"])),
        ("aud", json!(["portwright", "somebody"])),
        ("sub", of_other("sub")),
        ("sid", of_other("sid")),
        ("sub", json!(Uuid::nil())),
        ("sid", json!(Uuid::nil())),
        ("sub", json!("admin")),
        ("sid", json!("' OR '1'='1")),
    ];
    for name in ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp"] {
        wrong.extend([json!(null), json!({}), json!([]), json!(true), json!("")].map(|value| (name, value)));
    }
    let now = app.now().unix_seconds();
    for name in ["iat", "nbf", "exp"] {
        let times = [
            json!((now + 600).to_string()),
            json!(1.8e9),
            json!(1_800_000_000.5),
            json!(-1),
            json!(i64::MIN),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(1e300),
            // RFC 3339 has no year 10000.
            json!(253_402_300_800_i64),
        ];
        wrong.extend(times.map(|value| (name, value)));
    }
    for (name, value) in wrong {
        gate.refuses(&mint.sign(&header, &with(&payload, name, value.clone())), &format!("{name}: {value}"))
            .await;
    }
    for name in ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp"] {
        let value = &serde_json::from_str::<Value>(&payload).expect("JSON")[name];
        let twice = payload.replacen('{', &format!("{{\"{name}\":{value},"), 1);
        gate.refuses(&mint.sign(&header, &twice), &format!("{name} twice")).await;
    }
    for payload in
        ["", "null", "[]", "{}", "\"\"", "{", &format!("{payload}x"), &format!("\u{feff}{payload}")]
    {
        gate.refuses(&mint.sign(&header, payload), payload).await;
    }
    gate.accepts(&mint.sign(&header, &payload)).await;
}

#[tokio::test]
async fn what_our_own_key_signed_is_refused_under_another_header() {
    let (mint, app) = Mint::with_server().await;
    let gate = Gate::of(&app).await;
    let (header, payload) = opened(somebody(&app).await.token());
    for (name, value) in [
        ("typ", json!(null)),
        ("typ", json!("JWT")),
        ("typ", json!("rt+jwt")),
        ("typ", json!("application/at+jwt")),
        ("kid", json!(null)),
        ("kid", json!("")),
        ("kid", json!("another")),
        ("kid", json!(["another"])),
        ("alg", json!(null)),
        ("alg", json!("none")),
        ("alg", json!("ES256")),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
    ] {
        gate.refuses(&mint.sign(&with(&header, name, value.clone()), &payload), &format!("{name}: {value}"))
            .await;
    }
    let twice = header.replacen('{', "{\"alg\":\"none\",", 1);
    gate.refuses(&mint.sign(&twice, &payload), "alg twice").await;
    gate.accepts(&mint.sign(&header, &payload)).await;
}

#[tokio::test]
async fn an_end_is_an_end_and_a_beginning_is_forgiven_half_a_minute() {
    let (mint, app) = Mint::with_server().await;
    let gate = Gate::of(&app).await;
    let (header, payload) = opened(somebody(&app).await.token());
    let now = app.now().unix_seconds();
    let begun = |at: i64| mint.sign(&header, &with(&with(&payload, "iat", json!(at)), "nbf", json!(at)));
    let ended = |at: i64| mint.sign(&header, &with(&payload, "exp", json!(at)));

    gate.accepts(&begun(now + 30)).await;
    gate.refuses(&begun(now + 31), "it begins in 31 seconds").await;
    gate.refuses(&with_nbf(&mint, &header, &payload, now + 10), "it begins after it was issued").await;
    gate.accepts(&ended(now + 1)).await;
    gate.refuses(&ended(now), "it ends now").await;
    gate.refuses(&ended(now - 1), "it ended").await;
    gate.refuses(&ended(0), "it ended in 1970").await;

    let far = mint.sign(&header, &with(&payload, "exp", json!(now + 86_400 * 365)));
    app.advance(Duration::from_hours(8 * 24));
    gate.refuses(&far, "its session has ended").await;
}

fn with_nbf(mint: &Mint, header: &str, payload: &str, at: i64) -> String {
    mint.sign(header, &with(payload, "nbf", json!(at)))
}

#[tokio::test]
async fn claims_of_a_later_version_are_left_alone_and_change_nothing() {
    let (mint, app) = Mint::with_server().await;
    let user = somebody(&app).await;
    let (header, payload) = opened(user.token());
    let token = mint.sign(&header, &with(&with(&payload, "role", json!("admin")), "scope", json!("*")));
    let user = user.with_token(&token);
    assert_eq!(user.get("/auth/me").await.expect(200)["role"], "user");
    user.get("/users").await.expect_problem(403, "forbidden");
}
