//! Sessions as a client sees them: register, sign in, the own account, its password, sign out.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portwright::config::{Registration, Secret, SigningKeySource};
use portwright_e2e::app::{ADMIN, PASSWORD, new_user};
use portwright_e2e::{Answer, Caller, TestApp};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_mins(1);
const ANOTHER_PASSWORD: &str = "granite-otter-lagoon-37";

async fn register(app: &TestApp, email: &str) -> Answer {
    app.nobody().post("/auth/register", &new_user(email, &json!({}))).await
}

async fn log_in(app: &TestApp, email: &str, password: &str) -> Answer {
    app.nobody().post("/auth/login", &json!({"email": email, "password": password})).await
}

async fn ada(app: &TestApp) -> Caller {
    let session = register(app, "ada@example.com").await.expect(201);
    app.nobody().with_session(session)
}

fn names(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// That these tokens sign nobody in any more.
async fn expect_ended(session: &Caller) {
    session.get("/auth/me").await.expect_problem(401, "unauthorized");
    let token = json!({"refreshToken": session.refresh_token()});
    session.post("/auth/refresh", &token).await.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn whoever_registers_is_signed_in() {
    let app = TestApp::embedded().await;
    let answer = register(&app, "Ada@Example.com").await;
    let session = answer.expect(201);

    assert_eq!(names(&session), ["accessToken", "expiresIn", "refreshToken", "tokenType", "user"]);
    assert_eq!(session["tokenType"], "Bearer");
    assert_eq!(session["expiresIn"], 900);
    let now = app.now().to_string();
    let user = json!({
        "id": session["user"]["id"], "email": "Ada@Example.com", "firstName": "Ada", "lastName": "Lovelace",
        "role": "user", "isActive": true, "isEmailVerified": false, "lastLogin": now, "createdAt": now,
        "updatedAt": now, "avatarUrl": null,
    });
    assert_eq!(session["user"], user);
    let id: uuid::Uuid = session["user"]["id"].as_str().and_then(|id| id.parse().ok()).expect("a UUID");
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_ne!(answer.header("consistency-token"), "");

    let me = app.nobody().with_session(session).get("/auth/me").await;
    assert_eq!(me.expect(200), user);
}

#[tokio::test]
async fn nobody_registers_where_registration_is_closed() {
    let app = TestApp::with(|config| config.registration = Registration::Closed).await;
    register(&app, "ada@example.com").await.expect_problem(403, "registration-closed");
    log_in(&app, "ada@example.com", PASSWORD).await.expect_problem(401, "invalid-credentials");
    app.admin().await.post("/users", &new_user("ada@example.com", &json!({}))).await.expect(201);
}

#[tokio::test]
async fn an_address_is_registered_once_however_it_is_spelt() {
    let app = TestApp::embedded().await;
    register(&app, "José@example.com").await.expect(201);
    for spelling in ["José@example.com", "JOSÉ@EXAMPLE.COM", "jose\u{301}@ｅｘａｍｐｌｅ.com"] {
        register(&app, spelling).await.expect_problem(409, "email-taken");
        log_in(&app, spelling, PASSWORD).await.expect(200);
    }
}

#[tokio::test]
async fn of_many_who_register_one_address_at_once_one_gets_it() {
    let app = TestApp::embedded().await;
    let answers = futures::future::join_all((0..10).map(|_| register(&app, "ada@example.com"))).await;
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.expect_problem(409, "email-taken");
    }
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
}

#[tokio::test]
async fn all_that_is_wrong_with_a_registration_is_told_at_once() {
    let app = TestApp::embedded().await;
    let body = json!({
        "email": "not an address", "password": "short", "firstName": " ", "lastName": "a\u{0}b", "role": "admin",
    });
    app.nobody().post("/auth/register", &body).await.expect_invalid(&[
        ("/email", "invalid-email"),
        ("/password", "too-short"),
        ("/firstName", "required"),
        ("/lastName", "invalid-character"),
        ("/role", "unknown-field"),
    ]);
    let required = ["/email", "/password", "/firstName", "/lastName"].map(|pointer| (pointer, "required"));
    app.nobody().post("/auth/register", &json!({})).await.expect_invalid(&required);
    let common = new_user("ada@example.com", &json!({"password": "Password123"}));
    app.nobody().post("/auth/register", &common).await.expect_invalid(&[("/password", "common-password")]);
}

#[tokio::test]
async fn a_password_is_any_text_and_all_of_it_counts() {
    let app = TestApp::embedded().await;
    let long = "пароль🔑".repeat(18);
    let shorter: String = long.chars().take(125).collect();
    for (number, password) in
        [long.as_str(), "        ", "\u{0}\u{0}\u{0}\u{0}null", "caf\u{e9} noir"].iter().enumerate()
    {
        let email = format!("{number}@example.com");
        let body = new_user(&email, &json!({"password": password}));
        app.nobody().post("/auth/register", &body).await.expect(201);
        log_in(&app, &email, password).await.expect(200);
    }
    log_in(&app, "0@example.com", &shorter).await.expect_problem(401, "invalid-credentials");
    // The same keys on another system.
    log_in(&app, "3@example.com", "cafe\u{301} noir").await.expect(200);
    log_in(&app, "3@example.com", "cafe noir").await.expect_problem(401, "invalid-credentials");
}

#[tokio::test]
async fn whoever_cannot_sign_in_is_not_told_why() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for (email, more) in [("ada@example.com", json!({})), ("gone@example.com", json!({"isActive": false}))] {
        admin.post("/users", &new_user(email, &more)).await.expect(201);
    }
    let attempt = async |email: &str, password: &str| {
        let request = app.nobody().request(reqwest::Method::POST, "/auth/login");
        let body = json!({"email": email, "password": password});
        app.nobody().send(request.header("X-Request-Id", "the-same").json(&body)).await
    };
    let wrong_password = attempt("ada@example.com", "not-the-password").await;
    wrong_password.expect_problem(401, "invalid-credentials");
    assert_eq!(wrong_password.header("www-authenticate"), "Bearer");
    assert_eq!(wrong_password.header("cache-control"), "no-store");
    let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
    for (email, password) in [
        ("nobody@example.com", PASSWORD),
        ("nobody@example.com", ""),
        ("gone@example.com", PASSWORD),
        ("gone@example.com", "not-the-password"),
        ("ada@example.com", ""),
        ("ada@example.com", " tango-velvet-harbor-91"),
        ("no address", PASSWORD),
        ("", PASSWORD),
        ("\u{0}", PASSWORD),
        (&"x".repeat(10_000), PASSWORD),
    ] {
        let refused = attempt(email, password).await;
        assert_eq!(refused.status, 401, "{email:?}");
        assert_eq!(refused.text, wrong_password.text, "{email:?}");
        assert_eq!(names(&refused), names(&wrong_password), "{email:?}");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
    }
    let too_long = json!({"email": "ada@example.com", "password": "x".repeat(1025)});
    app.nobody().post("/auth/login", &too_long).await.expect_invalid(&[("/password", "too-long")]);
}

#[tokio::test]
async fn signing_in_is_noted_and_is_no_change_of_the_user() {
    let app = TestApp::embedded().await;
    let ada = ada(&app).await;
    let before = ada.get(&ada.path()).await;
    app.advance(MINUTE);

    let answer = log_in(&app, "ADA@example.com", PASSWORD).await;
    let user = &answer.expect(200)["user"];
    assert_eq!(user["lastLogin"], app.now().to_string());
    assert_eq!(user["updatedAt"], before.expect(200)["updatedAt"]);
    let after = ada.get(&ada.path()).await;
    assert_eq!(after.expect(200)["lastLogin"], app.now().to_string());
    assert_eq!(after.header("etag"), before.header("etag"));
    assert_ne!(after.header("etag"), "");

    log_in(&app, "ada@example.com", "not-the-password").await.expect(401);
    app.advance(MINUTE);
    assert_eq!(ada.get(&ada.path()).await.expect(200)["lastLogin"], user["lastLogin"]);
}

#[tokio::test]
async fn what_carries_tokens_is_kept_by_nobody() {
    let app = TestApp::embedded().await;
    let registered = register(&app, "ada@example.com").await;
    let signed_in = log_in(&app, "ada@example.com", PASSWORD).await;
    let token = json!({"refreshToken": signed_in.expect(200)["refreshToken"]});
    let refreshed = app.nobody().post("/auth/refresh", &token).await;
    for answer in [&registered, &signed_in, &refreshed] {
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let me = app.nobody().with_session(refreshed.expect(200)).get("/auth/me").await;
    me.expect(200);
    assert_eq!(me.header("cache-control"), "private, no-cache");
}

#[tokio::test]
async fn a_challenge_tells_missing_credentials_from_wrong_ones() {
    let app = TestApp::embedded().await;
    let anonymous = app.nobody().get("/auth/me").await;
    anonymous.expect_problem(401, "unauthorized");
    assert_eq!(anonymous.header("www-authenticate"), "Bearer");
    let wrong = app.nobody().with_token("nonsense").get("/auth/me").await;
    wrong.expect_problem(401, "unauthorized");
    assert_eq!(wrong.header("www-authenticate"), r#"Bearer error="invalid_token""#);
    assert_eq!(wrong.header("cache-control"), "no-store");
}

#[tokio::test]
async fn signing_out_ends_this_session_at_once_and_no_other() {
    let app = TestApp::embedded().await;
    let (phone, laptop) = (ada(&app).await, app.sign_in("ada@example.com", PASSWORD).await);
    for token in [laptop.refresh_token(), "nonsense", "", phone.token()] {
        let done = phone.post("/auth/logout", &json!({"refreshToken": token})).await;
        done.expect(204);
        assert_eq!((done.text.as_str(), done.header("consistency-token")), ("", ""));
        phone.get("/auth/me").await.expect(200);
        laptop.get("/auth/me").await.expect(200);
    }
    let own = json!({"refreshToken": phone.refresh_token()});
    app.nobody().post("/auth/logout", &own).await.expect_problem(401, "unauthorized");
    let done = phone.post("/auth/logout", &own).await;
    done.expect(204);
    assert_ne!(done.header("consistency-token"), "");
    expect_ended(&phone).await;
    phone.post("/auth/logout", &own).await.expect_problem(401, "unauthorized");
    laptop.get("/auth/me").await.expect(200);
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let app = TestApp::embedded().await;
    let (own, other) = (ada(&app).await, app.sign_in("ada@example.com", PASSWORD).await);
    let admin = app.admin().await;
    let body = json!({"currentPassword": PASSWORD, "newPassword": ANOTHER_PASSWORD});
    let done = own.post("/auth/password", &body).await;
    done.expect(204);
    assert_ne!(done.header("consistency-token"), "");

    expect_ended(&other).await;
    admin.get("/auth/me").await.expect(200);
    own.get("/auth/me").await.expect(200);
    let token = json!({"refreshToken": own.refresh_token()});
    own.post("/auth/refresh", &token).await.expect(200);
    log_in(&app, "ada@example.com", PASSWORD).await.expect_problem(401, "invalid-credentials");
    log_in(&app, "ada@example.com", ANOTHER_PASSWORD).await.expect(200);
}

#[tokio::test]
async fn who_does_not_know_the_password_does_not_change_it() {
    let app = TestApp::embedded().await;
    let (own, other) = (ada(&app).await, app.sign_in("ada@example.com", PASSWORD).await);
    let body = |current: &str, new: &str| json!({"currentPassword": current, "newPassword": new});
    let wrong = own.post("/auth/password", &body("not-the-password", ANOTHER_PASSWORD)).await;
    wrong.expect_invalid(&[("/currentPassword", "invalid-credentials")]);
    app.nobody()
        .post("/auth/password", &body(PASSWORD, ANOTHER_PASSWORD))
        .await
        .expect_problem(401, "unauthorized");
    let weak = own.post("/auth/password", &body(PASSWORD, "short")).await;
    weak.expect_invalid(&[("/newPassword", "too-short")]);
    let empty = own.post("/auth/password", &json!({"email": ADMIN})).await;
    empty.expect_invalid(&[
        ("/currentPassword", "required"),
        ("/newPassword", "required"),
        ("/email", "unknown-field"),
    ]);
    other.get("/auth/me").await.expect(200);
    log_in(&app, "ada@example.com", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn anybody_can_check_a_token_with_the_published_keys() {
    let app = TestApp::embedded().await;
    let ada = ada(&app).await;
    let parts: Vec<&str> = ada.token().split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("not a token: {}", ada.token()) };
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let json = |part| serde_json::from_slice::<Value>(&decoded(part)).expect("JSON");
    let (header, claims, message) = (json(header), json(payload), format!("{header}.{payload}"));

    let keys = app.nobody().get("/.well-known/jwks.json").await.expect(200);
    let keys = keys["keys"].as_array().expect("keys");
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).expect("the key of the token");
    assert_eq!((&key["kty"], &key["crv"], &key["use"]), (&json!("OKP"), &json!("Ed25519"), &json!("sig")));
    assert!(
        keys.iter().all(|key| key.get("d").is_none() && key.get("k").is_none()),
        "a private key is public"
    );
    let public = UnparsedPublicKey::new(&ED25519, decoded(key["x"].as_str().expect("a point")));
    public.verify(message.as_bytes(), &decoded(signature)).expect("the signature is right");

    assert_eq!(header, json!({"typ": "at+jwt", "alg": "EdDSA", "kid": key["kid"]}));
    let now = app.now().unix_seconds();
    let expected = json!({
        "iss": "portwright", "aud": "portwright", "sub": ada.id(), "sid": claims["sid"], "jti": claims["jti"],
        "iat": now, "nbf": now, "exp": now + 900,
    });
    assert_eq!(claims, expected);
}

#[tokio::test]
async fn a_shared_secret_is_not_published() {
    let secret = Secret::new("7c6Wz9dVb2QmX4nLr8TfKs3HgJp5Ye1A".into());
    let app = TestApp::with(|config| config.jwt.key = SigningKeySource::Secret(secret)).await;
    ada(&app).await.get("/auth/me").await.expect(200);
    let keys = app.nobody().get("/.well-known/jwks.json").await.expect(200);
    assert_eq!(keys, json!({"keys": []}));
}
