//! Optimistic locking: a caller names the versions that it knows.

use std::sync::Arc;

use portwright_application::users::UserChange;
use portwright_application::{Committed, UserError};
use portwright_domain::access::Role;
use portwright_domain::user::{User, UserId, Version};
use tokio::task::JoinSet;

use crate::world::{Person, World, name};

fn first_name(text: &str) -> UserChange {
    UserChange { first_name: Some(name(text)), ..UserChange::default() }
}

async fn rename(
    world: &World,
    admin: &Person,
    id: UserId,
    expected: Option<Vec<Version>>,
) -> Result<Committed<User>, UserError> {
    let change = first_name("Augusta");
    world.services.users.change(admin.principal(), id, change, expected).await
}

/// Versions that a user at its first version meets, and versions that it does not.
fn expectations() -> [(Option<Vec<Version>>, bool); 6] {
    [
        (None, true),
        (Some(vec![Version::FIRST]), true),
        (Some(vec![Version(7), Version::FIRST]), true),
        (Some(vec![]), false),
        (Some(vec![Version(2)]), false),
        (Some(vec![Version(0), Version(2), Version(u32::MAX)]), false),
    ]
}

#[tokio::test]
async fn a_change_happens_only_at_a_version_that_was_expected() {
    for (expected, is_met) in expectations() {
        let world = World::new();
        let admin = world.person("root", Role::Admin).await;
        let ada = world.user("ada", Role::User).await;
        let answer = rename(&world, &admin, ada.id, expected.clone()).await;
        let stored = world.stored_user(ada.id).await.expect("ada is there");
        if is_met {
            assert_eq!(answer.expect("changing works").value, stored);
            assert_eq!(stored.version, ada.version.next());
        } else {
            assert!(matches!(answer, Err(UserError::Changed)), "{expected:?}: {answer:?}");
            assert_eq!(stored, ada);
        }
    }
}

#[tokio::test]
async fn a_removal_happens_only_at_a_version_that_was_expected() {
    for (expected, is_met) in expectations() {
        let world = World::new();
        let admin = world.person("root", Role::Admin).await;
        let ada = world.user("ada", Role::User).await;
        let answer = world.services.users.remove(admin.principal(), ada.id, expected.clone()).await;
        assert_eq!(world.stored_user(ada.id).await.is_none(), is_met, "{expected:?}");
        assert!(is_met && answer.is_ok() || matches!(answer, Err(UserError::Changed)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_version_that_is_not_expected_is_told_even_if_nothing_would_change() {
    let world = World::new();
    let admin = world.person("root", Role::Admin).await;
    let ada = world.user("ada", Role::User).await;
    let change = UserChange { first_name: Some(ada.first_name), ..UserChange::default() };
    let expected = Some(vec![Version(2)]);
    let answer = world.services.users.change(admin.principal(), ada.id, change, expected).await;
    assert!(matches!(answer, Err(UserError::Changed)), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_changes_at_once_from_one_version_one_happens() {
    let world = Arc::new(World::new());
    let admin = world.person("root", Role::Admin).await;
    let ada = world.user("ada", Role::User).await.id;
    let mut changes = JoinSet::new();
    for _ in 0..20 {
        let (world, admin) = (world.clone(), admin.clone());
        changes.spawn(async move { rename(&world, &admin, ada, Some(vec![Version::FIRST])).await });
    }
    let answers = changes.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(UserError::Changed))).count(), 19);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_at_once_that_expect_nothing_all_happen() {
    let world = Arc::new(World::new());
    let admin = world.person("root", Role::Admin).await;
    let ada = world.user("ada", Role::User).await.id;
    let mut changes = JoinSet::new();
    for number in 0..20 {
        let (world, admin) = (world.clone(), admin.clone());
        changes.spawn(async move { world.change_by(&admin, ada, first_name(&format!("Ada{number}"))).await });
    }
    for answer in changes.join_all().await {
        answer.expect("changing works");
    }
    assert_eq!(world.stored_user(ada).await.expect("ada is there").version, Version(21));
}
