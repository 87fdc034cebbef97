//! Signing in, and what a failed attempt learns: nothing.

use std::sync::Arc;
use std::time::Duration;

use portwright_application::SessionError;
use portwright_domain::access::Role;
use portwright_domain::mock::{MockReadView, MockSessionQueries, MockStore};
use portwright_domain::ports::{AccessToken, Clock, Consistency, Event, TokenIssuer};
use portwright_domain::session::{Claims, SessionId};
use portwright_domain::user::{User, UserId};
use portwright_domain::{ErrorKind, PortError};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::world::{ADDRESS, PASSWORD, POLICY, World, chosen, email_of, typed};

#[tokio::test]
async fn any_spelling_of_the_address_signs_in() {
    let world = World::new();
    let ada = world.user("ada", Role::User).await;
    for spelling in ["ada@example.com", "ADA@Example.COM", "ａｄａ@example.com"] {
        let signed_in = world.services.sessions.log_in(spelling, &typed(PASSWORD), ADDRESS).await;
        assert_eq!(signed_in.expect("signing in works").value.user.id, ada.id, "{spelling}");
    }
    assert_eq!(world.events.count(&Event::SignedIn), 3);
}

#[tokio::test]
async fn every_failed_attempt_gets_the_same_answer_for_the_same_work() {
    let world = World::new();
    world.user("ada", Role::User).await;
    world.user("idle", Role::User).await;
    world.services.operators.set_active(&email_of("idle"), false).await.expect("deactivating works");

    let attempts = [
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
        (&*format!("{}@example.com", "x".repeat(300)), PASSWORD),
        ("ada@example.com", "a wrong one"),
        ("ada@example.com", ""),
        ("idle@example.com", PASSWORD),
        ("idle@example.com", "a wrong one"),
    ];
    for (email, password) in attempts {
        world.hasher.take_counts();
        world.events.take();
        let refused = world.services.sessions.log_in(email, &typed(password), ADDRESS).await;
        assert!(matches!(refused, Err(SessionError::InvalidCredentials)), "{email}: {refused:?}");
        assert_eq!(world.hasher.take_counts(), (0, 1), "{email}");
        assert_eq!(world.events.count(&Event::SignInRefused), 1, "{email}");
    }
}

#[tokio::test]
async fn a_sign_in_is_remembered_and_is_no_change() {
    let world = World::new();
    let before = world.user("ada", Role::User).await;
    world.clock.advance(Duration::from_hours(1));
    let signed_in = world.sign_in("ada").await.tokens.user;

    let after = world.stored_user(before.id).await.expect("ada is there");
    assert_eq!(after, User { last_login: Some(world.clock.now()), ..before });
    assert_eq!(signed_in, after);
}

#[tokio::test]
async fn an_access_token_is_valid_for_as_long_as_was_said() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    assert_eq!(ada.tokens.expires_in, POLICY.access_ttl);
    world.clock.advance(POLICY.access_ttl - Duration::from_micros(1));
    world.authenticate(ada.access_token()).await.expect("still valid");
    world.clock.advance(Duration::from_micros(1));
    let refused = world.authenticate(ada.access_token()).await;
    assert!(matches!(refused, Err(SessionError::Unauthenticated)), "{refused:?}");
    assert!(world.session_of(&ada).await.is_some(), "the session goes on");
}

/// A token that is signed as ours are, and says this.
fn forged(world: &World, user_id: UserId, session_id: SessionId) -> AccessToken {
    let issued_at = world.clock.now();
    let expires_at = issued_at.plus(POLICY.access_ttl);
    let claims = Claims { user_id, session_id, token_id: Uuid::nil(), issued_at, expires_at };
    world.tokens.issue(&claims).expect("issuing works")
}

#[tokio::test]
async fn who_signs_in_or_is_signed_in_is_decided_by_the_newest_state() {
    for trouble in [ErrorKind::Contended, ErrorKind::Corrupt] {
        let mut store = MockStore::new();
        // Any other read would fail this test.
        store
            .expect_read()
            .withf(|freshness| *freshness == Consistency::Strong)
            .times(2)
            .returning(move |_| Err(PortError::new(trouble, "store.read", "on cue")));
        let world = World::with(|setup| setup.store = Arc::new(store));
        let refused = world.try_sign_in("ada", PASSWORD).await;
        assert!(matches!(refused, Err(SessionError::Port(_))), "{refused:?}");
        let token = forged(&world, UserId(Uuid::nil()), SessionId(Uuid::nil()));
        let refused = world.authenticate(token.expose()).await;
        assert!(matches!(refused, Err(SessionError::Port(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn while_nobody_knows_the_newest_state_who_is_signed_in_stays_so_and_nobody_signs_in() {
    let mut store = MockStore::new();
    // Both ask for the newest state first, and one of them for any then.
    for (asked, times) in [(Consistency::Strong, 2), (Consistency::Eventual, 1)] {
        store
            .expect_read()
            .withf(move |freshness| *freshness == asked)
            .times(times)
            .returning(|_| Err(PortError::new(ErrorKind::Unavailable, "store.read", "the primary is away")));
    }
    let world = World::with(|setup| setup.store = Arc::new(store));
    let refused = world.try_sign_in("ada", PASSWORD).await;
    assert!(matches!(refused, Err(SessionError::Port(_))), "{refused:?}");
    let token = forged(&world, UserId(Uuid::nil()), SessionId(Uuid::nil()));
    let refused = world.authenticate(token.expose()).await;
    assert!(matches!(refused, Err(SessionError::Port(_))), "nobody answers at all: {refused:?}");
}

#[tokio::test]
async fn a_session_that_only_the_newest_state_may_know_is_not_refused_while_nobody_knows_that() {
    let mut store = MockStore::new();
    store.expect_read().returning(|asked| {
        if asked == Consistency::Strong {
            return Err(PortError::new(ErrorKind::Unavailable, "store.read", "the primary is away"));
        }
        let mut behind = MockSessionQueries::new();
        behind.expect_find_with_user().returning(|_| Ok(None));
        let mut view = MockReadView::new();
        view.expect_sessions().return_var(Box::new(behind));
        Ok(Box::new(view))
    });
    let world = World::with(|setup| setup.store = Arc::new(store));
    let token = forged(&world, UserId(Uuid::nil()), SessionId(Uuid::nil()));
    let refused = world.authenticate(token.expose()).await;
    assert!(matches!(refused, Err(SessionError::Port(_))), "whoever signed in just now is: {refused:?}");
}

#[tokio::test]
async fn a_token_that_names_the_session_of_another_user_is_refused() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let eve = world.person("eve", Role::User).await;
    let token = forged(&world, eve.id(), ada.principal().session_id);
    let refused = world.authenticate(token.expose()).await;
    assert!(matches!(refused, Err(SessionError::Unauthenticated)), "{refused:?}");
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    for token in ["", "nonsense", ada.refresh_token()] {
        let refused = world.authenticate(token).await;
        assert!(matches!(refused, Err(SessionError::Unauthenticated)), "{token}: {refused:?}");
    }
}

#[tokio::test]
async fn a_sign_in_forgets_sessions_that_have_expired() {
    let world = World::new();
    let old = world.person("ada", Role::User).await;
    world.clock.advance(POLICY.session.idle);
    let new = world.sign_in("ada").await;
    assert!(world.session_of(&old).await.is_none());
    assert!(world.session_of(&new).await.is_some());
}

/// A world and its only user, whose hash is from before the parameters were raised.
async fn world_of_an_outdated_hash() -> (World, User) {
    let world = World::new();
    let user = world.user("ada", Role::User).await;
    world.outdate_hash(user.id).await;
    world.hasher.take_counts();
    let user = world.stored_user(user.id).await.expect("ada is there");
    (world, user)
}

#[tokio::test]
async fn an_outdated_hash_is_replaced_which_is_no_change() {
    let (world, before) = world_of_an_outdated_hash().await;
    world.sign_in("ada").await;
    assert_eq!(world.hasher.take_counts(), (1, 1));

    let after = world.stored_user(before.id).await.expect("ada is there");
    assert_ne!(after.password, before.password);
    assert_eq!((after.version, after.updated_at), (before.version, before.updated_at));
    world.sign_in("ada").await;
    assert_eq!(world.hasher.take_counts(), (0, 1), "it is not outdated any more");
}

#[tokio::test]
async fn a_wrong_password_replaces_no_hash() {
    let (world, before) = world_of_an_outdated_hash().await;
    let refused = world.try_sign_in("ada", "a wrong one").await;
    assert!(matches!(refused, Err(SessionError::InvalidCredentials)), "{refused:?}");
    assert_eq!(world.stored_user(before.id).await, Some(before));
}

#[tokio::test]
async fn a_hasher_that_is_too_busy_to_replace_an_outdated_hash_refuses_nobody() {
    let (world, before) = world_of_an_outdated_hash().await;
    world.hasher.refuse_to_hash();
    world.sign_in("ada").await;
    assert_eq!(world.stored_user(before.id).await.expect("ada is there").password, before.password);
}

#[tokio::test]
async fn sign_ins_at_once_all_replace_an_outdated_hash() {
    let (world, _) = world_of_an_outdated_hash().await;
    let world = Arc::new(world);
    let gate = world.hasher.hold();
    let mut sign_ins = JoinSet::new();
    for _ in 0..5 {
        let world = world.clone();
        sign_ins.spawn(async move { world.try_sign_in("ada", PASSWORD).await });
    }
    gate.arrivals(5).await;
    gate.pass(5);
    for answer in sign_ins.join_all().await {
        answer.expect("the password was right");
    }
}

/// What happens to the account while its password is being checked.
async fn sign_in_meanwhile(happens: impl AsyncFnOnce(&World)) -> Result<(), SessionError> {
    let world = Arc::new(World::new());
    world.user("root", Role::Admin).await;
    world.user("ada", Role::Admin).await;
    let gate = world.hasher.hold();
    let mut sign_in = JoinSet::new();
    let same_world = world.clone();
    sign_in.spawn(async move { same_world.try_sign_in("ada", PASSWORD).await });
    gate.arrivals(1).await;
    world.hasher.hold_no_more();
    happens(&world).await;
    gate.pass(1);
    sign_in.join_all().await.remove(0).map(drop)
}

#[tokio::test]
async fn a_password_that_changed_while_it_was_checked_does_not_sign_in() {
    let answer = sign_in_meanwhile(async |world| {
        let new = chosen("lemon-quartz-anchor-27");
        world.services.operators.set_password(&email_of("ada"), &new).await.expect("setting works");
    });
    let answer = answer.await;
    assert!(matches!(answer, Err(SessionError::InvalidCredentials)), "{answer:?}");
}

#[tokio::test]
async fn an_account_that_was_deactivated_while_its_password_was_checked_does_not_sign_in() {
    let answer = sign_in_meanwhile(async |world| {
        world.services.operators.set_active(&email_of("ada"), false).await.expect("deactivating works");
    });
    let answer = answer.await;
    assert!(matches!(answer, Err(SessionError::InvalidCredentials)), "{answer:?}");
}

#[tokio::test]
async fn an_account_that_was_removed_while_its_password_was_checked_does_not_sign_in() {
    let answer = sign_in_meanwhile(async |world| {
        let root = world.sign_in("root").await;
        let ada = world.services.operators.list(None).await.expect("listing works").0;
        let ada = ada.iter().find(|user| user.email == email_of("ada")).expect("ada is there").id;
        world.services.users.remove(root.principal(), ada, None).await.expect("removing works");
    });
    let answer = answer.await;
    assert!(matches!(answer, Err(SessionError::InvalidCredentials)), "{answer:?}");
}

#[tokio::test]
async fn a_change_of_the_profile_while_the_password_was_checked_does_not_matter() {
    let answer = sign_in_meanwhile(async |world| {
        world.services.operators.set_role(&email_of("ada"), Role::User).await.expect("changing works");
    });
    answer.await.expect("the password is still the same");
}
