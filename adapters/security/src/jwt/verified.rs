//! [`Verified`]: what tokens say whose signatures were found right before.
//!
//! A public-key signature takes longer to check than all else that is done for a small answer, and a client shows one token
//! with every request of a quarter of an hour. What a text says, and whether our keys have signed it, never changes; so it is
//! found out once. Whether it counts now, by its times and by its session, is asked every time.
//!
//! Tokens are told apart by their digest, and none is kept. Only good ones are remembered, a bounded number of them; those
//! that were not shown for longest are forgotten first.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use portwright_domain::session::Claims;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// So many tokens at least, and at most twice as many: a megabyte or two.
const TOKENS: usize = 8192;

/// Stands for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenDigest([u8; SHA256_OUTPUT_LEN]);

impl TokenDigest {
    /// The digest of a whole token, with its signature.
    pub(super) fn of(token: &str) -> Self {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }
}

/// The claims of tokens that were verified.
#[derive(Default)]
pub(super) struct Verified(Mutex<Generations>);

/// What was shown lately, and what was shown before that.
#[derive(Default)]
struct Generations {
    young: HashMap<TokenDigest, Claims>,
    old: HashMap<TokenDigest, Claims>,
}

impl Verified {
    /// What this token says, if it is remembered.
    pub(super) fn claims(&self, token: &TokenDigest) -> Option<Claims> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = generations.young.get(token) {
            return Some(*claims);
        }
        let claims = generations.old.remove(token)?;
        generations.remember(*token, claims);
        Some(claims)
    }

    /// Remembers a token whose signature is right.
    pub(super) fn remember(&self, token: TokenDigest, claims: Claims) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remember(token, claims);
    }
}

impl Generations {
    fn remember(&mut self, token: TokenDigest, claims: Claims) {
        if self.young.len() >= TOKENS {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(token, claims);
    }
}

#[cfg(test)]
mod tests {
    use portwright_domain::Timestamp;
    use portwright_domain::session::SessionId;
    use portwright_domain::user::UserId;
    use uuid::Uuid;

    use super::*;

    const CLAIMS: Claims = Claims {
        user_id: UserId(Uuid::nil()),
        session_id: SessionId(Uuid::nil()),
        token_id: Uuid::nil(),
        issued_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
    };

    fn token(number: usize) -> TokenDigest {
        TokenDigest::of(&number.to_string())
    }

    #[test]
    fn a_flood_of_tokens_is_forgotten_but_for_those_that_are_shown() {
        let verified = Verified::default();
        for number in 0..10 * TOKENS {
            verified.remember(token(number), CLAIMS);
            assert_eq!(verified.claims(&token(0)), Some(CLAIMS), "it is shown all the time");
        }
        assert_eq!(verified.claims(&token(1)), None);
        assert_eq!(verified.claims(&token(10 * TOKENS - 1)), Some(CLAIMS));
        let generations = verified.0.lock().expect("not poisoned");
        assert!(generations.young.len() <= TOKENS && generations.old.len() <= TOKENS);
    }
}
