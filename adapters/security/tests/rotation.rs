//! A key is changed without anybody noticing: what the older one signed and sealed is good until it ends.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::ports::{Purpose, Sealer, TokenIssuer, TokenRejected};
use portwright_domain::session::{Claims, SessionId};
use portwright_domain::user::UserId;
use portwright_security::{AeadSealer, JwtIssuer, SigningKey};
use serde_json::Value;
use uuid::Uuid;

fn generated() -> SigningKey {
    SigningKey::generate().expect("a key")
}

fn issuer(key: &SigningKey) -> JwtIssuer {
    JwtIssuer::new(key, "https://portwright.example", "portwright")
}

fn claims() -> Claims {
    Claims {
        user_id: UserId(Uuid::from_u128(1)),
        session_id: SessionId(Uuid::from_u128(2)),
        token_id: Uuid::from_u128(3),
        issued_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH.plus(Duration::from_mins(15)),
    }
}

fn token_of(issuer: &JwtIssuer) -> String {
    issuer.issue(&claims()).expect("issuing works").expose().to_owned()
}

fn verify(issuer: &JwtIssuer, token: &str) -> Result<Claims, TokenRejected> {
    issuer.verify(token, Timestamp::UNIX_EPOCH)
}

#[test]
fn a_token_of_an_older_key_is_good_as_long_as_the_key_is_known() {
    let (old, new) = (generated(), generated());
    let token = token_of(&issuer(&old));
    assert_eq!(verify(&issuer(&new).accepting(&old), &token), Ok(claims()));
    assert_eq!(verify(&issuer(&new), &token), Err(TokenRejected::BadSignature));
}

#[test]
fn the_first_key_signs() {
    let (old, new) = (generated(), generated());
    let token = token_of(&issuer(&new).accepting(&old));
    assert_eq!(verify(&issuer(&new), &token), Ok(claims()));
    assert_eq!(verify(&issuer(&old), &token), Err(TokenRejected::BadSignature));
}

#[test]
fn a_shared_secret_gives_way_to_a_key_pair() {
    let (old, new) = (SigningKey::from_secret(&[7; 32]).expect("a key"), generated());
    let both = issuer(&new).accepting(&old);
    assert_eq!(verify(&both, &token_of(&issuer(&old))), Ok(claims()));
    assert_eq!(verify(&both, &token_of(&both)), Ok(claims()));
}

#[test]
fn every_known_public_key_is_published_the_signing_one_first() {
    let (old, new) = (generated(), generated());
    let secret = SigningKey::from_secret(&[7; 32]).expect("a key");
    let set = issuer(&new).accepting(&secret).accepting(&old).public_keys();
    let set: Value = serde_json::from_str(&set).expect("JSON");
    let ids: Vec<_> = set["keys"].as_array().expect("keys").iter().map(|key| &key["kid"]).collect();
    assert_eq!(ids, [new.id(), old.id()]);
}

#[test]
fn what_an_older_key_sealed_opens_as_long_as_the_key_is_known() {
    let (old, new) = (generated(), generated());
    let sealed = AeadSealer::new(&old).seal(Purpose::RefreshToken, b"content");
    let both = AeadSealer::new(&new).accepting(&old);
    assert_eq!(both.open(Purpose::RefreshToken, &sealed).as_deref(), Some(&b"content"[..]));
    assert_eq!(both.open(Purpose::Cursor, &sealed), None);
    assert_eq!(AeadSealer::new(&new).open(Purpose::RefreshToken, &sealed), None);

    let sealed = both.seal(Purpose::RefreshToken, b"content");
    assert!(AeadSealer::new(&new).open(Purpose::RefreshToken, &sealed).is_some());
    assert_eq!(AeadSealer::new(&old).open(Purpose::RefreshToken, &sealed), None);
}
