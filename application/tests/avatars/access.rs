//! Who may change whose picture, and from what.

use portwright_application::AvatarError;
use portwright_application::avatars::{Expected, Upload};
use portwright_domain::access::{Access, Action, Principal, Relation, Role, decide};
use portwright_domain::avatar::{AvatarId, PictureKind};
use portwright_domain::user::UserId;
use portwright_testkit::pictures::picture;
use uuid::Uuid;

use super::{WAIT, upload};
use crate::world::World;

fn portrait() -> Upload {
    Upload { wait: WAIT, ..upload(PictureKind::Png, &picture(PictureKind::Png, 8, 8)) }
}

/// To replace that one.
fn instead_of(expected: Expected) -> Upload {
    Upload { expected: Some(expected), ..portrait() }
}

async fn change(world: &World, caller: Principal, owner: UserId) -> [Result<(), AvatarError>; 2] {
    let avatars = &world.services.avatars;
    let put = world.served(avatars.put(caller, owner, portrait())).await;
    [put.map(drop), avatars.remove(caller, owner, None).await.map(drop)]
}

#[tokio::test]
async fn who_may_change_a_profile_may_change_its_picture() {
    for role in Role::ALL {
        for relation in [Relation::Own, Relation::Others] {
            let world = World::new();
            let other = world.user("other", Role::User).await.id;
            let caller = world.person("caller", role).await;
            let owner = if relation == Relation::Own { caller.id() } else { other };
            for answer in change(&world, caller.principal(), owner).await {
                let as_decided = match decide(role, Action::ChangeProfile, relation) {
                    Access::Granted => answer.is_ok(),
                    Access::Forbidden => matches!(answer, Err(AvatarError::Forbidden)),
                    Access::Hidden => matches!(answer, Err(AvatarError::NotFound)),
                };
                assert!(as_decided, "{role} {relation:?}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn nobody_who_is_missing_has_a_picture() {
    let world = World::new();
    let admin = world.person("root", Role::Admin).await;
    for answer in change(&world, admin.principal(), UserId(Uuid::nil())).await {
        assert!(matches!(answer, Err(AvatarError::NotFound)), "{answer:?}");
    }
    assert_eq!(world.objects().await.len(), 0);
}

#[tokio::test]
async fn only_the_picture_that_was_expected_is_replaced_or_removed() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let (caller, avatars) = (ada.principal(), &world.services.avatars);
    let others = Expected::OneOf(vec![AvatarId(Uuid::nil())]);
    for expected in [Expected::Any, others.clone()] {
        let put = avatars.put(caller, ada.id(), instead_of(expected.clone())).await;
        assert!(matches!(put, Err(AvatarError::Changed)), "there is none: {put:?}");
        let removed = avatars.remove(caller, ada.id(), Some(expected)).await;
        assert!(matches!(removed, Err(AvatarError::Changed)), "there is none: {removed:?}");
    }
    assert_eq!(world.objects().await.len(), 0, "what was refused is discarded");

    world.served(avatars.put(caller, ada.id(), portrait())).await.expect("it is a picture");
    let first = world.avatar(ada.id()).await.expect("a picture").id;
    let put = avatars.put(caller, ada.id(), instead_of(others.clone())).await;
    assert!(matches!(put, Err(AvatarError::Changed)), "it is another: {put:?}");
    let expected = Expected::OneOf(vec![AvatarId(Uuid::nil()), first]);
    let put = avatars.put(caller, ada.id(), instead_of(expected));
    world.served(put).await.expect("it is this one");
    let removed = avatars.remove(caller, ada.id(), Some(others)).await;
    assert!(matches!(removed, Err(AvatarError::Changed)), "{removed:?}");
    avatars.remove(caller, ada.id(), Some(Expected::Any)).await.expect("there is one");
    assert_eq!(world.avatar(ada.id()).await, None);
}
