//! Look-ups that share a statement: each is answered as if it were alone.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ports::{Consistency, Seen, Store, Unobserved};
use portwright_domain::user::{User, UserId};
use portwright_domain::{ErrorKind, PortError};
use portwright_postgres::{PostgresConfig, PostgresStore};
use portwright_testkit::builders::users;
use portwright_testkit::servers::{Postgres, Stop};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

/// Longer than anything here may take.
const SOON: Duration = Duration::from_secs(20);

/// A store with so many users, whose server answers questions for them only while its gate is open.
struct Gated {
    server: Postgres,
    database: String,
    store: PostgresStore,
    users: Vec<User>,
}

impl Gated {
    async fn with(count: u32) -> Self {
        let server = Postgres::primary();
        let database = server.fresh_database();
        let mut config = PostgresConfig::at([server.url(&database)]).expect("a URL");
        config.statement = SOON;
        let store = PostgresStore::init(&config, Arc::new(Unobserved)).await.expect("a store");
        let users = users(count);
        let mut unit = store.begin().await.expect("it begins");
        for user in &users {
            unit.users().insert(user).await.expect("inserted");
        }
        unit.commit().await.expect("committed");
        for statement in [
            "CREATE TABLE gate AS SELECT false AS is_open",
            "CREATE FUNCTION pass() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN \
             WHILE NOT (SELECT is_open FROM gate) LOOP PERFORM pg_sleep(0.2); END LOOP; RETURN true; END'",
            "ALTER TABLE users RENAME TO stored_users",
            "CREATE VIEW users AS SELECT stored_users.* FROM stored_users LEFT JOIN (SELECT pass()) AS gate ON true",
        ] {
            server.sql_in(&database, statement);
        }
        Self { server, database, store, users }
    }

    fn open(&self) {
        self.server.sql_in(&self.database, "UPDATE gate SET is_open = true");
    }

    fn look_up(&self, id: UserId) -> JoinHandle<Result<Seen<Option<User>>, PortError>> {
        let store = self.store.clone();
        #[expect(clippy::disallowed_methods, reason = "its end is waited for, or brought about")]
        tokio::spawn(async move { store.user(id, Consistency::Eventual).await })
    }

    /// Waits until so many statements stand before the gate; then each has its snapshot.
    async fn until_waiting(&self, count: usize) {
        let database = &self.database;
        let waiting = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND state = 'active' \
             AND application_name = 'portwright' AND wait_event = 'PgSleep'"
        );
        let deadline = Instant::now() + SOON;
        while self.server.sql(&waiting) != count.to_string() {
            assert!(Instant::now() < deadline, "it does not come to that");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn answer(look_up: JoinHandle<Result<Seen<Option<User>>, PortError>>) -> Option<User> {
    let answer = timeout(SOON, look_up).await.expect("in time").expect("no panic");
    answer.expect("an answer").value
}

#[tokio::test]
async fn a_hundred_look_ups_at_once_leave_connections_to_others_and_each_gets_its_own() {
    let gated = Gated::with(100).await;
    let first = gated.look_up(gated.users[0].id);
    gated.until_waiting(1).await;
    let mut look_ups = JoinSet::new();
    for user in gated.users.clone() {
        let look_up = gated.look_up(user.id);
        look_ups.spawn(async move { (answer(look_up).await, user) });
    }
    // Alone, they would take every connection there is.
    for _ in 0..6 {
        drop(timeout(SOON, gated.store.begin()).await.expect("in time").expect("it begins"));
    }
    gated.open();
    assert_eq!(answer(first).await, Some(gated.users[0].clone()));
    for (found, user) in look_ups.join_all().await {
        assert_eq!(found, Some(user));
    }
}

#[tokio::test]
async fn a_look_up_shows_what_was_committed_while_the_one_before_it_was_answered() {
    let gated = Gated::with(1).await;
    let id = gated.users[0].id;
    let before = gated.look_up(id);
    gated.until_waiting(1).await;
    gated.server.sql_in(&gated.database, "UPDATE stored_users SET first_name = 'Changed'");
    let after = gated.look_up(id);
    gated.until_waiting(2).await;
    gated.open();
    assert_eq!(answer(before).await, Some(gated.users[0].clone()));
    assert_eq!(answer(after).await.expect("a user").first_name.as_str(), "Changed");
}

#[tokio::test]
async fn whoever_goes_away_takes_nobodys_answer_along() {
    let gated = Gated::with(3).await;
    let gone = gated.look_up(gated.users[0].id);
    gated.until_waiting(1).await;
    let (also_gone, stays) = (gated.look_up(gated.users[1].id), gated.look_up(gated.users[2].id));
    gated.until_waiting(2).await;
    also_gone.abort();
    gone.abort();
    gated.until_waiting(1).await;
    gated.open();
    assert_eq!(answer(stays).await, Some(gated.users[2].clone()));
}

#[tokio::test]
async fn a_statement_that_nobody_waits_for_any_more_is_stopped() {
    let gated = Gated::with(2).await;
    let first = gated.look_up(gated.users[0].id);
    gated.until_waiting(1).await;
    let second = gated.look_up(gated.users[1].id);
    gated.until_waiting(2).await;
    first.abort();
    gated.until_waiting(1).await;
    second.abort();
    gated.until_waiting(0).await;
}

#[tokio::test]
async fn look_ups_that_share_a_statement_share_its_failure_and_the_next_ones_succeed() {
    let gated = Gated::with(2).await;
    let first = gated.look_up(gated.users[0].id);
    gated.until_waiting(1).await;
    let both = gated.users.iter().map(|user| gated.look_up(user.id)).collect::<Vec<_>>();
    gated.until_waiting(2).await;
    gated.server.stop(Stop::Immediate);
    for look_up in both.into_iter().chain([first]) {
        let error = timeout(SOON, look_up).await.expect("in time").expect("no panic").expect_err("an error");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.source().is_some(), "why is told to everybody");
    }
    gated.server.start();
    gated.open();
    let deadline = Instant::now() + SOON;
    while gated.store.user(gated.users[0].id, Consistency::Eventual).await.is_err() {
        assert!(Instant::now() < deadline, "it does not come back");
    }
}
