//! What a reader gets, while pictures come and go.

use portwright_application::AvatarError;
use portwright_application::avatars::{AvatarForm, Reading};
use portwright_domain::ErrorKind;
use portwright_domain::access::Role;
use portwright_domain::avatar::PictureKind;
use portwright_domain::ports::{Consistency, ObjectKey};
use portwright_domain::user::UserId;
use portwright_testkit::pictures::picture;
use uuid::Uuid;

use super::gated::{Gated, Trap};
use crate::world::World;

const PNG: PictureKind = PictureKind::Png;

#[tokio::test]
async fn there_is_nothing_to_read_where_there_is_no_picture() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    world.send(&ada, PNG, &picture(PNG, 9, 9)).await.expect("it looks like a picture");
    for user in [ada.id(), UserId(Uuid::nil())] {
        for form in AvatarForm::ALL {
            let read = world.services.avatars.read(user, form, Consistency::Eventual, |_| false).await;
            assert!(matches!(read, Err(AvatarError::NotFound)), "{read:?}");
        }
    }
}

#[tokio::test]
async fn what_a_reader_knows_is_not_opened() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let avatar = world.put(&ada, PNG, &picture(PNG, 9, 9)).await.expect("a picture").avatar;
    for info in world.storage.list("", None, 100).await.expect("listing works") {
        world.storage.remove(&info.key).await.expect("removing works");
    }
    let avatars = &world.services.avatars;
    let read =
        avatars.read(ada.id(), AvatarForm::Small, Consistency::Eventual, |shown| Some(shown) == avatar).await;
    assert!(matches!(read, Ok(Reading::Known(known)) if Some(known) == avatar));
    let read = avatars.read(ada.id(), AvatarForm::Small, Consistency::Eventual, |_| false).await;
    let Err(AvatarError::Port(error)) = read else { panic!("it is lost: {read:?}") };
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_reader_whose_picture_is_replaced_under_the_hand_gets_the_new_one() {
    let storage = Gated::new();
    let world = World::with(|setup| setup.storage = storage.clone());
    let ada = world.person("ada", Role::User).await;
    world.put(&ada, PNG, &picture(PNG, 9, 9)).await.expect("a picture");
    storage.set(Trap::Hold("get", "/64"));
    let avatars = &world.services.avatars;
    let (read, ()) =
        tokio::join!(avatars.read(ada.id(), AvatarForm::Small, Consistency::Eventual, |_| false), async {
            storage.until_held().await;
            world.put(&ada, PictureKind::WebP, &picture(PictureKind::WebP, 9, 9)).await.expect("a picture");
            storage.release();
        });
    let Ok(Reading::Picture(avatar, _)) = read else { panic!("there is one at any time: {read:?}") };
    assert_eq!((Some(avatar), avatar.kind), (world.avatar(ada.id()).await, PictureKind::WebP));
}

#[tokio::test]
async fn what_was_opened_is_read_to_its_end_although_it_is_replaced() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    world.put(&ada, PNG, &picture(PNG, 90, 90)).await.expect("a picture");
    let before = world.form(ada.id(), AvatarForm::Original).await;
    let avatars = &world.services.avatars;
    let read = avatars.read(ada.id(), AvatarForm::Original, Consistency::Eventual, |_| false).await;
    let Ok(Reading::Picture(_, object)) = read else { panic!("there is one: {read:?}") };
    world.put(&ada, PNG, &picture(PNG, 9, 9)).await.expect("a picture");
    let gone = world.storage.get(&ObjectKey::parse(object.info.key.as_str()).expect("a key")).await;
    assert!(gone.expect("reading works").is_none(), "the old one is swept");
    assert_eq!(super::whole(object.body).await, before);
}
