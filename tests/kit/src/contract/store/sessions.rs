//! Sessions: one refresh wins, and what has ended is gone.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::ports::Store;
use portwright_domain::session::{Generation, Session, SessionId};
use portwright_domain::user::User;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{assert_conflict, commit, transact};
use crate::ManualClock;
use crate::builders::{SessionBuilder, a_session_of, a_user, users};
use crate::contract::Fixture;

impl Fixture<dyn Store> {
    /// Stores these sessions, and commits.
    async fn add_sessions(&self, sessions: &[Session]) {
        let mut unit = self.begin().await;
        for session in sessions {
            unit.sessions().insert(session).await.expect("insert works");
        }
        commit(unit).await;
    }

    async fn session(&self, id: SessionId) -> Option<(Session, User)> {
        let found = self.view().await.sessions().find_with_user(id).await.expect("find works");
        let alone = self.port.session(id).await.expect("a look-up works");
        assert_eq!(alone, found, "a look-up shows what a view shows");
        found
    }
}

pub(super) async fn a_session_is_found_with_its_user_as_both_are_now(store: Fixture<dyn Store>) {
    let mut user = a_user().inactive().build();
    let session = a_session_of(&user).expires_at(Timestamp::UNIX_EPOCH).build();
    store.add(std::slice::from_ref(&user)).await;
    store.add_sessions(std::slice::from_ref(&session)).await;
    let found = store.session(session.id).await;
    assert_eq!(found, Some((session.clone(), user.clone())), "expiry and activity are for the caller");
    assert_eq!(store.session(SessionBuilder::number(2, &user).build().id).await, None);

    user.version = user.version.next();
    user.is_active = true;
    let mut unit = store.begin().await;
    unit.users().update(&user).await.expect("update works");
    commit(unit).await;
    assert_eq!(store.session(session.id).await, Some((session, user)));
}

pub(super) async fn of_many_who_look_sessions_up_at_once_each_gets_its_own(store: Fixture<dyn Store>) {
    let users = users(20);
    store.add(&users).await;
    let sessions: Vec<_> =
        (1..).zip(&users).map(|(number, user)| SessionBuilder::number(number, user).build()).collect();
    // Nobody has the last five.
    store.add_sessions(&sessions[..15]).await;
    let mut look_ups = JoinSet::new();
    for number in 0..200 {
        let (port, id) = (store.port.clone(), sessions[number % 20].id);
        look_ups.spawn(async move { (number % 20, port.session(id).await.expect("a look-up works")) });
    }
    for (number, found) in look_ups.join_all().await {
        let expected = (number < 15).then(|| (sessions[number].clone(), users[number].clone()));
        assert_eq!(found, expected, "{number}");
    }
}

pub(super) async fn every_field_of_a_session_is_stored_exactly(store: Fixture<dyn Store>) {
    let user = a_user().build();
    store.add(std::slice::from_ref(&user)).await;
    let times = [i64::MIN, -1, 0, 1_767_225_600_000_001, i64::MAX].map(Timestamp::from_unix_micros);
    let ids =
        [Uuid::nil(), Uuid::max(), Uuid::from_u128(1), Uuid::from_u128(1 << 64), Uuid::from_u128(1 << 127)];
    for (n, id) in ids.into_iter().enumerate() {
        let session = Session {
            id: SessionId(id),
            user_id: user.id,
            generation: Generation([0, 1, 2, u32::MAX - 1, u32::MAX][n]),
            created_at: times[n],
            expires_at: times[(n + 3) % 5],
        };
        store.add_sessions(std::slice::from_ref(&session)).await;
        assert_eq!(store.session(session.id).await, Some((session, user.clone())));
    }
}

pub(super) async fn a_session_without_a_user_is_a_conflict(store: Fixture<dyn Store>) {
    let user = a_user().build();
    let session = a_session_of(&user).build();
    let mut unit = store.begin().await;
    assert_conflict(unit.sessions().insert(&session).await, "sessions.user");
    unit.users().insert(&user).await.expect("the transaction stays usable");
    unit.sessions().insert(&session).await.expect("its user exists now");
    commit(unit).await;
    assert_eq!(store.session(session.id).await, Some((session, user)));
}

pub(super) async fn rotating_replaces_generation_and_expiry(store: Fixture<dyn Store>) {
    let user = a_user().build();
    let old = a_session_of(&user).build();
    store.add(std::slice::from_ref(&user)).await;
    store.add_sessions(std::slice::from_ref(&old)).await;
    let later = ManualClock::START.plus(Duration::from_hours(1));
    let given = Session { generation: Generation(2), expires_at: later, created_at: later, ..old.clone() };
    let mut unit = store.begin().await;
    assert!(unit.sessions().rotate(&given, old.generation).await.expect("rotate works"));
    commit(unit).await;
    let wanted = Session { created_at: old.created_at, ..given };
    assert_eq!(store.session(old.id).await, Some((wanted, user)));
}

pub(super) async fn rotating_from_another_generation_changes_nothing(store: Fixture<dyn Store>) {
    let user = a_user().build();
    let stored = a_session_of(&user).at_generation(Generation(5)).build();
    store.add(std::slice::from_ref(&user)).await;
    store.add_sessions(std::slice::from_ref(&stored)).await;
    let mut unit = store.begin().await;
    for from in [0, 1, 4, 6, u32::MAX].map(Generation) {
        let next = Session { generation: from.next(), expires_at: ManualClock::START, ..stored.clone() };
        assert!(!unit.sessions().rotate(&next, from).await.expect("rotate works"), "{from:?}");
    }
    let missing = SessionBuilder::number(2, &user).build();
    assert!(!unit.sessions().rotate(&missing, missing.generation).await.expect("rotate works"));
    commit(unit).await;
    assert_eq!(store.session(stored.id).await, Some((stored, user)));
}

pub(super) async fn of_many_who_rotate_at_once_exactly_one_does(store: Fixture<dyn Store>) {
    let user = a_user().build();
    let session = a_session_of(&user).build();
    store.add(std::slice::from_ref(&user)).await;
    store.add_sessions(std::slice::from_ref(&session)).await;
    let mut tasks = JoinSet::new();
    for n in 0..100 {
        let port = Arc::clone(&store.port);
        let expires_at = ManualClock::START.plus(Duration::from_secs(n));
        let next = Session { generation: Generation(2), expires_at, ..session.clone() };
        tasks.spawn(async move {
            let rotated = transact(&*port, |unit| {
                let next = next.clone();
                Box::pin(async move { unit.sessions().rotate(&next, Generation::FIRST).await })
            })
            .await;
            rotated.then_some(next)
        });
    }
    let winners: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(store.session(session.id).await.map(|(session, _)| session).as_ref(), winners.first());
}

pub(super) async fn removing_a_session_twice_finds_nothing(store: Fixture<dyn Store>) {
    let user = a_user().build();
    let session = a_session_of(&user).build();
    store.add(std::slice::from_ref(&user)).await;
    store.add_sessions(std::slice::from_ref(&session)).await;
    let mut unit = store.begin().await;
    assert!(unit.sessions().remove(session.id).await.expect("remove works"));
    assert!(!unit.sessions().remove(session.id).await.expect("remove works"));
    commit(unit).await;
    assert_eq!(store.session(session.id).await, None);
    assert_eq!(store.user(user.id).await, Some(user));
}

pub(super) async fn removing_all_sessions_keeps_the_one_to_keep(store: Fixture<dyn Store>) {
    let two = users(2);
    store.add(&two).await;
    let mine: Vec<_> = (1..=4).map(|n| SessionBuilder::number(n, &two[0]).build()).collect();
    let other = SessionBuilder::number(9, &two[1]).build();
    store.add_sessions(&mine).await;
    store.add_sessions(std::slice::from_ref(&other)).await;

    let mut unit = store.begin().await;
    let removed = unit.sessions().remove_all(two[0].id, Some(mine[2].id)).await;
    assert_eq!(removed.expect("remove_all works"), 3);
    commit(unit).await;
    assert!(store.session(mine[2].id).await.is_some());
    assert_eq!(store.session(mine[0].id).await, None);

    let mut unit = store.begin().await;
    assert_eq!(unit.sessions().remove_all(two[0].id, None).await.expect("remove_all works"), 1);
    assert_eq!(unit.sessions().remove_all(two[0].id, None).await.expect("remove_all works"), 0);
    unit.sessions().insert(&mine[0]).await.expect("insert works");
    let kept_is_not_mine = unit.sessions().remove_all(two[0].id, Some(other.id)).await;
    assert_eq!(kept_is_not_mine.expect("remove_all works"), 1);
    commit(unit).await;
    assert!(store.session(other.id).await.is_some());
}

pub(super) async fn sessions_expire_at_their_end_and_not_before(store: Fixture<dyn Store>) {
    let user = a_user().build();
    store.add(std::slice::from_ref(&user)).await;
    let now = ManualClock::START;
    let tick = Duration::from_micros(1);
    let [before, at, after] = [(1, now.minus(tick)), (2, now), (3, now.plus(tick))]
        .map(|(n, end)| SessionBuilder::number(n, &user).expires_at(end).build());
    store.add_sessions(&[before.clone(), at.clone(), after.clone()]).await;
    let mut unit = store.begin().await;
    assert_eq!(unit.sessions().remove_expired(now).await.expect("remove_expired works"), 2);
    commit(unit).await;
    assert_eq!(store.session(before.id).await, None);
    assert_eq!(store.session(at.id).await, None);
    assert!(store.session(after.id).await.is_some());
}

pub(super) async fn expired_sessions_are_forgotten_a_thousand_at_a_time(store: Fixture<dyn Store>) {
    let user = a_user().build();
    store.add(std::slice::from_ref(&user)).await;
    let expired = |n| SessionBuilder::number(n, &user).expires_at(ManualClock::START).build();
    store.add_sessions(&(1..=1_001).map(expired).collect::<Vec<_>>()).await;
    let mut unit = store.begin().await;
    for left in [1_000, 1, 0] {
        assert_eq!(
            unit.sessions().remove_expired(ManualClock::START).await.expect("remove_expired works"),
            left
        );
    }
}
