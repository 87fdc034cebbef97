//! Somebody must be left who can administer.

use std::sync::Arc;

use portwright_application::UserError;
use portwright_application::users::UserChange;
use portwright_domain::access::Role;
use portwright_domain::user::UserId;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::world::{Person, World, name};

/// The ways in which an admin stops being one.
#[derive(Debug, Clone, Copy)]
enum Way {
    Demoted,
    Deactivated,
    Removed,
}

const WAYS: [Way; 3] = [Way::Demoted, Way::Deactivated, Way::Removed];

async fn dismiss(world: &World, by: &Person, whom: UserId, way: Way) -> Result<(), UserError> {
    let change = match way {
        Way::Demoted => UserChange { role: Some(Role::User), ..UserChange::default() },
        Way::Deactivated => UserChange { is_active: Some(false), ..UserChange::default() },
        Way::Removed => {
            return world.services.users.remove(by.principal(), whom, None).await.map(drop);
        }
    };
    world.change_by(by, whom, change).await.map(drop)
}

#[tokio::test]
async fn the_last_active_admin_must_stay() {
    for way in WAYS {
        let world = World::new();
        let root = world.person("root", Role::Admin).await;
        let retired = world.user("retired", Role::Admin).await;
        world.user("moderator", Role::Moderator).await;
        dismiss(&world, &root, retired.id, Way::Deactivated).await.expect("there is another");

        let refused = dismiss(&world, &root, root.id(), way).await;
        assert!(matches!(refused, Err(UserError::LastAdmin)), "{way:?}: {refused:?}");
        assert!(world.is_signed_in(&root).await, "{way:?}");
        assert_eq!(world.stored_user(root.id()).await.as_ref(), Some(&root.caller.user));
    }
}

#[tokio::test]
async fn an_admin_who_is_not_the_last_may_go() {
    for way in WAYS {
        let world = World::new();
        let root = world.person("root", Role::Admin).await;
        world.user("other", Role::Admin).await;
        dismiss(&world, &root, root.id(), way).await.expect("there is another");
    }
}

#[tokio::test]
async fn an_admin_who_is_not_active_may_go() {
    let world = World::new();
    let root = world.person("root", Role::Admin).await;
    let retired = world.user("retired", Role::Admin).await;
    for way in [Way::Deactivated, Way::Demoted, Way::Removed] {
        dismiss(&world, &root, retired.id, way).await.expect("root is left");
    }
}

#[tokio::test]
async fn the_last_admin_may_change_its_name() {
    let world = World::new();
    let root = world.person("root", Role::Admin).await;
    let change = UserChange {
        first_name: Some(name("Augusta")),
        role: Some(Role::Admin),
        is_active: Some(true),
        ..UserChange::default()
    };
    world.change_by(&root, root.id(), change).await.expect("it stays an admin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_admins_who_dismiss_each_other_at_once_one_is_left() {
    for way in WAYS {
        for _ in 0..20 {
            let world = Arc::new(World::new());
            let one = world.person("one", Role::Admin).await;
            let other = world.person("other", Role::Admin).await;
            let start = Arc::new(Barrier::new(2));
            let mut both = JoinSet::new();
            for (by, whom) in [(one.clone(), other.id()), (other.clone(), one.id())] {
                let (world, start) = (world.clone(), start.clone());
                both.spawn(async move {
                    start.wait().await;
                    dismiss(&world, &by, whom, way).await
                });
            }
            let answers = both.join_all().await;
            let refused = |answer: &&Result<(), UserError>| matches!(answer, Err(UserError::LastAdmin));
            assert_eq!(answers.iter().filter(refused).count(), 1, "{way:?}: {answers:?}");
            assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{way:?}");
        }
    }
}
