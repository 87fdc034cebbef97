//! Transactions: all of it or nothing, visible once it is committed, and never two that break a rule together.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::access::Role;
use portwright_domain::idempotency::{Fingerprint, IdempotencyKey, IdempotencyRecord, Progress};
use portwright_domain::page::{Direction, Limit, PageRequest, Rest};
use portwright_domain::ports::{CommitToken, Consistency, Store, UnitOfWork};
use portwright_domain::user::{User, UserFilter, UserId, UserSort};
use portwright_domain::{ErrorKind, PortError};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use super::{commit, transact};
use crate::ManualClock;
use crate::builders::{UserBuilder, a_job, a_session_of, a_user, users};
use crate::contract::Fixture;

pub(super) async fn a_strong_read_sees_the_newest_commit(store: Fixture<dyn Store>) {
    for user in users(20) {
        store.add(std::slice::from_ref(&user)).await;
        assert_eq!(store.user(user.id).await, Some(user));
    }
}

pub(super) async fn a_read_after_a_commit_sees_it(store: Fixture<dyn Store>) {
    for user in users(20) {
        let mut unit = store.begin().await;
        unit.users().insert(&user).await.expect("insert works");
        let token = commit(unit).await;
        let mut view = store.port.read(Consistency::After(token)).await.expect("read works");
        assert_eq!(view.users().find(user.id).await.expect("find works"), Some(user));
    }
}

pub(super) async fn a_read_after_what_a_view_has_seen_is_not_older(store: Fixture<dyn Store>) {
    for user in users(20) {
        assert!(store.view().await.seen().is_none(), "it has shown nothing yet");
        let mut unit = store.begin().await;
        unit.users().insert(&user).await.expect("insert works");
        commit(unit).await;
        let mut view = store.view().await;
        assert_eq!(view.users().find(user.id).await.expect("find works").as_ref(), Some(&user));
        // Without a token, any read will do.
        let again = view.seen().map_or(Consistency::Eventual, Consistency::After);
        let mut view = store.port.read(again).await.expect("read works");
        assert_eq!(view.users().find(user.id).await.expect("find works"), Some(user));
    }
}

pub(super) async fn a_commit_token_is_short_visible_text(store: Fixture<dyn Store>) {
    let token = commit(store.begin().await).await;
    let text = token.as_str();
    assert!((1..=128).contains(&text.len()), "{text:?}");
    assert!(text.bytes().all(|c| c.is_ascii_graphic()), "{text:?}");
}

pub(super) async fn a_token_of_another_store_is_unsupported(store: Fixture<dyn Store>) {
    for text in ["!", "another store's", &"9".repeat(128)] {
        let token = CommitToken::new(text.to_owned());
        let refused = store.port.read(Consistency::After(token)).await.err();
        assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Unsupported), "{text:?}");
    }
}

/// One thing of each kind.
async fn write_everything(unit: &mut dyn UnitOfWork) -> Result<(), PortError> {
    let user = a_user().build();
    unit.users().insert(&user).await?;
    unit.sessions().insert(&a_session_of(&user).build()).await?;
    unit.idempotency().insert(&a_record()).await?;
    unit.outbox().enqueue(&a_job().build()).await
}

fn a_record() -> IdempotencyRecord {
    IdempotencyRecord {
        key: IdempotencyKey { scope: "POST /users".to_owned(), key: "first".to_owned() },
        fingerprint: Fingerprint([7; 32]),
        progress: Progress::Running,
        begun_at: ManualClock::START,
        expires_at: ManualClock::START,
    }
}

/// How many of the four things of [`write_everything`] this unit of work sees.
async fn count_everything(unit: &mut dyn UnitOfWork) -> usize {
    let user = a_user().build();
    let session = a_session_of(&user).build();
    usize::from(unit.users().find(user.id).await.expect("find works").is_some())
        + usize::from(unit.sessions().find_with_user(session.id).await.expect("find works").is_some())
        + usize::from(unit.idempotency().find(&a_record().key).await.expect("find works").is_some())
        + unit.outbox().pending(10).await.expect("pending works").len()
}

pub(super) async fn nothing_is_visible_before_the_commit(store: Fixture<dyn Store>) {
    let user = a_user().build();
    let session = a_session_of(&user).build();
    let mut unit = store.begin().await;
    write_everything(&mut *unit).await.expect("writing works");

    assert_eq!(store.user(user.id).await, None);
    let mut view = store.view().await;
    assert_eq!(view.users().find_by_email(&user.email).await.expect("find works"), None);
    assert_eq!(view.sessions().find_with_user(session.id).await.expect("find works"), None);
    drop(view);

    commit(unit).await;
    let found = store.view().await.sessions().find_with_user(session.id).await;
    assert_eq!(found.expect("find works"), Some((session, user)));
}

pub(super) async fn a_unit_of_work_reads_its_own_writes(store: Fixture<dyn Store>) {
    let mut unit = store.begin().await;
    assert_eq!(count_everything(&mut *unit).await, 0);
    write_everything(&mut *unit).await.expect("writing works");
    assert_eq!(count_everything(&mut *unit).await, 4);
}

pub(super) async fn rolling_back_undoes_everything(store: Fixture<dyn Store>) {
    let mut unit = store.begin().await;
    write_everything(&mut *unit).await.expect("writing works");
    unit.rollback().await.expect("rollback works");
    assert_eq!(count_everything(&mut *store.begin().await).await, 0);
}

pub(super) async fn dropping_a_unit_of_work_undoes_everything(store: Fixture<dyn Store>) {
    for _ in 0..20 {
        let mut unit = store.begin().await;
        assert_eq!(count_everything(&mut *unit).await, 0);
        write_everything(&mut *unit).await.expect("writing works");
        drop(unit);
    }
}

pub(super) async fn dropping_a_begin_leaves_nothing_locked(store: Fixture<dyn Store>) {
    for polls in 0..40 {
        let port = Arc::clone(&store.port);
        let mut begin = JoinSet::new();
        begin.spawn(async move { port.begin().await.map(drop) });
        for _ in 0..polls % 8 {
            yield_now().await;
        }
        drop(begin);
    }
    // And those that wait for their turn.
    let first = store.begin().await;
    for _ in 0..10 {
        drop(timeout(Duration::from_millis(1), store.port.begin()).await);
    }
    drop(first);
    commit(store.begin().await).await;
}

pub(super) async fn a_unit_of_work_dropped_anywhere_happens_whole_or_not_at_all(store: Fixture<dyn Store>) {
    let everybody = users(120);
    for (polls, two) in everybody.chunks(2).enumerate() {
        let (port, wanted) = (Arc::clone(&store.port), two.to_vec());
        let mut work = JoinSet::new();
        work.spawn(async move {
            let mut unit = port.begin().await?;
            for user in &wanted {
                unit.users().insert(user).await?;
            }
            unit.commit().await.map(drop)
        });
        for _ in 0..polls {
            yield_now().await;
        }
        work.abort_all();
        // Only then is it clear that nobody works on it any more.
        let done = matches!(work.join_next().await, Some(Ok(Ok(()))));

        // A unit of work comes after whatever the other one has still to do.
        let mut unit = store.begin().await;
        let mut found = Vec::new();
        for user in two {
            found.extend(unit.users().find(user.id).await.expect("find works"));
        }
        assert!(found.len() == 2 || (found.is_empty() && !done), "{} of 2 after {polls} polls", found.len());
        commit(unit).await;
    }
}

pub(super) async fn two_admins_who_demote_each_other_at_once_do_not_both_succeed(store: Fixture<dyn Store>) {
    async fn demote(unit: &mut dyn UnitOfWork, id: UserId) -> Result<bool, PortError> {
        let Some(mut admin) = unit.users().find(id).await? else { return Ok(false) };
        if unit.users().active_admins_besides(id).await? == 0 {
            return Ok(false);
        }
        admin.role = Role::User;
        admin.version = admin.version.next();
        unit.users().update(&admin).await.map(|()| true)
    }

    for round in 0..20 {
        let two = [1, 2].map(|n| UserBuilder::number(2 * round + n).with_role(Role::Admin).build());
        store.add(&two).await;
        let mut races = JoinSet::new();
        for User { id, .. } in two {
            let port = Arc::clone(&store.port);
            races.spawn(async move { transact(&*port, |unit| Box::pin(demote(unit, id))).await });
        }
        let mut demoted = races.join_all().await;
        demoted.sort_unstable();
        assert_eq!(demoted, [false, true], "one of the two stays admin");

        // The next round begins without admins.
        let mut unit = store.begin().await;
        for id in (1..=2).map(|n| UserBuilder::number(2 * round + n).build().id) {
            unit.users().remove(id).await.expect("remove works");
        }
        commit(unit).await;
    }
}

pub(super) async fn no_update_of_many_at_once_is_lost(store: Fixture<dyn Store>) {
    async fn step(unit: &mut dyn UnitOfWork, id: UserId) -> Result<(), PortError> {
        let mut user = unit.users().find(id).await?.expect("it is there");
        user.version = user.version.next();
        unit.users().update(&user).await
    }

    let user = a_user().build();
    store.add(std::slice::from_ref(&user)).await;
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let (port, id) = (Arc::clone(&store.port), user.id);
        tasks.spawn(async move {
            for _ in 0..4 {
                transact(&*port, |unit| Box::pin(step(unit, id))).await;
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(store.user(user.id).await.map(|user| user.version.0), Some(1 + 16 * 4));
}

pub(super) async fn many_writers_at_once_all_come_through(store: Fixture<dyn Store>) {
    let mut tasks = JoinSet::new();
    for writer in 0..32 {
        let port = Arc::clone(&store.port);
        tasks.spawn(async move {
            for n in 0..6 {
                let user = UserBuilder::number(writer * 6 + n).build();
                transact(&*port, |unit| {
                    let user = user.clone();
                    Box::pin(async move { unit.users().insert(&user).await })
                })
                .await;
            }
        });
    }
    tasks.join_all().await;
    let one = PageRequest::Numbered { page: 1, limit: Limit::DEFAULT };
    let mut view = store.view().await;
    let page = view.users().list(&UserFilter::default(), UserSort::Email, Direction::Ascending, &one).await;
    assert_eq!(page.expect("list works").rest, Rest::Total(32 * 6));
}
