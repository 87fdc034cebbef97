//! What every [`PasswordHasher`] promises.

use std::fmt;
use std::sync::Arc;

use portwright_domain::ErrorKind;
use portwright_domain::password::{NewPassword, Password};
use portwright_domain::ports::{PasswordHasher, Verdict};
use portwright_domain::user::PasswordHash;
use tokio::task::JoinSet;

contract! {
    /// Every promise of [`PasswordHasher`](portwright_domain::ports::PasswordHasher), as a test of its own, given an
    /// async function that makes [`Hashers`](crate::contract::security::Hashers).
    password_hasher_contract => security::PASSWORD_HASHER_PROMISES: Hashers {
        a_hash_matches_its_password,
        a_hash_matches_no_other_password,
        the_same_password_twice_gives_two_hashes,
        every_byte_of_a_long_password_counts,
        a_hash_does_not_show_the_password,
        a_hash_of_weaker_parameters_matches_and_is_outdated,
        a_hash_of_weaker_parameters_does_not_match_another_password,
        a_hash_that_does_not_parse_is_corrupt,
        nobody_is_verified_without_an_error,
        as_many_as_are_hashed_at_once_are_not_refused,
        of_many_at_once_each_is_answered_or_refused,
        a_caller_that_goes_away_does_no_harm,
    }
}

/// A hasher, and one that makes what is stored from the time before the parameters were raised.
pub struct Hashers {
    /// The hasher that is checked, with room for one caller at least.
    pub today: Arc<dyn PasswordHasher>,
    /// One of the same kind with weaker parameters.
    pub weaker: Arc<dyn PasswordHasher>,
}

impl fmt::Debug for Hashers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hashers").finish_non_exhaustive()
    }
}

const PASSWORD: &str = "tango-velvet-harbor-91";
const ANOTHER: &str = "tango-velvet-harbor-92";

fn chosen(password: &str) -> NewPassword {
    NewPassword::parse(password).expect("a valid password")
}

fn typed(password: &str) -> Password {
    Password::typed(password).expect("a valid password")
}

impl Hashers {
    async fn hash(&self, password: &str) -> PasswordHash {
        self.today.hash(&chosen(password)).await.expect("hashing works")
    }

    async fn verify(&self, password: &str, hash: &PasswordHash) -> Verdict {
        self.today.verify(&typed(password), hash).await.expect("verifying works")
    }
}

async fn a_hash_matches_its_password(hashers: Hashers) {
    for password in [PASSWORD, "pässwört 🦀 mit Leerzeichen", &"x".repeat(128)] {
        let hash = hashers.hash(password).await;
        assert_eq!(hashers.verify(password, &hash).await, Verdict::Match, "{password}");
    }
}

async fn a_hash_matches_no_other_password(hashers: Hashers) {
    let hash = hashers.hash(PASSWORD).await;
    for password in
        [ANOTHER, "", "tango", &PASSWORD.to_uppercase(), &format!("{PASSWORD} "), &format!("{PASSWORD}\0")]
    {
        assert_eq!(hashers.verify(password, &hash).await, Verdict::Mismatch, "{password:?}");
    }
}

async fn the_same_password_twice_gives_two_hashes(hashers: Hashers) {
    let (one, other) = (hashers.hash(PASSWORD).await, hashers.hash(PASSWORD).await);
    assert_ne!(one, other);
    assert_eq!(hashers.verify(PASSWORD, &other).await, Verdict::Match);
}

async fn every_byte_of_a_long_password_counts(hashers: Hashers) {
    let long = "🦀".repeat(127);
    let hash = hashers.hash(&format!("{long}a")).await;
    assert_eq!(hashers.verify(&format!("{long}b"), &hash).await, Verdict::Mismatch);
}

async fn a_hash_does_not_show_the_password(hashers: Hashers) {
    assert!(!hashers.hash(PASSWORD).await.expose().contains(PASSWORD));
}

async fn a_hash_of_weaker_parameters_matches_and_is_outdated(hashers: Hashers) {
    let hash = hashers.weaker.hash(&chosen(PASSWORD)).await.expect("hashing works");
    assert_eq!(hashers.verify(PASSWORD, &hash).await, Verdict::MatchOutdated);
}

async fn a_hash_of_weaker_parameters_does_not_match_another_password(hashers: Hashers) {
    let hash = hashers.weaker.hash(&chosen(PASSWORD)).await.expect("hashing works");
    assert_eq!(hashers.verify(ANOTHER, &hash).await, Verdict::Mismatch);
}

async fn a_hash_that_does_not_parse_is_corrupt(hashers: Hashers) {
    let hash = hashers.hash(PASSWORD).await;
    let headless = &hash.expose()[1..];
    for text in ["", "$", "nonsense", PASSWORD, "\u{0}", headless] {
        let verdict = hashers.today.verify(&typed(PASSWORD), &PasswordHash::new(text.to_owned())).await;
        assert_eq!(verdict.expect_err("refused").kind(), ErrorKind::Corrupt, "{text:?}");
    }
}

async fn nobody_is_verified_without_an_error(hashers: Hashers) {
    hashers.today.verify_nobody(&typed(PASSWORD)).await.expect("verifying nobody works");
    hashers.today.verify_nobody(&typed("")).await.expect("verifying nobody works");
}

async fn as_many_as_are_hashed_at_once_are_not_refused(hashers: Hashers) {
    let at_once = hashers.today.at_once();
    assert!(at_once > 0, "it never hashes");
    let mut callers = JoinSet::new();
    for _ in 0..at_once {
        let hasher = Arc::clone(&hashers.today);
        callers.spawn(async move {
            for _ in 0..5 {
                hasher.hash(&chosen(PASSWORD)).await.expect("there is room");
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.expect("no caller is refused");
    }
}

async fn of_many_at_once_each_is_answered_or_refused(hashers: Hashers) {
    let hash = hashers.hash(PASSWORD).await;
    let mut callers = JoinSet::new();
    for _ in 0..200 {
        let (hasher, hash) = (Arc::clone(&hashers.today), hash.clone());
        callers.spawn(async move { hasher.verify(&typed(PASSWORD), &hash).await });
    }
    let mut answered = 0;
    while let Some(caller) = callers.join_next().await {
        match caller.expect("no caller panics") {
            Ok(verdict) => {
                assert_eq!(verdict, Verdict::Match);
                answered += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
    }
    assert!(answered > 0, "nobody was answered");
    assert_eq!(hashers.verify(PASSWORD, &hash).await, Verdict::Match, "and it goes on");
}

async fn a_caller_that_goes_away_does_no_harm(hashers: Hashers) {
    let hash = hashers.hash(PASSWORD).await;
    for _ in 0..100 {
        let password = typed(PASSWORD);
        // Polled once at most: whatever began then is abandoned.
        tokio::select! {
            biased;
            _ = hashers.today.verify(&password, &hash) => {}
            () = std::future::ready(()) => {}
        }
    }
    // Abandoned work may still be finished; a caller who is refused meanwhile comes again.
    loop {
        match hashers.today.verify(&typed(PASSWORD), &hash).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => tokio::task::yield_now().await,
            verdict => break assert_eq!(verdict.expect("verifying works"), Verdict::Match),
        }
    }
}
