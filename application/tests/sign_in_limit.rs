//! How often somebody may be wrong about a password.

use std::sync::Arc;
use std::time::Duration;

use portwright_application::{Committed, SessionError, SignedIn};
use portwright_domain::access::Role;
use portwright_domain::mock::MockRateLimiter;
use portwright_domain::ports::{Decision, Event};
use portwright_domain::{ErrorKind, PortError};
use tokio::task::JoinSet;

use crate::world::{ADDRESS, PASSWORD, POLICY, World, typed};

type Answer = Result<Committed<SignedIn>, SessionError>;

const LIMIT: u32 = POLICY.login.limit;
const WRONG: &str = "a wrong one";

/// The address of this number.
fn from(number: u32) -> String {
    format!("198.51.100.{number}")
}

fn assert_wrong(answer: &Answer) {
    assert!(matches!(answer, Err(SessionError::InvalidCredentials)), "{answer:?}");
}

fn assert_exhausted(answer: &Answer) {
    assert!(matches!(answer, Err(SessionError::TooManyFailures(_))), "{answer:?}");
}

/// Uses up what an account has, each time from another address.
async fn exhaust_account(world: &World, name: &str) {
    for number in 0..LIMIT {
        assert_wrong(&world.try_sign_in_from(&from(number), name, WRONG).await);
    }
}

/// Uses up what [`ADDRESS`] has, each time at another account.
async fn exhaust_address(world: &World) {
    for number in 0..LIMIT {
        assert_wrong(&world.try_sign_in(&format!("nobody{number}"), WRONG).await);
    }
}

#[tokio::test]
async fn an_account_has_ten_failures_wherever_they_come_from() {
    let world = World::new();
    world.user("ada", Role::User).await;
    world.user("bob", Role::User).await;
    exhaust_account(&world, "ada").await;
    assert_exhausted(&world.try_sign_in_from(&from(200), "ada", WRONG).await);
    world.try_sign_in_from(&from(200), "bob", PASSWORD).await.expect("another account is not concerned");
    let refused = Event::LimitChecked { policy: "login-account", allowed: false };
    assert_eq!(world.events.count(&refused), 1);
}

#[tokio::test]
async fn an_address_has_ten_failures_whichever_account_they_are_about() {
    let world = World::new();
    world.user("ada", Role::User).await;
    exhaust_address(&world).await;
    assert_exhausted(&world.try_sign_in("ada", WRONG).await);
    assert_exhausted(&world.try_sign_in("ada", PASSWORD).await);
    world.try_sign_in_from(&from(200), "ada", PASSWORD).await.expect("another address is not concerned");
}

#[tokio::test]
async fn successes_do_not_count() {
    let world = World::new();
    world.user("ada", Role::User).await;
    for _ in 0..3 * LIMIT {
        world.try_sign_in("ada", PASSWORD).await.expect("signing in works");
    }
    assert_wrong(&world.try_sign_in("ada", WRONG).await);
}

#[tokio::test]
async fn a_success_gives_no_failure_back() {
    let world = World::new();
    world.user("ada", Role::User).await;
    for _ in 1..LIMIT {
        assert_wrong(&world.try_sign_in("ada", WRONG).await);
    }
    world.try_sign_in("ada", PASSWORD).await.expect("one failure is left");
    assert_wrong(&world.try_sign_in("ada", WRONG).await);
    assert_exhausted(&world.try_sign_in("ada", PASSWORD).await);
}

#[tokio::test]
async fn while_the_limit_is_used_up_no_password_is_looked_at() {
    let world = World::new();
    world.user("ada", Role::User).await;
    exhaust_account(&world, "ada").await;
    world.hasher.take_counts();
    assert_exhausted(&world.try_sign_in_from(&from(200), "ada", PASSWORD).await);
    assert_eq!(world.hasher.take_counts(), (0, 0));
}

#[tokio::test]
async fn an_account_that_does_not_exist_is_counted_alike() {
    let world = World::new();
    exhaust_account(&world, "nobody").await;
    assert_exhausted(&world.try_sign_in_from(&from(200), "nobody", WRONG).await);
}

#[tokio::test]
async fn all_spellings_of_an_address_are_one_account() {
    let world = World::new();
    world.user("ada", Role::User).await;
    let spellings = ["ada@example.com", "Ada@Example.Com", "ａｄａ@example.com", "ADA@ＥＸＡＭＰＬＥ.com"];
    for (number, email) in (0..LIMIT).zip(spellings.into_iter().cycle()) {
        assert_wrong(&world.services.sessions.log_in(email, &typed(WRONG), &from(number)).await);
    }
    assert_exhausted(&world.try_sign_in_from(&from(200), "ada", PASSWORD).await);
}

#[tokio::test]
async fn a_text_that_is_too_long_for_an_address_counts_for_where_it_comes_from() {
    let world = World::new();
    let long = format!("{}@example.com", "x".repeat(300));
    for _ in 0..LIMIT {
        assert_wrong(&world.services.sessions.log_in(&long, &typed(WRONG), ADDRESS).await);
    }
    assert_exhausted(&world.services.sessions.log_in(&long, &typed(WRONG), ADDRESS).await);
    assert_wrong(&world.services.sessions.log_in(&long, &typed(WRONG), &from(200)).await);
}

#[tokio::test]
async fn the_window_begins_with_the_first_failure_and_its_end_frees_all() {
    let world = World::new();
    world.user("ada", Role::User).await;
    assert_wrong(&world.try_sign_in("ada", WRONG).await);
    world.clock.advance(Duration::from_secs(50));
    for _ in 1..LIMIT {
        assert_wrong(&world.try_sign_in("ada", WRONG).await);
    }
    let answer = world.try_sign_in("ada", PASSWORD).await;
    let Err(SessionError::TooManyFailures(after)) = answer else { panic!("{answer:?}") };
    assert_eq!(after, POLICY.login.window - Duration::from_secs(50));

    world.clock.advance(after - Duration::from_micros(1));
    assert_exhausted(&world.try_sign_in("ada", PASSWORD).await);
    world.clock.advance(Duration::from_micros(1));
    world.try_sign_in("ada", PASSWORD).await.expect("the window has ended");
}

/// Makes a hundred guesses that are all being checked before the first failure is counted.
async fn a_hundred_at_once(world: &Arc<World>, guess: impl Fn(u32) -> (String, String)) -> Vec<Answer> {
    let gate = world.hasher.hold();
    let mut guesses = JoinSet::new();
    for number in 0..100 {
        let (world, (address, name)) = (world.clone(), guess(number));
        guesses.spawn(async move { world.try_sign_in_from(&address, &name, WRONG).await });
    }
    gate.arrivals(100).await;
    gate.pass(100);
    guesses.join_all().await
}

fn assert_only_ten_are_told(answers: &[Answer]) {
    let told = answers.iter().filter(|answer| matches!(answer, Err(SessionError::InvalidCredentials)));
    assert_eq!(told.count(), 10);
    let exhausted = answers.iter().filter(|answer| matches!(answer, Err(SessionError::TooManyFailures(_))));
    assert_eq!(exhausted.count(), 90);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_guesses_at_once_ten_are_told_that_they_were_wrong() {
    let world = Arc::new(World::new());
    world.user("ada", Role::User).await;
    let one_address = |_| (ADDRESS.to_owned(), "ada".to_owned());
    assert_only_ten_are_told(&a_hundred_at_once(&world, one_address).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_guesses_at_once_from_many_addresses_ten_are_told_that_they_were_wrong() {
    let world = Arc::new(World::new());
    world.user("ada", Role::User).await;
    let many_addresses = |number| (from(number), "ada".to_owned());
    assert_only_ten_are_told(&a_hundred_at_once(&world, many_addresses).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_guesses_at_once_at_many_accounts_ten_are_told_that_they_were_wrong() {
    let world = Arc::new(World::new());
    let many_accounts = |number| (ADDRESS.to_owned(), format!("nobody{number}"));
    assert_only_ten_are_told(&a_hundred_at_once(&world, many_accounts).await);
}

#[tokio::test]
async fn a_right_guess_among_too_many_at_once_is_refused() {
    let world = Arc::new(World::new());
    world.user("ada", Role::User).await;
    let gate = world.hasher.hold();
    let mut guess = JoinSet::new();
    let same_world = world.clone();
    guess.spawn(async move { same_world.try_sign_in("ada", PASSWORD).await });
    gate.arrivals(1).await;
    world.hasher.hold_no_more();
    exhaust_account(&world, "ada").await;
    gate.pass(1);
    assert_exhausted(&guess.join_all().await[0]);
}

#[tokio::test]
async fn a_limiter_that_is_away_locks_nobody_out() {
    let away = || Err(PortError::new(ErrorKind::Unavailable, "limiter", "connection refused"));
    let mut limiter = MockRateLimiter::new();
    limiter.expect_peek().returning(move |_, _| away());
    limiter.expect_take().returning(move |_, _| away());
    let world = World::with(|setup| setup.limiter = Arc::new(limiter));
    world.user("ada", Role::User).await;
    for _ in 0..=LIMIT {
        assert_wrong(&world.try_sign_in("ada", WRONG).await);
    }
    world.try_sign_in("ada", PASSWORD).await.expect("signing in works");
}

#[tokio::test]
async fn an_address_that_is_used_up_takes_nothing_from_the_account() {
    let decision = |allowed| Decision { allowed, remaining: 0, reset_after: Duration::from_secs(9) };
    let mut limiter = MockRateLimiter::new();
    limiter.expect_peek().returning(move |_, _| Ok(decision(true)));
    // Others were faster while the password was checked. A take of the account would fail this test.
    limiter
        .expect_take()
        .withf(|key, _| key.policy == "login-address")
        .times(1)
        .returning(move |_, _| Ok(decision(false)));
    let world = World::with(|setup| setup.limiter = Arc::new(limiter));
    world.user("ada", Role::User).await;
    let answer = world.try_sign_in("ada", WRONG).await;
    let told = matches!(answer, Err(SessionError::TooManyFailures(after)) if after == Duration::from_secs(9));
    assert!(told, "{answer:?}");
}
