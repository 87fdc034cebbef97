//! What a view says that it has seen: whoever reads on with it never goes back, on whichever server.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portwright_domain::ports::{CommitToken, Consistency, Event, Observer, Store, Unobserved};
use portwright_domain::user::{User, UserId};
use portwright_postgres::{PostgresConfig, PostgresStore, ServerRole};
use portwright_testkit::Noise;
use portwright_testkit::builders::{a_user, users};
use portwright_testkit::servers::Postgres;
use tokio::time::Instant;

/// Remembers who answered the reads that had to show a commit.
#[derive(Default)]
struct Outcomes(Mutex<Vec<String>>);

impl Outcomes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Outcomes {
    fn observe(&self, event: &Event<'_>) {
        if let Event::CausalRead { outcome } = event {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((*outcome).to_owned());
        }
    }
}

async fn store_on(servers: &[&Postgres], observer: Arc<dyn Observer>) -> PostgresStore {
    let database = servers.first().expect("a server").fresh_database();
    let urls = servers.iter().map(|server| server.url(&database));
    let config = PostgresConfig::at(urls).expect("URLs");
    PostgresStore::init(&config, observer).await.expect("a store")
}

async fn insert(store: &PostgresStore, user: &User) -> CommitToken {
    let mut unit = store.begin().await.expect("it begins");
    unit.users().insert(user).await.expect("inserted");
    unit.commit().await.expect("committed")
}

/// What a read shows, and the token of it.
async fn read(store: &PostgresStore, id: UserId, how: Consistency) -> (Option<User>, CommitToken) {
    let mut view = store.read(how).await.expect("a view");
    let found = view.users().find(id).await.expect("an answer");
    (found, view.seen().expect("a place"))
}

/// Waits until the replicas answer whoever has seen this commit.
async fn replicas_answer(store: &PostgresStore, outcomes: &Outcomes, id: UserId, token: &CommitToken) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut in_a_row = 0;
    while in_a_row < 5 {
        assert!(Instant::now() < deadline, "the replicas do not answer");
        let (found, _) = read(store, id, Consistency::After(token.clone())).await;
        assert!(found.is_some());
        in_a_row = if outcomes.take() == ["replica"] { in_a_row + 1 } else { 0 };
    }
}

#[tokio::test]
async fn who_has_seen_a_commit_never_sees_the_state_before_it_again() {
    let primary = Postgres::primary();
    let (first, second) = (primary.standby(), primary.standby());
    let servers = [&primary, &first, &second];
    let store = store_on(&servers, Arc::new(Unobserved)).await;
    let mut noise = Noise::new(3);
    // A reader of its own, which has no token of any write.
    for (number, user) in users(120).into_iter().enumerate() {
        if number % 20 == 0 {
            first.lag(Duration::from_millis(noise.below(100) as u64));
            second.lag(Duration::from_millis(noise.below(100) as u64));
        }
        insert(&store, &user).await;
        let (mut shown, mut token) = read(&store, user.id, Consistency::Eventual).await;
        for again in 0..10 {
            let before = shown.is_some();
            (shown, token) = read(&store, user.id, Consistency::After(token)).await;
            assert!(shown.is_some() || !before, "{number}: it was there and is gone in read {again}");
        }
    }
}

#[tokio::test]
async fn whoever_has_seen_that_nothing_is_there_does_not_see_it_again_either() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let outcomes = Arc::new(Outcomes::default());
    let store = store_on(&[&primary, &standby], outcomes.clone()).await;
    let user = a_user().build();
    let token = insert(&store, &user).await;
    replicas_answer(&store, &outcomes, user.id, &token).await;
    standby.pause_replay();
    let mut unit = store.begin().await.expect("it begins");
    assert!(unit.users().remove(user.id).await.expect("removed"));
    unit.commit().await.expect("committed");

    let (gone, token) = read(&store, user.id, Consistency::Strong).await;
    assert_eq!(gone, None);
    assert_eq!(read(&store, user.id, Consistency::Eventual).await.0, Some(user.clone()), "the standby lags");
    for _ in 0..5 {
        assert_eq!(read(&store, user.id, Consistency::After(token.clone())).await.0, None);
    }
    standby.resume_replay();
}

#[tokio::test]
async fn while_nothing_is_written_who_reads_on_stays_on_the_replicas() {
    let primary = Postgres::primary();
    let (first, second) = (primary.standby(), primary.standby());
    let servers = [&primary, &first, &second];
    let outcomes = Arc::new(Outcomes::default());
    let store = store_on(&servers, outcomes.clone()).await;
    let user = a_user().build();
    insert(&store, &user).await;
    let (_, mut token) = read(&store, user.id, Consistency::Strong).await;
    replicas_answer(&store, &outcomes, user.id, &token).await;
    for _ in 0..50 {
        (_, token) = read(&store, user.id, Consistency::After(token)).await;
    }
    let at_the_primary = outcomes.take().into_iter().filter(|outcome| outcome == "primary").count();
    assert_eq!(at_the_primary, 0);
}

#[tokio::test]
async fn it_is_told_who_answers_a_read_that_must_show_a_commit() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let outcomes = Arc::new(Outcomes::default());
    let store = store_on(&[&primary, &standby], outcomes.clone()).await;
    let people = users(2);
    let token = insert(&store, &people[0]).await;
    read(&store, people[0].id, Consistency::Strong).await;
    read(&store, people[0].id, Consistency::Eventual).await;
    assert_eq!(outcomes.take(), [""; 0], "none of these had to show a certain commit");
    replicas_answer(&store, &outcomes, people[0].id, &token).await;

    standby.pause_replay();
    let token = insert(&store, &people[1]).await;
    let (found, _) = read(&store, people[1].id, Consistency::After(token.clone())).await;
    assert_eq!((found.as_ref(), outcomes.take()), (Some(&people[1]), vec!["primary".to_owned()]));
    let behind = store.servers().into_iter().find_map(|server| match server.role {
        ServerRole::Replica { bytes_behind, .. } => bytes_behind,
        _ => None,
    });
    assert!(behind.is_some());

    standby.resume_replay();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (found, _) = read(&store, people[1].id, Consistency::After(token.clone())).await;
        assert_eq!(found.as_ref(), Some(&people[1]));
        let outcome = outcomes.take();
        if outcome != ["primary"] {
            assert!(outcome == ["replica"] || outcome == ["waited"], "{outcome:?}");
            break;
        }
        assert!(Instant::now() < deadline, "the replica never answers");
    }
}

#[tokio::test]
async fn where_there_is_one_server_nobody_needs_a_token_to_read_on() {
    let primary = Postgres::primary();
    let store = store_on(&[&primary], Arc::new(Unobserved)).await;
    let user = a_user().build();
    insert(&store, &user).await;
    let mut view = store.read(Consistency::Eventual).await.expect("a view");
    assert_eq!(view.users().find(user.id).await.expect("an answer"), Some(user));
    assert_eq!(view.seen(), None);
}
