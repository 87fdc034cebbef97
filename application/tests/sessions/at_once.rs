//! What an admin decides about somebody counts with that person's next call.

use portwright_application::users::UserChange;
use portwright_domain::access::Role;
use portwright_domain::user::User;

use crate::world::{Person, World, name};

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

/// Stores a change of the person past the use case, which would end the session as well.
async fn store_change(world: &World, person: &Person, change: impl FnOnce(User) -> User) {
    let stored = world.stored_user(person.id()).await.expect("the user is there");
    let version = stored.version.next();
    let mut unit = world.unit().await;
    unit.users().update(&User { version, ..change(stored) }).await.expect("updating works");
    unit.commit().await.expect("committing works");
}

#[tokio::test]
async fn a_new_role_counts_at_once_whatever_the_token_was_issued_for() {
    let world = World::new();
    let ada = world.person("ada", Role::Admin).await;
    store_change(&world, &ada, |user| User { role: Role::User, ..user }).await;
    let caller = world.authenticate(ada.access_token()).await.expect("still signed in");
    assert_eq!(caller.principal.role, Role::User);
}

#[tokio::test]
async fn who_is_not_active_is_refused_although_the_session_is_there() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    store_change(&world, &ada, |user| User { is_active: false, ..user }).await;
    assert!(world.session_of(&ada).await.is_some());
    world.assert_signed_out(&ada).await;
}

#[tokio::test]
async fn a_change_of_the_profile_ends_no_session() {
    let world = World::new();
    let admin = world.person("root", Role::Admin).await;
    let ada = world.person("ada", Role::User).await;
    let change = UserChange { first_name: Some(name("Augusta")), ..UserChange::default() };
    world.change_by(&admin, ada.id(), change).await.expect("changing works");
    assert!(world.is_signed_in(&ada).await);
}
