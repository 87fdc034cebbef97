//! The access table, enforced: every role tries every action on itself and on somebody else.

use portwright_application::UserError;
use portwright_application::users::{UserChange, UserListing};
use portwright_domain::access::{Access, Action, Principal, Relation, Role, decide};
use portwright_domain::page::{Direction, Limit, PageRequest};
use portwright_domain::ports::Consistency;
use portwright_domain::user::{UserFilter, UserId, UserSort};
use uuid::Uuid;

use crate::world::{World, name, newcomer};

/// The actions of this use case; the others have tests beside theirs.
const ACTIONS: [Action; 6] = [
    Action::ListUsers,
    Action::ReadUser,
    Action::CreateUser,
    Action::ChangeProfile,
    Action::ChangeStanding,
    Action::RemoveUser,
];

async fn attempt(world: &World, caller: Principal, action: Action, target: UserId) -> Result<(), UserError> {
    let users = &world.services.users;
    let change = async |change| users.change(caller, target, change, None).await.map(drop);
    match action {
        Action::ListUsers => {
            let page = PageRequest::Numbered { page: 1, limit: Limit::DEFAULT };
            let listing = UserListing {
                filter: UserFilter::default(),
                sort: UserSort::default(),
                direction: Direction::default(),
                page,
            };
            users.list(caller, &listing, Consistency::Eventual).await.map(drop)
        }
        Action::ReadUser => {
            let seen = users.get(caller, target, Consistency::Eventual).await?;
            seen.value.map(drop).ok_or(UserError::NotFound)
        }
        Action::CreateUser => users.create(caller, newcomer("new", Role::User)).await.map(drop),
        Action::ChangeProfile => {
            change(UserChange { first_name: Some(name("Augusta")), ..UserChange::default() }).await
        }
        Action::ChangeStanding => {
            change(UserChange { role: Some(Role::Moderator), ..UserChange::default() }).await
        }
        Action::RemoveUser => users.remove(caller, target, None).await.map(drop),
        other => unreachable!("{other:?} is no action of this use case"),
    }
}

#[tokio::test]
async fn every_use_case_asks_the_access_table() {
    for role in Role::ALL {
        for action in ACTIONS {
            for relation in [Relation::Own, Relation::Others] {
                let world = World::new();
                // Another admin, so that no case is about the last one.
                world.user("root", Role::Admin).await;
                let other = world.user("other", Role::User).await;
                let caller = world.person("caller", role).await;
                let target = if relation == Relation::Own { caller.id() } else { other.id };

                let answer = attempt(&world, caller.principal(), action, target).await;
                let as_decided = match decide(role, action, relation) {
                    Access::Granted => answer.is_ok(),
                    Access::Forbidden => matches!(answer, Err(UserError::Forbidden)),
                    Access::Hidden => matches!(answer, Err(UserError::NotFound)),
                };
                assert!(as_decided, "{role} {action:?} {relation:?}: {answer:?}");
                if answer.is_err() {
                    assert_eq!(world.stored_user(other.id).await, Some(other), "it was refused");
                }
            }
        }
    }
}

#[tokio::test]
async fn nobody_learns_from_a_refusal_whether_a_user_exists() {
    let world = World::new();
    let other = world.user("other", Role::User).await;
    for role in [Role::User, Role::Moderator] {
        let caller = world.person(role.as_str(), role).await.principal();
        for action in ACTIONS.into_iter().filter(|&action| action != Action::ListUsers) {
            if decide(role, action, Relation::Others) == Access::Granted {
                continue;
            }
            let existing = attempt(&world, caller, action, other.id).await.expect_err("refused");
            let missing = attempt(&world, caller, action, UserId(Uuid::nil())).await.expect_err("refused");
            assert_eq!(existing.to_string(), missing.to_string(), "{role} {action:?}");
        }
    }
}

#[tokio::test]
async fn a_role_that_one_has_already_may_not_be_sent_by_who_may_not_change_it() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    for change in [
        UserChange { role: Some(Role::User), ..UserChange::default() },
        UserChange { is_active: Some(true), first_name: Some(name("Augusta")), ..UserChange::default() },
    ] {
        let refused = world.change_by(&ada, ada.id(), change).await;
        assert!(matches!(refused, Err(UserError::Forbidden)), "{refused:?}");
    }
    assert_eq!(world.stored_user(ada.id()).await.as_ref(), Some(&ada.caller.user));
}

#[tokio::test]
async fn a_missing_user_is_not_found_by_who_may_see_all() {
    let world = World::new();
    let admin = world.person("root", Role::Admin).await;
    for action in [Action::ReadUser, Action::ChangeProfile, Action::ChangeStanding, Action::RemoveUser] {
        let answer = attempt(&world, admin.principal(), action, UserId(Uuid::nil())).await;
        assert!(matches!(answer, Err(UserError::NotFound)), "{action:?}: {answer:?}");
    }
}
