//! Signing out: at once, and only out of the session that asks.

use portwright_domain::access::Role;

use crate::world::World;

#[tokio::test]
async fn signing_out_refuses_both_tokens_at_once() {
    let world = World::new();
    let phone = world.person("ada", Role::User).await;
    let laptop = world.sign_in("ada").await;
    let ended = world.services.sessions.log_out(phone.principal(), phone.refresh_token()).await;
    assert!(ended.expect("signing out works").is_some());
    world.assert_signed_out(&phone).await;
    assert!(world.is_signed_in(&laptop).await);
}

#[tokio::test]
async fn an_older_token_of_the_same_session_signs_out_as_well() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let later = world.refresh(ada.refresh_token()).await.expect("refreshing works").value;
    let later = world.person_with(later).await;
    let ended = world.services.sessions.log_out(later.principal(), ada.refresh_token()).await;
    assert!(ended.expect("signing out works").is_some());
    world.assert_signed_out(&later).await;
}

#[tokio::test]
async fn the_refresh_token_of_another_session_ends_nothing() {
    let world = World::new();
    let phone = world.person("ada", Role::User).await;
    let laptop = world.sign_in("ada").await;
    let eve = world.person("eve", Role::User).await;
    for token in [laptop.refresh_token(), eve.refresh_token(), phone.access_token(), "", "nonsense"] {
        let ended = world.services.sessions.log_out(phone.principal(), token).await;
        assert!(ended.expect("it is no error").is_none(), "{token}");
    }
    for person in [phone, laptop, eve] {
        assert!(world.is_signed_in(&person).await);
    }
}

#[tokio::test]
async fn signing_out_twice_is_fine() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    for _ in 0..2 {
        world.services.sessions.log_out(ada.principal(), ada.refresh_token()).await.expect("no error");
    }
    world.assert_signed_out(&ada).await;
}
