//! Who wins, and what is left, when things happen at once or go wrong in the middle.

use std::sync::Arc;
use std::time::Duration;

use portwright_application::AvatarError;
use portwright_application::avatars::{AvatarForm, Upload, Uploaded};
use portwright_application::compute::worker::Ending;
use portwright_application::users::UserChange;
use portwright_domain::ErrorKind;
use portwright_domain::access::Role;
use portwright_domain::avatar::PictureKind;
use portwright_domain::job::{JobState, Outcome, WorkerId};
use portwright_domain::page::{Limit, PageRequest};
use portwright_domain::ports::job_queue::JobFilter;
use portwright_domain::ports::{JobQueue, JobSource, ObjectKey, Store};
use portwright_domain::user::User;
use portwright_memory::MemoryStore;
use portwright_testkit::faults::{Fault, Flaky, When};
use portwright_testkit::pictures::picture;
use tokio_util::sync::CancellationToken;

use super::gated::{Gated, Trap};
use crate::world::{Person, World, name};

const PNG: PictureKind = PictureKind::Png;

/// A square of this many pixels, by which it is told from others.
fn square(edge: u32) -> Vec<u8> {
    picture(PNG, edge, edge)
}

async fn edge_of(world: &World, person: &Person) -> u32 {
    world.drawing(person.id(), AvatarForm::Original).await.width()
}

async fn gated_world() -> (World, Arc<Gated>, Person) {
    let storage = Gated::new();
    let world = World::with(|setup| setup.storage = storage.clone());
    let ada = world.person("ada", Role::User).await;
    (world, storage, ada)
}

const ALL_FORMS: [&str; 4] = ["256", "512", "64", "original"];

#[tokio::test]
async fn who_does_not_wait_is_told_of_the_job_and_the_picture_comes_later() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let Ok(Uploaded::Pending(job)) = world.send(&ada, PNG, &square(9)).await else { panic!("a job") };
    assert_eq!((job.state, job.spec.created_by), (JobState::Ready, Some(ada.id())));
    assert_eq!((job.spec.task.as_str(), job.spec.queue.as_str()), ("users.thumbnails", "cpu"));
    assert_eq!(world.avatar(ada.id()).await, None);
    assert_eq!(world.names().await, ["upload"]);

    assert_eq!(world.drain().await, 1);
    let job = world.queue.find(job.spec.id).await.expect("find works").expect("it is known");
    assert_eq!(job.outcome, Some(Outcome::Succeeded(r#""stored""#.into())));
    assert!(world.avatar(ada.id()).await.is_some());
    assert_eq!(world.names().await, ALL_FORMS);
}

#[tokio::test]
async fn who_waits_too_short_is_told_of_the_job() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let upload = Upload { wait: Some(Duration::from_millis(5)), ..super::upload(PNG, &square(9)) };
    let put = world.services.avatars.put(ada.principal(), ada.id(), upload).await.expect("it is taken");
    assert!(matches!(put.value, Uploaded::Pending(_)), "{:?}", put.value);
    world.drain().await;
    assert_eq!(edge_of(&world, &ada).await, 9);
}

#[tokio::test]
async fn of_two_uploads_the_later_one_is_shown() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    for edge in [7, 8, 9] {
        world.send(&ada, PNG, &square(edge)).await.expect("it is taken");
    }
    assert_eq!(world.drain().await, 3);
    assert_eq!(edge_of(&world, &ada).await, 9);
    assert_eq!(world.names().await, ALL_FORMS);
}

#[tokio::test]
async fn a_picture_that_is_replaced_while_it_is_drawn_is_never_shown() {
    let (world, storage, ada) = gated_world().await;
    let Ok(Uploaded::Pending(first)) = world.send(&ada, PNG, &square(7)).await else { panic!("a job") };
    storage.set(Trap::Hold("put", "/256"));
    let (slow, stop) = (world.worker("slow"), CancellationToken::new());
    let (ending, shown) = tokio::join!(slow.run(stop.clone(), CancellationToken::new()), async {
        storage.until_held().await;
        let shown = world.put(&ada, PNG, &square(8)).await.expect("a picture");
        storage.release();
        let ended = world.queue.outcome(first.spec.id, Duration::from_secs(30)).await;
        assert_eq!(ended.expect("the queue answers"), Some(Outcome::Succeeded(r#""superseded""#.into())));
        stop.cancel();
        shown
    });
    assert_eq!(ending, Ending::Drained);
    assert_eq!(world.stored_user(ada.id()).await, Some(shown));
    assert_eq!(edge_of(&world, &ada).await, 8);
    assert_eq!(world.names().await, ALL_FORMS, "what the slow one wrote is gone");
}

#[tokio::test]
async fn who_waited_for_a_picture_that_was_replaced_is_told_how_things_are_now() {
    let (world, storage, ada) = gated_world().await;
    storage.set(Trap::Hold("put", "/64"));
    let first = square(7);
    let (first, second) = tokio::join!(world.put(&ada, PNG, &first), async {
        storage.until_held().await;
        let second = world.send(&ada, PNG, &square(8)).await;
        storage.release();
        second
    });
    second.expect("it is taken");
    assert_eq!(first.expect("it was replaced, which is no error").id, ada.id());
    world.drain().await;
    assert_eq!(edge_of(&world, &ada).await, 8);
    assert_eq!(world.names().await, ALL_FORMS);
}

#[tokio::test]
async fn a_removal_wins_over_all_uploads_before_it() {
    let (world, storage, ada) = gated_world().await;
    world.put(&ada, PNG, &square(6)).await.expect("a picture");
    let before = world.stored_user(ada.id()).await.expect("ada is there");
    world.send(&ada, PNG, &square(7)).await.expect("it is taken");
    storage.set(Trap::Hold("put", "/original"));
    let (_, removed) = tokio::join!(world.drain(), async {
        storage.until_held().await;
        world.clock.advance(Duration::from_secs(1));
        let removed = world.services.avatars.remove(ada.principal(), ada.id(), None).await;
        storage.release();
        removed
    });
    removed.expect("it is removed");
    let after = world.stored_user(ada.id()).await.expect("ada is there");
    assert_eq!((after.avatar, after.avatar_upload), (None, None));
    assert!(after.version > before.version && after.updated_at > before.updated_at);
    world.drain().await;
    assert_eq!(world.avatar(ada.id()).await, None);
    assert_eq!(world.names().await, [""; 0]);

    let again = world.services.avatars.remove(ada.principal(), ada.id(), None).await;
    again.expect("there is nothing to remove, which is no error");
    assert_eq!(world.stored_user(ada.id()).await, Some(after));
}

#[tokio::test]
async fn the_pictures_of_a_removed_user_go_with_the_user() {
    let world = World::new();
    let (admin, ada) = (world.person("root", Role::Admin).await, world.person("ada", Role::User).await);
    let grace = world.person("grace", Role::User).await;
    world.put(&grace, PNG, &square(5)).await.expect("a picture");
    world.put(&ada, PNG, &square(6)).await.expect("a picture");
    world.send(&ada, PNG, &square(7)).await.expect("it is taken");
    world.services.users.remove(admin.principal(), ada.id(), None).await.expect("she is removed");
    world.drain().await;
    assert_eq!(world.names().await, ALL_FORMS);
    assert_eq!(edge_of(&world, &grace).await, 5, "nobody else's");
}

#[tokio::test]
async fn a_user_who_is_removed_during_the_upload_leaves_nothing() {
    let (world, storage, ada) = gated_world().await;
    let admin = world.person("root", Role::Admin).await;
    storage.set(Trap::Hold("put", "/upload"));
    let upload = square(7);
    let (sent, ()) = tokio::join!(world.send(&ada, PNG, &upload), async {
        storage.until_held().await;
        world.services.users.remove(admin.principal(), ada.id(), None).await.expect("she is removed");
        storage.release();
    });
    assert!(matches!(sent, Err(AvatarError::NotFound)), "{sent:?}");
    assert_eq!(world.names().await, [""; 0]);
}

#[tokio::test]
async fn a_task_that_is_killed_at_any_point_comes_to_the_same() {
    let (undisturbed, _, ada) = gated_world().await;
    undisturbed.put(&ada, PNG, &square(300)).await.expect("a picture");
    let expected = undisturbed.objects().await;
    for (operation, ending) in [
        ("get", "/upload"),
        ("put", "/64"),
        ("put", "/256"),
        ("put", "/512"),
        ("put", "/original"),
        ("remove", "/upload"),
    ] {
        let (world, storage, ada) = gated_world().await;
        world.send(&ada, PNG, &square(300)).await.expect("it is taken");
        storage.set(Trap::Hold(operation, ending));
        let worker = world.worker("killed");
        let never = CancellationToken::new;
        tokio::select! {
            ending = worker.run(never(), never()) => panic!("{ending:?}"),
            () = storage.until_held() => {}
        }
        drop(worker);
        world.clock.advance(Duration::from_mins(10));
        let dead = WorkerId::parse("killed").expect("a valid name");
        assert_eq!(world.queue.bury(&dead).await.expect("the queue answers"), 1);
        assert_eq!(world.drain().await, 1, "{operation} {ending}");
        assert!(world.objects().await == expected, "{operation} {ending}: {:?}", world.names().await);
        assert!(world.avatar(ada.id()).await.is_some_and(|avatar| avatar.kind == PNG));
    }
}

#[tokio::test]
async fn a_storage_that_is_away_for_a_moment_costs_a_try() {
    for (operation, ending) in [("get", "/upload"), ("put", "/512"), ("remove", "/upload")] {
        let (world, storage, ada) = gated_world().await;
        let Ok(Uploaded::Pending(job)) = world.send(&ada, PNG, &square(9)).await else { panic!("a job") };
        storage.set(Trap::Refuse(operation, ending));
        assert_eq!(world.drain().await, 1);
        world.clock.advance(Duration::from_secs(2));
        assert_eq!(world.drain().await, 1, "{operation} {ending}");
        let job = world.queue.find(job.spec.id).await.expect("find works").expect("it is known");
        assert_eq!((job.state, job.attempts), (JobState::Succeeded, 2));
        assert_eq!(world.names().await, ALL_FORMS);
    }
}

#[tokio::test]
async fn a_picture_that_is_shown_is_a_success_also_where_the_storage_cannot_be_listed() {
    let (world, storage, ada) = gated_world().await;
    world.put(&ada, PNG, &square(7)).await.expect("a picture");
    storage.set(Trap::Forbid("list", "/"));
    let shown = world.put(&ada, PNG, &square(8)).await.expect("it is there");
    assert_eq!(world.stored_user(ada.id()).await, Some(shown));
    assert_eq!(edge_of(&world, &ada).await, 8);
    assert_eq!(world.names().await.len(), 2 * ALL_FORMS.len() + 1, "two pictures and an upload");

    // As long as another try may help, there is one.
    let Ok(Uploaded::Pending(job)) = world.send(&ada, PNG, &square(9)).await else { panic!("a job") };
    for _ in 0..job.spec.max_attempts {
        storage.set(Trap::Refuse("list", "/"));
        assert_eq!(world.drain().await, 1);
        world.clock.advance(Duration::from_mins(1));
    }
    let job = world.queue.find(job.spec.id).await.expect("find works").expect("it is known");
    assert_eq!((job.state, job.attempts), (JobState::Succeeded, job.spec.max_attempts));
    assert_eq!(edge_of(&world, &ada).await, 9);

    // Until then an upload might still be coming.
    world.clock.advance(Duration::from_hours(1));
    world.put(&ada, PNG, &square(10)).await.expect("a picture");
    assert_eq!(world.names().await, ALL_FORMS, "the next sweep finds it");
}

#[tokio::test]
async fn who_waits_for_a_picture_does_not_wait_for_the_storage_to_be_tidy() {
    let (world, storage, ada) = gated_world().await;
    storage.set(Trap::Hold("list", "/"));
    // Longer than it takes to draw it.
    let upload = Upload { wait: Some(Duration::from_secs(2)), ..super::upload(PNG, &square(9)) };
    let put = async {
        let put = world.services.avatars.put(ada.principal(), ada.id(), upload).await;
        storage.release();
        put
    };
    let put = world.served(put).await.expect("a picture");
    assert_eq!(
        world.stored_user(ada.id()).await.map(|user| Uploaded::Shown(Box::new(user))),
        Some(put.value)
    );
}

#[tokio::test]
async fn a_removed_picture_that_is_still_stored_is_a_job_that_failed() {
    let (world, storage, ada) = gated_world().await;
    world.put(&ada, PNG, &square(7)).await.expect("a picture");
    world.services.avatars.remove(ada.principal(), ada.id(), None).await.expect("it is removed");
    storage.set(Trap::Forbid("list", "/"));
    assert_eq!(world.drain().await, 1);
    assert_eq!(world.names().await, ALL_FORMS);
    let failed = JobFilter { state: Some(JobState::Failed), ..JobFilter::default() };
    let page = PageRequest::Walk { after: None, limit: Limit::MAX };
    let failed = world.queue.list(&failed, &page).await.expect("list works").rows;
    assert!(matches!(failed.as_slice(), [job] if job.spec.task.as_str() == "users.thumbnails"), "{failed:?}");
}

#[tokio::test]
async fn an_upload_that_cannot_be_stored_or_recorded_is_not_there() {
    let (world, storage, ada) = gated_world().await;
    let unavailable = |sent: Result<Uploaded, AvatarError>| match sent {
        Err(AvatarError::Port(error)) => assert_eq!(error.kind(), ErrorKind::Unavailable),
        other => panic!("{other:?}"),
    };
    storage.set(Trap::Refuse("put", "/upload"));
    unavailable(world.send(&ada, PNG, &square(9)).await);
    assert_eq!(world.names().await, [""; 0]);

    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let store = Arc::new(Flaky::new(store));
    let world = World::with(|setup| setup.store = store.clone());
    let ada = world.person("ada", Role::User).await;
    store.cue(When::NthOf("store.commit", 1), Fault::Refuse(ErrorKind::Unavailable));
    unavailable(world.send(&ada, PNG, &square(9)).await);
    assert_eq!(world.names().await, [""; 0]);
    assert_eq!(world.drain().await, 0);
    // A race is lost quietly.
    store.cue(When::NthOf("store.commit", 1), Fault::Refuse(ErrorKind::Contended));
    world.put(&ada, PNG, &square(9)).await.expect("a picture");
}

#[tokio::test]
async fn a_change_of_the_user_meanwhile_is_kept() {
    let (world, storage, ada) = gated_world().await;
    storage.set(Trap::Hold("put", "/64"));
    let change = UserChange { last_name: Some(name("King")), ..UserChange::default() };
    let upload = square(9);
    let (shown, changed) = tokio::join!(world.put(&ada, PNG, &upload), async {
        storage.until_held().await;
        let changed = world.change_by(&ada, ada.id(), change).await;
        storage.release();
        changed
    });
    let (shown, changed) = (shown.expect("a picture"), changed.expect("it is changed"));
    assert_eq!(shown, User { avatar: shown.avatar, avatar_upload: None, version: shown.version, ..changed });
    assert!(shown.avatar.is_some());
}

#[tokio::test]
async fn what_was_left_behind_is_swept_with_the_next_picture() {
    let world = World::new();
    let (ada, grace) = (world.person("ada", Role::User).await, world.person("grace", Role::User).await);
    let leave = async |key: String| {
        let key = ObjectKey::parse(&key).expect("a key");
        world.storage.put(&key, Box::new(Some("left".into()))).await.expect("it is stored");
        key.to_string()
    };
    let (of_ada, of_grace) = (format!("avatars/{}", ada.id()), format!("avatars/{}", grace.id()));
    // More than are looked at in one go.
    for number in 0..150 {
        leave(format!("{of_ada}/00000000-0000-7000-8000-{number:012}/64")).await;
    }
    leave(format!("{of_ada}/00000000-0000-7000-9000-000000000001/upload")).await;
    let mut kept = vec![
        leave(format!("{of_grace}/00000000-0000-7000-8000-000000000001/64")).await,
        leave(format!("{of_ada}/something-of-others")).await,
    ];
    world.clock.advance(Duration::from_hours(2));
    // Somebody may still be sending this one.
    kept.push(leave(format!("{of_ada}/00000000-0000-7000-9000-000000000002/upload")).await);
    world.put(&ada, PNG, &square(9)).await.expect("a picture");

    let objects = world.objects().await;
    let shown = world.avatar(ada.id()).await.expect("a picture").id.to_string();
    let mut left: Vec<_> = objects.into_keys().filter(|key| !key.contains(&shown)).collect();
    left.sort();
    kept.sort();
    assert_eq!(left, kept);
}
