//! Anyone may register, unless registration is closed.

use std::sync::Arc;

use portwright_application::SessionError;
use portwright_domain::access::Role;
use portwright_domain::ports::{Clock, Consistency};
use portwright_domain::user::Version;
use tokio::task::JoinSet;

use crate::world::{World, registration};

#[tokio::test]
async fn who_registers_is_a_user_and_signed_in() {
    let world = World::new();
    let registered = world.services.sessions.register(registration("Ada@Example.com")).await;
    let ada = world.person_with(registered.expect("registering works").value).await;

    let user = &ada.caller.user;
    assert_eq!(user.email.as_str(), "Ada@Example.com");
    assert_eq!((user.role, user.is_active, user.is_email_verified), (Role::User, true, false));
    assert_eq!((user.version, user.last_login), (Version::FIRST, Some(world.clock.now())));
    assert_eq!(ada.tokens.user, *user);
    world.refresh(ada.refresh_token()).await.expect("the refresh token works, too");
}

#[tokio::test]
async fn closed_registration_refuses_without_any_work() {
    let world = World::with(|setup| setup.policy.registration_open = false);
    let refused = world.services.sessions.register(registration("ada@example.com")).await;
    assert!(matches!(refused, Err(SessionError::RegistrationClosed)), "{refused:?}");
    assert_eq!(world.hasher.take_counts(), (0, 0));
    assert!(!world.services.operators.has_users().await.expect("asking works"));
}

#[tokio::test]
async fn an_address_that_is_taken_in_any_spelling_is_refused() {
    let world = World::new();
    let sessions = &world.services.sessions;
    sessions.register(registration("José@Example.com")).await.expect("registering works");
    for spelling in ["José@Example.com", "JOSÉ@EXAMPLE.COM", "jose\u{301}@example.com", "ｊｏｓé@example.com"]
    {
        let refused = sessions.register(registration(spelling)).await;
        assert!(matches!(refused, Err(SessionError::EmailTaken)), "{spelling}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_registrations_of_one_address_at_once_one_succeeds() {
    let world = Arc::new(World::new());
    let mut registrations = JoinSet::new();
    for _ in 0..50 {
        let world = world.clone();
        registrations
            .spawn(async move { world.services.sessions.register(registration("ada@example.com")).await });
    }
    let answers = registrations.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let taken = answers.iter().filter(|answer| matches!(answer, Err(SessionError::EmailTaken)));
    assert_eq!(taken.count(), 49);
}

#[tokio::test]
async fn a_read_that_gives_back_the_proof_of_a_registration_sees_it() {
    let world = World::new();
    let registered = world.services.sessions.register(registration("ada@example.com")).await;
    let registered = registered.expect("registering works");
    let ada = world.person_with(registered.value).await;
    let after = Consistency::After(registered.token);
    let read = world.services.users.get(ada.principal(), ada.id(), after).await;
    let read = read.expect("reading works").value;
    assert_eq!(read.expect("ada is there").id, ada.id());
}
