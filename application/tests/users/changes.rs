//! What creating, changing and removing a user does, and what it leaves alone.

use std::time::Duration;

use portwright_application::UserError;
use portwright_application::users::{NewUser, UserChange};
use portwright_domain::access::Role;
use portwright_domain::ports::{Clock, Consistency};
use portwright_domain::user::{Email, User, Version};

use crate::world::{PASSWORD, Person, World, email, email_of, name, newcomer};

/// An admin, and ada, who has proved her address and was last changed an hour ago.
async fn world_of_ada() -> (World, Person, User) {
    let world = World::new();
    let admin = world.person("root", Role::Admin).await;
    let ada = world.user("ada", Role::User).await;
    world.clock.advance(Duration::from_hours(1));
    (world, admin, ada)
}

fn to_address(text: &str) -> UserChange {
    UserChange { email: Some(email(text)), ..UserChange::default() }
}

#[tokio::test]
async fn an_admin_creates_users_of_any_role_who_have_not_proved_their_address() {
    let (world, admin, _) = world_of_ada().await;
    for role in Role::ALL {
        let new = NewUser { is_active: false, ..newcomer(role.as_str(), role) };
        let created = world.services.users.create(admin.principal(), new).await.expect("creating works");
        let user = created.value;
        assert_eq!((user.role, user.is_active, user.is_email_verified), (role, false, false));
        assert_eq!((user.created_at, user.updated_at), (world.clock.now(), world.clock.now()));
        assert_eq!((user.version, user.last_login), (Version::FIRST, None));
        let after = Consistency::After(created.token);
        let read = world.services.users.get(admin.principal(), user.id, after).await;
        assert_eq!(read.expect("reading works").value, Some(user));
    }
}

#[tokio::test]
async fn a_created_user_signs_in_with_the_password_given() {
    let (world, admin, _) = world_of_ada().await;
    let new = newcomer("grace", Role::User);
    world.services.users.create(admin.principal(), new).await.expect("creating works");
    world.try_sign_in("grace", PASSWORD).await.expect("signing in works");
}

#[tokio::test]
async fn nobody_is_created_at_an_address_that_is_taken() {
    let (world, admin, _) = world_of_ada().await;
    let new = NewUser { email: email("ADA@example.com"), ..newcomer("eve", Role::User) };
    let refused = world.services.users.create(admin.principal(), new).await;
    assert!(matches!(refused, Err(UserError::EmailTaken)), "{refused:?}");
}

#[tokio::test]
async fn a_change_replaces_what_it_names_and_nothing_else() {
    let (world, admin, ada) = world_of_ada().await;
    let change = UserChange {
        email: Some(email_of("augusta")),
        first_name: Some(name("Augusta")),
        last_name: Some(name("King")),
        role: Some(Role::Moderator),
        is_active: Some(false),
    };
    let changed = world.change_by(&admin, ada.id, change).await.expect("changing works");
    let expected = User {
        email: email_of("augusta"),
        first_name: name("Augusta"),
        last_name: name("King"),
        role: Role::Moderator,
        is_active: false,
        is_email_verified: false,
        updated_at: world.clock.now(),
        version: ada.version.next(),
        ..ada.clone()
    };
    assert_eq!(changed, expected);
    assert_eq!(world.stored_user(ada.id).await, Some(expected.clone()));

    let change = UserChange { last_name: Some(name("Lovelace")), ..UserChange::default() };
    let changed = world.change_by(&admin, ada.id, change).await.expect("changing works");
    assert_eq!(changed, User { last_name: name("Lovelace"), version: Version(3), ..expected });
}

#[tokio::test]
async fn a_change_that_changes_nothing_is_none() {
    let (world, admin, ada) = world_of_ada().await;
    let same = UserChange {
        email: Some(ada.email.clone()),
        first_name: Some(ada.first_name.clone()),
        last_name: Some(ada.last_name.clone()),
        role: Some(ada.role),
        is_active: Some(ada.is_active),
    };
    for change in [UserChange::default(), same] {
        let changed = world.change_by(&admin, ada.id, change).await.expect("it is no error");
        assert_eq!(changed, ada);
        assert_eq!(world.stored_user(ada.id).await.as_ref(), Some(&ada));
    }
}

#[tokio::test]
async fn a_change_that_changes_nothing_ends_no_session() {
    let (world, admin, ada) = world_of_ada().await;
    let signed_in = world.sign_in("ada").await;
    let same = UserChange { role: Some(ada.role), is_active: Some(ada.is_active), ..UserChange::default() };
    world.change_by(&admin, ada.id, same).await.expect("it is no error");
    assert!(world.is_signed_in(&signed_in).await);
}

#[tokio::test]
async fn a_new_address_is_not_verified() {
    let (world, admin, ada) = world_of_ada().await;
    assert!(ada.is_email_verified);
    let changed = world.change_by(&admin, ada.id, to_address("augusta@example.com")).await;
    assert!(!changed.expect("changing works").is_email_verified);
}

#[tokio::test]
async fn another_spelling_of_the_address_stays_verified_and_is_a_change() {
    let (world, admin, ada) = world_of_ada().await;
    let changed = world.change_by(&admin, ada.id, to_address("Ada@Example.com")).await;
    let changed = changed.expect("changing works");
    assert!(changed.is_email_verified);
    assert_eq!(changed.email.as_str(), "Ada@Example.com");
    assert_eq!(changed.version, ada.version.next());
    let stored = world.stored_user(ada.id).await.expect("ada is there");
    assert_eq!(stored.email.as_str(), "Ada@Example.com");
}

#[tokio::test]
async fn an_address_of_somebody_else_is_refused_in_any_spelling() {
    let (world, admin, ada) = world_of_ada().await;
    world.user("grace", Role::User).await;
    let refused = world.change_by(&admin, ada.id, to_address("Grace@Example.com")).await;
    assert!(matches!(refused, Err(UserError::EmailTaken)), "{refused:?}");
    assert_eq!(world.stored_user(ada.id).await, Some(ada));
}

#[tokio::test]
async fn who_has_a_new_address_signs_in_with_it() {
    let (world, admin, ada) = world_of_ada().await;
    world.change_by(&admin, ada.id, to_address("augusta@example.com")).await.expect("changing works");
    world.try_sign_in("augusta", PASSWORD).await.expect("the new address signs in");
    world.try_sign_in("ada", PASSWORD).await.expect_err("the old one does not");
}

#[tokio::test]
async fn a_change_is_seen_by_a_read_that_gives_back_its_proof() {
    let (world, admin, ada) = world_of_ada().await;
    let change = UserChange { first_name: Some(name("Augusta")), ..UserChange::default() };
    let changed = world.services.users.change(admin.principal(), ada.id, change, None).await;
    let changed = changed.expect("changing works");
    let after = Consistency::After(changed.token);
    let read = world.services.users.get(admin.principal(), ada.id, after).await;
    assert_eq!(read.expect("reading works").value, Some(changed.value));
}

#[tokio::test]
async fn what_is_removed_is_gone_and_its_address_is_free() {
    let (world, admin, ada) = world_of_ada().await;
    let users = &world.services.users;
    users.remove(admin.principal(), ada.id, None).await.expect("removing works");
    assert_eq!(world.stored_user(ada.id).await, None);
    let again = users.remove(admin.principal(), ada.id, None).await;
    assert!(matches!(again, Err(UserError::NotFound)), "{again:?}");
    let new = users.create(admin.principal(), newcomer("ada", Role::User)).await;
    let address: Email = new.expect("the address is free").value.email;
    assert_eq!(address, ada.email);
}
