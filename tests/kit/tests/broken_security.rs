//! The suites of the security ports find adapters that are broken on purpose, by the name of the promise they break.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portwright_domain::PortError;
use portwright_domain::password::{NewPassword, Password};
use portwright_domain::ports::{PasswordHasher, Purpose, Sealer, Verdict};
use portwright_domain::user::PasswordHash;
use portwright_testkit::broken_promises;
use portwright_testkit::contract::security::{Hashers, PASSWORD_HASHER_PROMISES, SEALER_PROMISES, Sealers};

/// Looks sealed, and is only encoded.
#[derive(Default)]
struct Encoded(AtomicU64);

impl Sealer for Encoded {
    fn seal(&self, purpose: Purpose, content: &[u8]) -> String {
        let number = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        URL_SAFE_NO_PAD.encode([&number[..], purpose.as_str().as_bytes(), b"|", content].concat())
    }

    fn open(&self, purpose: Purpose, sealed: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let rest = bytes.get(8..)?.strip_prefix(purpose.as_str().as_bytes())?;
        rest.strip_prefix(b"|").map(<[u8]>::to_vec)
    }
}

#[tokio::test]
async fn a_sealer_that_only_encodes_is_found() {
    async fn fresh() -> Sealers {
        Sealers {
            ours: Arc::new(Encoded::default()),
            double: Arc::new(Encoded::default()),
            stranger: Arc::new(Encoded::default()),
        }
    }
    let broken = broken_promises(SEALER_PROMISES, fresh).await;
    assert_eq!(
        broken,
        [
            "another_key_does_not_open_it",
            "sealed_text_with_any_character_altered_does_not_open",
            "sealed_text_that_is_cut_or_extended_does_not_open",
        ]
    );
}

/// Keeps the first eight letters, as an old system did, and without salt.
struct Truncated;

fn truncated(password: &Password) -> String {
    password.expose().chars().take(8).collect()
}

#[async_trait]
impl PasswordHasher for Truncated {
    fn at_once(&self) -> usize {
        1
    }

    async fn hash(&self, password: &NewPassword) -> Result<PasswordHash, PortError> {
        Ok(PasswordHash::new(truncated(password.as_password())))
    }

    async fn verify(&self, password: &Password, hash: &PasswordHash) -> Result<Verdict, PortError> {
        let matches = truncated(password) == hash.expose();
        Ok(if matches { Verdict::Match } else { Verdict::Mismatch })
    }

    async fn verify_nobody(&self, _: &Password) -> Result<(), PortError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_hasher_that_cuts_passwords_off_is_found() {
    async fn fresh() -> Hashers {
        Hashers { today: Arc::new(Truncated), weaker: Arc::new(Truncated) }
    }
    let broken = broken_promises(PASSWORD_HASHER_PROMISES, fresh).await;
    assert_eq!(
        broken,
        [
            "a_hash_matches_no_other_password",
            "the_same_password_twice_gives_two_hashes",
            "every_byte_of_a_long_password_counts",
            "a_hash_of_weaker_parameters_matches_and_is_outdated",
            "a_hash_of_weaker_parameters_does_not_match_another_password",
            "a_hash_that_does_not_parse_is_corrupt",
        ]
    );
}
