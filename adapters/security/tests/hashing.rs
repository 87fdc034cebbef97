//! Hashing is slow on purpose, and nobody else may notice.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ErrorKind;
use portwright_domain::password::{NewPassword, Password};
use portwright_domain::ports::{PasswordHasher, Verdict};
use portwright_domain::user::PasswordHash;
use portwright_security::{Argon2Hasher, Capacity, Cost};
use tokio::task::JoinSet;
use tokio::time::Instant;

const PASSWORD: &str = "tango-velvet-harbor-91";
const PATIENCE: Duration = Duration::from_secs(30);

fn hasher(cost: Cost, threads: usize, waiting: usize) -> Arc<Argon2Hasher> {
    let capacity = Capacity { threads, waiting, patience: PATIENCE };
    Arc::new(Argon2Hasher::try_new(cost, capacity).expect("the hasher starts"))
}

fn typed() -> Password {
    Password::typed(PASSWORD).expect("valid")
}

async fn hash(hasher: &Argon2Hasher) -> PasswordHash {
    hasher.hash(&NewPassword::parse(PASSWORD).expect("valid")).await.expect("hashing works")
}

async fn verdict(hasher: &Argon2Hasher, hash: &str) -> Result<Verdict, ErrorKind> {
    hasher.verify(&typed(), &PasswordHash::new(hash.to_owned())).await.map_err(|error| error.kind())
}

#[tokio::test]
async fn a_hash_names_the_parameters_that_it_was_made_with() {
    let made = hash(&hasher(Cost::default(), 1, 0)).await;
    assert!(made.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", made.expose());
}

#[tokio::test]
async fn a_hash_of_the_reference_implementation_matches() {
    // Of its own tests: "password" and "somesalt".
    let stored = "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc";
    let cost = Cost { memory_kib: 256, passes: 2, lanes: 2 };
    for (today, expected) in [
        (cost, Verdict::Match),
        (Cost { lanes: 1, ..cost }, Verdict::Match),
        (Cost { passes: 3, ..cost }, Verdict::MatchOutdated),
        (Cost { memory_kib: 257, ..cost }, Verdict::MatchOutdated),
    ] {
        let password = Password::typed("password").expect("valid");
        let verdict = hasher(today, 1, 0).verify(&password, &PasswordHash::new(stored.to_owned())).await;
        assert_eq!(verdict.expect("verifying works"), expected, "{today:?}");
    }
    assert_eq!(verdict(&hasher(cost, 1, 0), stored).await, Ok(Verdict::Mismatch));
}

#[tokio::test]
async fn a_hash_of_stronger_parameters_is_not_outdated() {
    let (weak, strong) =
        (hasher(Cost::NEGLIGIBLE, 1, 0), hasher(Cost { memory_kib: 64, ..Cost::NEGLIGIBLE }, 1, 0));
    assert_eq!(verdict(&weak, hash(&strong).await.expose()).await, Ok(Verdict::Match));
}

#[tokio::test]
async fn a_hash_that_would_cost_more_than_is_ever_spent_is_corrupt() {
    let hasher = hasher(Cost::NEGLIGIBLE, 1, 0);
    let stored = |parameters| {
        format!(
            "$argon2id$v=19${parameters}$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        )
    };
    assert_eq!(verdict(&hasher, &stored("m=64,t=3,p=2")).await, Ok(Verdict::Mismatch));
    for parameters in [
        "m=4294967295,t=1,p=1",
        "m=262145,t=1,p=1",
        "m=64,t=65,p=1",
        "m=64,t=0,p=1",
        "m=64,t=1,p=100",
        "m=,t=1,p=1",
    ] {
        assert_eq!(verdict(&hasher, &stored(parameters)).await, Err(ErrorKind::Corrupt), "{parameters}");
    }
}

#[tokio::test]
async fn memory_of_another_size_is_made_when_a_hash_asks_for_it() {
    let (small, large) =
        (hasher(Cost::NEGLIGIBLE, 1, 0), hasher(Cost { memory_kib: 256, ..Cost::NEGLIGIBLE }, 1, 0));
    let hashes = [hash(&small).await, hash(&large).await];
    for hasher in [&small, &large] {
        for stored in hashes.iter().chain(&hashes) {
            assert_ne!(verdict(hasher, stored.expose()).await, Ok(Verdict::Mismatch));
        }
    }
}

#[tokio::test]
async fn who_comes_while_too_many_wait_is_refused_at_once() {
    // Slow enough that nobody is done before the last one has come.
    let slow = hasher(Cost { memory_kib: 16 * 1024, passes: 8, lanes: 1 }, 1, 2);
    let stored = hash(&slow).await;
    let mut callers = JoinSet::new();
    for _ in 0..10 {
        let (slow, stored) = (Arc::clone(&slow), stored.clone());
        callers.spawn(async move { verdict(&slow, stored.expose()).await });
    }
    let answers = callers.join_all().await;
    let refused = answers.iter().filter(|answer| **answer == Err(ErrorKind::Unavailable)).count();
    let matched = answers.iter().filter(|answer| **answer == Ok(Verdict::Match)).count();
    assert_eq!((matched, refused), (3, 7), "{answers:?}");
}

#[tokio::test]
async fn verifying_nobody_takes_as_long_as_verifying_somebody() {
    let hasher = hasher(Cost { memory_kib: 16 * 1024, passes: 4, lanes: 1 }, 1, 0);
    let stored = hash(&hasher).await;
    // The quickest of five is the one that nothing else held up.
    let (mut somebody, mut nobody) = (Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        let began = Instant::now();
        verdict(&hasher, stored.expose()).await.expect("verifying works");
        somebody = somebody.min(began.elapsed());
        let began = Instant::now();
        hasher.verify_nobody(&typed()).await.expect("verifying nobody works");
        nobody = nobody.min(began.elapsed());
    }
    assert!(nobody < 3 * somebody && somebody < 3 * nobody, "{nobody:?} and {somebody:?}");
}

#[tokio::test]
async fn the_threads_that_serve_go_on_while_passwords_are_hashed() {
    // One thread serves everything here: if hashing held it up, nothing else would run meanwhile.
    let slow = hasher(Cost { memory_kib: 16 * 1024, passes: 16, lanes: 1 }, 2, 8);
    let stored = hash(&slow).await;
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let (slow, stored) = (Arc::clone(&slow), stored.clone());
        callers.spawn(async move { verdict(&slow, stored.expose()).await });
    }
    let (began, mut turns) = (Instant::now(), 0_u32);
    while callers.try_join_next().is_none() {
        tokio::task::yield_now().await;
        turns += 1;
        assert!(began.elapsed() < PATIENCE, "nobody is answered");
    }
    assert!(turns > 100, "only {turns} turns while a password was hashed");
}

#[tokio::test]
async fn an_impossible_configuration_is_refused() {
    let capacity = Capacity::default();
    for (cost, capacity) in [
        (Cost { memory_kib: 7, ..Cost::NEGLIGIBLE }, capacity),
        (Cost { memory_kib: Cost::MAX_MEMORY_KIB + 1, ..Cost::NEGLIGIBLE }, capacity),
        (Cost { passes: 0, ..Cost::NEGLIGIBLE }, capacity),
        (Cost { passes: Cost::MAX_PASSES + 1, ..Cost::NEGLIGIBLE }, capacity),
        (Cost { lanes: 0, ..Cost::NEGLIGIBLE }, capacity),
        (Cost::NEGLIGIBLE, Capacity { threads: 0, ..capacity }),
    ] {
        let error = Argon2Hasher::try_new(cost, capacity).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    }
}
