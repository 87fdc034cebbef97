//! Nothing secret shows in the debug form of anything public, and so in no log.

use std::fmt::Debug;

use portwright_application::users::UserChange;
use portwright_domain::access::Role;

use crate::world::{PASSWORD, POLICY, World, chosen, newcomer, registration, typed};

#[tokio::test]
async fn the_debug_form_of_no_public_type_shows_a_secret() {
    let world = World::new();
    let registration = registration("ada@example.com");
    let registered = world.services.sessions.register(registration.clone()).await.expect("registering works");
    let ada = world.person_with(registered.value.clone()).await;
    let refused = world.try_sign_in("ada", "a wrong one").await;
    let secrets =
        [PASSWORD, "a wrong one", ada.access_token(), ada.refresh_token(), ada.caller.user.password.expose()];
    let public: [&dyn Debug; 9] = [
        &registration,
        &newcomer("eve", Role::User),
        &UserChange::default(),
        &registered,
        &ada.caller,
        &refused,
        &typed(PASSWORD),
        &chosen(PASSWORD),
        &POLICY,
    ];
    for value in public {
        for text in [format!("{value:?}"), format!("{value:#?}")] {
            for secret in secrets {
                assert!(!text.contains(secret), "{text} shows {secret}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_that_is_observed_names_a_person() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    world.try_sign_in("ada", "a wrong one").await.expect_err("refused");
    world.refresh(ada.refresh_token()).await.expect("refreshing works");
    world.refresh(ada.refresh_token()).await.expect_err("reused");
    let observed = world.events.take();
    assert!(observed.len() > 3);
    let id = ada.id().to_string();
    for event in observed {
        assert!(!event.contains("ada") && !event.contains(&id), "{event}");
    }
}
