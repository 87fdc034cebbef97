//! What an admin decides about somebody counts with that person's next call.

use portwright_application::users::UserChange;
use portwright_domain::access::Role;
use portwright_domain::user::User;

use crate::world::World;

#[tokio::test]
async fn another_role_ends_all_sessions_at_once() {
    let world = World::new();
    let admin = world.person("root", Role::Admin).await;
    let (phone, laptop) = (world.person("ada", Role::User).await, world.sign_in("ada").await);
    let change = UserChange { role: Some(Role::Moderator), ..UserChange::default() };
    world.change_by(&admin, phone.id(), change).await.expect("changing works");
    world.assert_signed_out(&phone).await;
    world.assert_signed_out(&laptop).await;
    assert!(world.is_signed_in(&admin).await);
    assert_eq!(world.sign_in("ada").await.principal().role, Role::Moderator);
}

#[tokio::test]
async fn deactivation_ends_all_sessions_at_once() {
    let world = World::new();
    let admin = world.person("root", Role::Admin).await;
    let (phone, laptop) = (world.person("ada", Role::User).await, world.sign_in("ada").await);
    let change = |is_active| UserChange { is_active: Some(is_active), ..UserChange::default() };
    world.change_by(&admin, phone.id(), change(false)).await.expect("changing works");
    world.assert_signed_out(&phone).await;

    world.change_by(&admin, phone.id(), change(true)).await.expect("changing works");
    world.assert_signed_out(&laptop).await;
    world.sign_in("ada").await;
}

#[tokio::test]
async fn removal_ends_all_sessions_at_once() {
    let world = World::new();
    let admin = world.person("root", Role::Admin).await;
    let (phone, laptop) = (world.person("ada", Role::User).await, world.sign_in("ada").await);
    world.services.users.remove(admin.principal(), phone.id(), None).await.expect("removing works");
    world.assert_signed_out(&phone).await;
    world.assert_signed_out(&laptop).await;
}

#[tokio::test]
async fn a_new_role_counts_at_once_whatever_the_token_was_issued_for() {
    let world = World::new();
    let ada = world.person("ada", Role::Admin).await;
    // Not by the use case, which would end the session as well.
    let stored = world.stored_user(ada.id()).await.expect("ada is there");
    let mut unit = world.unit().await;
    let demoted = User { role: Role::User, version: stored.version.next(), ..stored };
    unit.users().update(&demoted).await.expect("updating works");
    unit.commit().await.expect("committing works");
    let caller = world.authenticate(ada.access_token()).await.expect("still signed in");
    assert_eq!(caller.principal.role, Role::User);
}

#[tokio::test]
async fn a_change_of_the_profile_ends_no_session() {
    let world = World::new();
    let admin = world.person("root", Role::Admin).await;
    let ada = world.person("ada", Role::User).await;
    let change = UserChange { first_name: Some(crate::world::name("Augusta")), ..UserChange::default() };
    world.change_by(&admin, ada.id(), change).await.expect("changing works");
    assert!(world.is_signed_in(&ada).await);
}
