//! Changing one's password.

use std::sync::Arc;
use std::time::Duration;

use portwright_application::{Committed, SessionError};
use portwright_domain::access::Role;
use portwright_domain::ports::Clock;
use tokio::task::JoinSet;

use crate::world::{ADDRESS, Gate, PASSWORD, POLICY, Person, World, chosen, typed};

const NEW: &str = "lemon-quartz-anchor-27";
const WRONG: &str = "a wrong one";

async fn change(world: &World, person: &Person, current: &str) -> Result<Committed<()>, SessionError> {
    world.services.sessions.change_password(&person.caller, &typed(current), &chosen(NEW), ADDRESS).await
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions_and_is_a_change() {
    let world = World::new();
    let (phone, laptop) = (world.person("ada", Role::User).await, world.sign_in("ada").await);
    let eve = world.person("eve", Role::User).await;
    let before = world.stored_user(phone.id()).await.expect("ada is there");
    world.clock.advance(Duration::from_mins(1));
    change(&world, &phone, PASSWORD).await.expect("changing works");

    world.assert_signed_out(&laptop).await;
    assert!(world.is_signed_in(&phone).await && world.is_signed_in(&eve).await);
    let after = world.stored_user(phone.id()).await.expect("ada is there");
    assert_eq!((after.version, after.updated_at), (before.version.next(), world.clock.now()));
    assert_eq!(after.last_login, before.last_login);

    let refused = world.try_sign_in("ada", PASSWORD).await;
    assert!(matches!(refused, Err(SessionError::InvalidCredentials)), "{refused:?}");
    world.try_sign_in("ada", NEW).await.expect("the new password signs in");
}

#[tokio::test]
async fn a_wrong_current_password_changes_nothing() {
    let world = World::new();
    let (phone, laptop) = (world.person("ada", Role::User).await, world.sign_in("ada").await);
    let before = world.stored_user(phone.id()).await;
    let refused = change(&world, &phone, WRONG).await;
    assert!(matches!(refused, Err(SessionError::WrongPassword)), "{refused:?}");
    assert_eq!(world.stored_user(phone.id()).await, before);
    assert!(world.is_signed_in(&laptop).await);
}

#[tokio::test]
async fn wrong_current_passwords_count_as_failed_sign_ins() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    for _ in 0..POLICY.login.limit {
        let refused = change(&world, &ada, WRONG).await;
        assert!(matches!(refused, Err(SessionError::WrongPassword)), "{refused:?}");
    }
    let refused = world.try_sign_in_from("198.51.100.1", "ada", PASSWORD).await;
    assert!(matches!(refused, Err(SessionError::TooManyFailures(_))), "{refused:?}");
    world.hasher.take_counts();
    let refused = change(&world, &ada, PASSWORD).await;
    assert!(matches!(refused, Err(SessionError::TooManyFailures(_))), "{refused:?}");
    assert_eq!(world.hasher.take_counts(), (0, 0), "no password is looked at");

    world.clock.advance(POLICY.login.window);
    change(&world, &ada, PASSWORD).await.expect("the window has ended");
}

/// Starts changes of the password, each with its own guess, which all wait while the guess is checked.
async fn changes_held(world: &Arc<World>, guesses: &[(Person, &'static str)]) -> Held {
    let gate = world.hasher.hold();
    let mut changes = JoinSet::new();
    for (person, guess) in guesses {
        let (world, person, guess) = (world.clone(), person.clone(), *guess);
        changes.spawn(async move { change(&world, &person, guess).await });
        gate.arrivals(1).await;
    }
    world.hasher.hold_no_more();
    Held { gate, changes }
}

struct Held {
    gate: Arc<Gate>,
    changes: JoinSet<Result<Committed<()>, SessionError>>,
}

impl Held {
    /// Lets the one that came first go on, and answers what came of it.
    async fn next(&mut self) -> Result<Committed<()>, SessionError> {
        self.gate.pass(1);
        self.changes.join_next().await.expect("one is left").expect("it does not panic")
    }
}

#[tokio::test]
async fn a_right_guess_among_too_many_at_once_is_refused() {
    let world = Arc::new(World::new());
    let ada = world.person("ada", Role::User).await;
    let mut guesses = vec![(ada.clone(), WRONG); POLICY.login.limit as usize];
    guesses.push((ada, PASSWORD));
    let mut held = changes_held(&world, &guesses).await;
    for _ in 0..POLICY.login.limit {
        let refused = held.next().await;
        assert!(matches!(refused, Err(SessionError::WrongPassword)), "{refused:?}");
    }
    let refused = held.next().await;
    assert!(matches!(refused, Err(SessionError::TooManyFailures(_))), "{refused:?}");
}

#[tokio::test]
async fn of_two_changes_at_once_the_second_is_told_that_the_password_is_another() {
    let world = Arc::new(World::new());
    let phone = world.person("ada", Role::User).await;
    let mut held = changes_held(&world, &[(phone.clone(), PASSWORD), (phone, PASSWORD)]).await;
    held.next().await.expect("the first succeeds");
    let refused = held.next().await;
    assert!(matches!(refused, Err(SessionError::WrongPassword)), "{refused:?}");
}

#[tokio::test]
async fn a_session_that_ended_meanwhile_changes_nothing() {
    let world = Arc::new(World::new());
    let phone = world.person("ada", Role::User).await;
    let mut held = changes_held(&world, &[(phone.clone(), PASSWORD)]).await;
    let ended = world.services.sessions.log_out(phone.principal(), phone.refresh_token()).await;
    ended.expect("signing out works");
    let refused = held.next().await;
    assert!(matches!(refused, Err(SessionError::Unauthenticated)), "{refused:?}");
    world.try_sign_in("ada", PASSWORD).await.expect("the password is still the same");
}

#[tokio::test]
async fn a_sign_in_that_replaces_an_outdated_hash_meanwhile_does_not_matter() {
    let world = Arc::new(World::new());
    let phone = world.person("ada", Role::User).await;
    let outdated = world.outdate_hash(phone.id()).await;
    let phone = world.person_with(phone.tokens).await;
    let mut held = changes_held(&world, &[(phone.clone(), PASSWORD)]).await;
    world.sign_in("ada").await;
    assert_ne!(world.stored_user(phone.id()).await.expect("ada is there").password, outdated);
    held.next().await.expect("the current password was right");
}
