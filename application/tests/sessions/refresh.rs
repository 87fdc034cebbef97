//! Refresh tokens: each is used once, and using one again ends its session.

use std::sync::Arc;
use std::time::Duration;

use portwright_application::SessionError;
use portwright_domain::access::Role;
use portwright_domain::ports::{Clock, Event, Purpose, Sealer};
use portwright_domain::session::{Generation, SessionId};
use portwright_testkit::builders::{a_session_of, a_user};
use tokio::task::JoinSet;

use crate::world::{POLICY, Person, World};

async fn assert_refused(world: &World, token: &str) {
    let refused = world.refresh(token).await;
    assert!(matches!(refused, Err(SessionError::Unauthenticated)), "{token}: {refused:?}");
}

/// The person after a refresh.
async fn refreshed(world: &World, person: &Person) -> Person {
    let tokens = world.refresh(person.refresh_token()).await.expect("refreshing works").value;
    world.person_with(tokens).await
}

#[tokio::test]
async fn a_refresh_answers_a_new_pair_for_the_same_session() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    world.clock.advance(POLICY.access_ttl);
    let later = refreshed(&world, &ada).await;
    assert_eq!(later.principal(), ada.principal());
    assert_ne!(later.access_token(), ada.access_token());
    assert_ne!(later.refresh_token(), ada.refresh_token());
    refreshed(&world, &later).await;
    assert_eq!(world.events.count(&Event::RefreshReused), 0);
}

#[tokio::test]
async fn using_a_token_again_right_after_the_rotation_ends_the_session() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let later = refreshed(&world, &ada).await;
    assert_refused(&world, ada.refresh_token()).await;
    assert_eq!(world.events.count(&Event::RefreshReused), 1);
    world.assert_signed_out(&later).await;
}

#[tokio::test]
async fn using_the_first_token_again_after_many_rotations_ends_the_session() {
    let world = World::new();
    let first = world.person("ada", Role::User).await;
    let mut last = first.clone();
    for _ in 0..5 {
        last = refreshed(&world, &last).await;
    }
    assert_refused(&world, first.refresh_token()).await;
    world.assert_signed_out(&last).await;
}

#[tokio::test]
async fn using_a_token_again_leaves_other_sessions_alone() {
    let world = World::new();
    let phone = world.person("ada", Role::User).await;
    let laptop = world.sign_in("ada").await;
    refreshed(&world, &phone).await;
    assert_refused(&world, phone.refresh_token()).await;
    assert!(world.is_signed_in(&laptop).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_refreshes_at_once_with_one_token_one_succeeds_and_the_session_ends() {
    let world = Arc::new(World::new());
    let ada = world.person("ada", Role::User).await;
    let mut refreshes = JoinSet::new();
    for _ in 0..100 {
        let (world, token) = (world.clone(), ada.refresh_token().to_owned());
        refreshes.spawn(async move { world.refresh(&token).await });
    }
    let answers = refreshes.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let refused = answers.iter().filter(|answer| matches!(answer, Err(SessionError::Unauthenticated)));
    assert_eq!(refused.count(), 99);
    assert!(world.session_of(&ada).await.is_none());
}

#[tokio::test]
async fn a_session_that_is_not_refreshed_in_time_ends() {
    let world = World::new();
    let (late, early) = (world.person("late", Role::User).await, world.person("early", Role::User).await);
    world.clock.advance(POLICY.session.idle - Duration::from_micros(1));
    refreshed(&world, &early).await;
    world.clock.advance(Duration::from_micros(1));
    assert_refused(&world, late.refresh_token()).await;
    assert!(world.session_of(&late).await.is_none(), "it is forgotten");
    assert!(world.session_of(&early).await.is_some());
}

#[tokio::test]
async fn an_access_token_ends_with_its_session() {
    let idle = Duration::from_mins(5);
    let world = World::with(|setup| setup.policy.session.idle = idle);
    let ada = world.person("ada", Role::User).await;
    world.clock.advance(idle);
    assert!(idle < POLICY.access_ttl);
    let refused = world.authenticate(ada.access_token()).await;
    assert!(matches!(refused, Err(SessionError::Unauthenticated)), "{refused:?}");
}

#[tokio::test]
async fn a_session_ends_at_its_absolute_limit_however_often_it_is_refreshed() {
    let world = World::new();
    let begin = world.clock.now();
    let mut ada = world.person("ada", Role::User).await;
    let end = begin.plus(POLICY.session.absolute);
    while world.clock.now().plus(POLICY.session.idle) < end {
        world.clock.advance(POLICY.session.idle / 2);
        ada = refreshed(&world, &ada).await;
    }
    assert_eq!(world.session_of(&ada).await.expect("it goes on").expires_at, end);
    world.clock.set(end.minus(Duration::from_micros(1)));
    ada = refreshed(&world, &ada).await;
    world.clock.set(end);
    world.assert_signed_out(&ada).await;
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused_and_ends_nothing() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let id = ada.principal().session_id.0;
    let content = [&id.as_bytes()[..], &1_u32.to_be_bytes()].concat();
    let sealed = |purpose, content: &[u8]| world.sealer.seal(purpose, content);
    let tokens = [
        String::new(),
        "nonsense".to_owned(),
        id.to_string(),
        ada.access_token().to_owned(),
        format!("{}x", ada.refresh_token()),
        sealed(Purpose::Cursor, &content),
        sealed(Purpose::RefreshToken, b""),
        sealed(Purpose::RefreshToken, &content[..19]),
        sealed(Purpose::RefreshToken, &[&content[..], b"x"].concat()),
    ];
    for token in tokens {
        assert_refused(&world, &token).await;
        assert!(world.is_signed_in(&ada).await, "{token}");
    }
    assert_eq!(world.events.count(&Event::RefreshReused), 0);
    refreshed(&world, &ada).await;
}

fn refresh_token(world: &World, session: SessionId, generation: Generation) -> String {
    let content = [&session.0.as_bytes()[..], &generation.0.to_be_bytes()].concat();
    world.sealer.seal(Purpose::RefreshToken, &content)
}

#[tokio::test]
async fn a_token_of_a_session_that_never_was_is_refused() {
    let world = World::new();
    let session = a_session_of(&a_user().build()).build();
    assert_refused(&world, &refresh_token(&world, session.id, session.generation)).await;
}

#[tokio::test]
async fn a_session_of_somebody_inactive_ends_when_it_is_used() {
    let world = World::new();
    let user = a_user().inactive().build();
    let session = a_session_of(&user).build();
    let mut unit = world.unit().await;
    unit.users().insert(&user).await.expect("inserting works");
    unit.sessions().insert(&session).await.expect("inserting works");
    unit.commit().await.expect("committing works");

    assert_refused(&world, &refresh_token(&world, session.id, session.generation)).await;
    assert!(world.stored_session(session.id).await.is_none());
}
