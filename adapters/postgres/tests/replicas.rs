//! Reads on replicas, and what happens to them and to the writes when servers lag, go and come.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ErrorKind;
use portwright_domain::PortError;
use portwright_domain::ports::{
    CommitToken, Consistency, Health, HealthProbe, HealthStatus, Store, Unobserved,
};
use portwright_domain::user::{User, UserId};
use portwright_postgres::{PostgresConfig, PostgresHealth, PostgresStore, ServerRole};
use portwright_testkit::Noise;
use portwright_testkit::builders::{a_user, users};
use portwright_testkit::servers::{Postgres, Stop};
use tokio::time::{Instant, timeout};

/// Longer than anything here may take.
const SOON: Duration = Duration::from_secs(20);

async fn store_on(servers: &[&Postgres]) -> PostgresStore {
    let database = servers.first().expect("a server").fresh_database();
    let urls = servers.iter().map(|server| server.url(&database));
    let store = PostgresStore::init(&PostgresConfig::at(urls).expect("URLs"), Arc::new(Unobserved))
        .await
        .expect("a store");
    // A standby has a new database a little later than its primary.
    eventually(async || match PostgresHealth::of(store.clone()).check().await {
        Health { status: HealthStatus::Pass, .. } => Ok(()),
        health => Err(format!("{:?}", health.details)),
    })
    .await;
    store
}

async fn insert(store: &PostgresStore, user: &User) -> Result<CommitToken, PortError> {
    let mut unit = store.begin().await?;
    unit.users().insert(user).await?;
    unit.commit().await
}

async fn find(store: &PostgresStore, id: UserId, how: Consistency) -> Result<Option<User>, PortError> {
    store.read(how).await?.users().find(id).await
}

/// Tries until it succeeds.
async fn eventually<T>(what: impl AsyncFn() -> Result<T, String>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        match what().await {
            Ok(done) => return done,
            Err(not_yet) => assert!(Instant::now() < deadline, "still: {not_yet}"),
        }
        tokio::task::yield_now().await;
    }
}

/// Waits until an eventual read shows something else than a strong one does, or the same.
async fn eventual_reads_show(store: &PostgresStore, id: UserId, shown: bool) {
    eventually(async || {
        let found = find(store, id, Consistency::Eventual).await.map_err(|error| error.to_string())?;
        if found.is_some() == shown { Ok(()) } else { Err(format!("{}", found.is_some())) }
    })
    .await;
}

#[tokio::test]
async fn whoever_holds_a_token_never_reads_older_data_however_replicas_lag() {
    let primary = Postgres::primary();
    let (first, second) = (primary.standby(), primary.standby());
    let store = store_on(&[&primary, &first, &second]).await;
    let mut noise = Noise::new(1);
    for (number, user) in users(300).into_iter().enumerate() {
        if number % 50 == 0 {
            first.lag(Duration::from_millis(noise.below(200) as u64));
            second.lag(Duration::from_millis(noise.below(200) as u64));
        }
        let token = insert(&store, &user).await.expect("inserted");
        let found = find(&store, user.id, Consistency::After(token)).await.expect("found");
        assert_eq!(found.as_ref(), Some(&user), "read {number} was stale");
    }
}

#[tokio::test]
async fn eventual_reads_leave_a_replica_that_is_too_far_behind_and_come_back() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let store = store_on(&[&primary, &standby]).await;
    let user = a_user().build();
    standby.pause_replay();
    insert(&store, &user).await.expect("inserted");
    assert_eq!(find(&store, user.id, Consistency::Strong).await.expect("found"), Some(user.clone()));
    eventual_reads_show(&store, user.id, false).await;
    // After 5 s, the primary answers.
    eventual_reads_show(&store, user.id, true).await;
    standby.resume_replay();
    eventual_reads_show(&store, user.id, true).await;
}

#[tokio::test]
async fn a_replica_that_goes_is_not_missed() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let store = store_on(&[&primary, &standby]).await;
    let user = a_user().build();
    let token = insert(&store, &user).await.expect("inserted");
    for stop in [Stop::Fast, Stop::Kill] {
        find(&store, user.id, Consistency::After(token.clone())).await.expect("before");
        standby.stop(stop);
        for _ in 0..50 {
            let found = find(&store, user.id, Consistency::Eventual).await;
            assert_eq!(found.expect("an answer"), Some(user.clone()), "{stop:?}");
        }
        standby.start();
    }
}

#[tokio::test]
async fn reads_go_on_without_the_primary_and_writes_are_refused_in_time() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let store = store_on(&[&primary, &standby]).await;
    let user = a_user().build();
    let token = insert(&store, &user).await.expect("inserted");
    find(&store, user.id, Consistency::After(token.clone())).await.expect("found");
    eventual_reads_show(&store, user.id, true).await;

    primary.stop(Stop::Kill);
    for _ in 0..20 {
        let found = timeout(SOON, find(&store, user.id, Consistency::Eventual)).await.expect("in time");
        assert_eq!(found.expect("an answer"), Some(user.clone()));
    }
    // What one request may ask for, one after the other.
    let asked = Instant::now();
    for _ in 0..3 {
        let refused = store.begin().await.map(drop).expect_err("nobody takes writes");
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        find(&store, user.id, Consistency::Strong)
            .await
            .map(drop)
            .expect_err("nobody knows the newest state");
    }
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    let health = PostgresHealth::of(store.clone()).check().await;
    assert_eq!(health.status, HealthStatus::Warn, "{:?}", health.details);

    primary.start();
    let started = Instant::now();
    let another = users(2).pop().expect("a user");
    eventually(async || insert(&store, &another).await.map_err(|error| error.to_string())).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_promoted_standby_gets_the_writes_and_old_tokens_stay_good() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let store = store_on(&[&primary, &standby]).await;
    let people = users(2);
    let token = insert(&store, &people[0]).await.expect("inserted");
    eventual_reads_show(&store, people[0].id, true).await;

    primary.stop(Stop::Kill);
    standby.promote();
    let promoted = Instant::now();
    eventually(async || insert(&store, &people[1]).await.map_err(|error| error.to_string())).await;
    assert!(promoted.elapsed() < Duration::from_secs(3), "{:?}", promoted.elapsed());
    let found = find(&store, people[0].id, Consistency::After(token)).await;
    assert_eq!(found.expect("an answer"), Some(people[0].clone()));
}

#[tokio::test]
async fn while_two_servers_take_writes_neither_is_written_to() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let store = store_on(&[&primary, &standby]).await;
    standby.promote();
    let refused = eventually(async || match store.begin().await {
        Ok(_) => Err("it is written to".to_owned()),
        Err(error) => Ok(error),
    })
    .await;
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.to_string().contains("two servers"), "{refused}");
    assert_eq!(find(&store, a_user().build().id, Consistency::Strong).await.expect("an answer"), None);
}

#[tokio::test]
async fn after_a_restart_of_the_primary_nobody_meets_an_old_connection() {
    let primary = Postgres::primary();
    let store = store_on(&[&primary]).await;
    let people = users(4);
    for (user, stop) in people.iter().zip([Stop::Fast, Stop::Immediate, Stop::Kill]) {
        insert(&store, user).await.expect("inserted");
        primary.stop(stop);
        primary.start();
        let started = Instant::now();
        let found = find(&store, user.id, Consistency::Strong).await;
        assert_eq!(found.expect("an answer"), Some(user.clone()), "{stop:?}");
        eventually(async || store.begin().await.map(drop).map_err(|error| error.to_string())).await;
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_frozen_replica_does_not_hold_anybody_up() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let store = store_on(&[&primary, &standby]).await;
    let user = a_user().build();
    insert(&store, &user).await.expect("inserted");
    eventual_reads_show(&store, user.id, true).await;
    standby.freeze();
    let frozen = Instant::now();
    let is_away = || store.servers()[1].role == ServerRole::Away;
    eventually(async || if is_away() { Ok(()) } else { Err("it counts".to_owned()) }).await;
    assert!(frozen.elapsed() < Duration::from_secs(1), "{:?}", frozen.elapsed());
    for _ in 0..20 {
        let read = timeout(Duration::from_millis(500), find(&store, user.id, Consistency::Eventual)).await;
        assert_eq!(read.expect("nobody waits").expect("an answer"), Some(user.clone()));
    }
    standby.thaw();
    eventually(async || if is_away() { Err("it is away".to_owned()) } else { Ok(()) }).await;
}
