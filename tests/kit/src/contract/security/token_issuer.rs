//! What every [`TokenIssuer`] promises.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::ports::{TokenIssuer, TokenRejected};
use portwright_domain::session::{Claims, SessionId};
use portwright_domain::user::UserId;
use uuid::Uuid;

use super::{alterations, cuts_and_extensions};
use crate::clock::ManualClock;

contract! {
    /// Every promise of [`TokenIssuer`](portwright_domain::ports::TokenIssuer), as a test of its own, given an async
    /// function that makes [`Issuers`](crate::contract::security::Issuers).
    token_issuer_contract => security::TOKEN_ISSUER_PROMISES: Issuers {
        a_token_says_what_was_signed,
        a_token_is_valid_until_its_end,
        a_token_is_not_valid_before_it_begins,
        a_token_of_other_keys_has_a_bad_signature,
        a_token_for_another_service_is_foreign,
        what_is_no_token_is_malformed,
        a_token_with_any_character_altered_is_refused,
        a_token_that_is_cut_or_extended_is_refused,
        the_public_keys_are_a_key_set,
    }
}

/// An issuer, and two whose tokens it must not take.
pub struct Issuers {
    /// The issuer that is checked.
    pub ours: Arc<dyn TokenIssuer>,
    /// One with the same keys that issues for another audience.
    pub elsewhere: Arc<dyn TokenIssuer>,
    /// One for the same audience with other keys.
    pub stranger: Arc<dyn TokenIssuer>,
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuers").finish_non_exhaustive()
    }
}

const QUARTER: Duration = Duration::from_mins(15);

/// Claims of a token that begins at [`ManualClock::START`] and lasts [`QUARTER`].
fn claims() -> Claims {
    let begin = Timestamp::from_unix_micros(ManualClock::START.unix_seconds() * 1_000_000);
    Claims {
        user_id: UserId(Uuid::from_u128(1)),
        session_id: SessionId(Uuid::from_u128(2)),
        token_id: Uuid::from_u128(3),
        issued_at: begin,
        expires_at: begin.plus(QUARTER),
    }
}

fn token_of(issuer: &dyn TokenIssuer) -> String {
    issuer.issue(&claims()).expect("issuing works").expose().to_owned()
}

impl Issuers {
    /// Looks at a token while it is valid.
    fn verify(&self, token: &str) -> Result<Claims, TokenRejected> {
        self.ours.verify(token, claims().issued_at)
    }
}

async fn a_token_says_what_was_signed(issuers: Issuers) {
    assert_eq!(issuers.verify(&token_of(&*issuers.ours)), Ok(claims()));
}

async fn a_token_is_valid_until_its_end(issuers: Issuers) {
    let (token, end) = (token_of(&*issuers.ours), claims().expires_at);
    let verify = |now| issuers.ours.verify(&token, now);
    assert_eq!(verify(end.minus(Duration::from_micros(1))), Ok(claims()));
    assert_eq!(verify(end), Err(TokenRejected::Expired));
    assert_eq!(verify(end.plus(Duration::MAX)), Err(TokenRejected::Expired));
}

async fn a_token_is_not_valid_before_it_begins(issuers: Issuers) {
    let token = token_of(&*issuers.ours);
    // Clocks that differ by a little may be forgiven, so it is asked an hour too early.
    let early = claims().issued_at.minus(Duration::from_hours(1));
    assert_eq!(issuers.ours.verify(&token, early), Err(TokenRejected::Expired));
}

async fn a_token_of_other_keys_has_a_bad_signature(issuers: Issuers) {
    assert_eq!(issuers.verify(&token_of(&*issuers.stranger)), Err(TokenRejected::BadSignature));
}

async fn a_token_for_another_service_is_foreign(issuers: Issuers) {
    assert_eq!(issuers.verify(&token_of(&*issuers.elsewhere)), Err(TokenRejected::Foreign));
}

async fn what_is_no_token_is_malformed(issuers: Issuers) {
    for text in ["", ".", "..", "...", "a", "a.b.c", "null", "\u{0}", "🦀.🦀.🦀", &"a".repeat(100_000)]
    {
        assert_eq!(issuers.verify(text), Err(TokenRejected::Malformed), "{text:.20}");
    }
}

async fn a_token_with_any_character_altered_is_refused(issuers: Issuers) {
    let token = token_of(&*issuers.ours);
    issuers.verify(&token).expect("it is valid, and may be remembered");
    for altered in alterations(&token) {
        assert!(issuers.verify(&altered).is_err(), "{altered} was accepted");
    }
}

async fn a_token_that_is_cut_or_extended_is_refused(issuers: Issuers) {
    let token = token_of(&*issuers.ours);
    issuers.verify(&token).expect("it is valid, and may be remembered");
    for altered in cuts_and_extensions(&token) {
        assert!(issuers.verify(&altered).is_err(), "{altered} was accepted");
    }
}

async fn the_public_keys_are_a_key_set(issuers: Issuers) {
    let compact: String = issuers.ours.public_keys().split_whitespace().collect();
    assert!(compact.starts_with('{') && compact.ends_with('}'), "{compact}");
    assert!(compact.contains(r#""keys":["#), "{compact}");
    assert!(!compact.contains(r#""d":"#) && !compact.contains(r#""k":"#), "a key is not public: {compact}");
}
