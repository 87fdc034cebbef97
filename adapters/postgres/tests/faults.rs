//! What each fault of a database leads to, one test for each.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ports::{CommitToken, Consistency, Store, UnitOfWork, Unobserved};
use portwright_domain::user::{User, UserId};
use portwright_domain::{ErrorKind, PortError};
use portwright_postgres::{PostgresConfig, PostgresStore, ServerRole};
use portwright_testkit::builders::{a_user, users};
use portwright_testkit::proxy::Proxy;
use portwright_testkit::servers::Postgres;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

/// Longer than anything here may take.
const SOON: Duration = Duration::from_secs(20);

async fn open(config: &PostgresConfig) -> PostgresStore {
    PostgresStore::init(config, Arc::new(Unobserved)).await.expect("a store")
}

async fn insert(store: &PostgresStore, user: &User) -> Result<CommitToken, PortError> {
    let mut unit = store.begin().await?;
    unit.users().insert(user).await?;
    unit.commit().await
}

async fn find(store: &PostgresStore, id: UserId, how: Consistency) -> Result<Option<User>, PortError> {
    store.read(how).await?.users().find(id).await
}

#[expect(clippy::disallowed_methods, reason = "its end is waited for, or brought about")]
fn in_background<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}

async fn eventually(what: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !what().await {
        assert!(Instant::now() < deadline, "it does not come to that");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Does this in a database, which the kit's own connection is not in: a program of the server does it.
fn sql(server: &Postgres, database: &str, statement: &str) {
    let run =
        format!("psql -XqAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -p {} -U postgres -d {database}", server.port());
    let statement = statement.replace('\'', "''");
    server.sql(&format!("COPY (SELECT '{statement}') TO PROGRAM '{run} >/dev/null'"));
}

/// Makes every question for users take this long, on every server or only on standbys.
fn slow_down(server: &Postgres, database: &str, seconds: f32, only_where: &str) {
    sql(server, database, "ALTER TABLE users RENAME TO stored_users");
    let slow = format!("(SELECT pg_sleep({seconds}) WHERE {only_where})");
    sql(
        server,
        database,
        &format!(
            "CREATE VIEW users AS SELECT stored_users.* FROM stored_users LEFT JOIN {slow} AS slow ON true"
        ),
    );
}

/// The statements of the store that are running, besides its looks.
fn running(server: &Postgres, database: &str) -> String {
    server.sql(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND application_name = 'portwright' \
         AND state = 'active' AND query LIKE '%FROM%users%'"
    ))
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_stopped_by_the_server_and_disturbs_nobody() {
    let server = Postgres::primary();
    let database = server.fresh_database();
    let mut config = PostgresConfig::at([server.url(&database)]).expect("a URL");
    config.statement = Duration::from_millis(300);
    let store = open(&config).await;
    insert(&store, &a_user().build()).await.expect("inserted");
    slow_down(&server, &database, 30.0, "true");

    let asked = Instant::now();
    let error = find(&store, a_user().build().id, Consistency::Strong).await.expect_err("it is too slow");
    assert_eq!((error.kind(), error.detail()), (ErrorKind::Unavailable, "the statement took too long"));
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!(running(&server, &database), "0");
    // What asks for something else is answered.
    let mut unit = store.begin().await.expect("it begins");
    assert_eq!(unit.outbox().pending(1).await.expect("an answer"), []);
    unit.commit().await.expect("committed");
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_stopped() {
    let server = Postgres::primary();
    let database = server.fresh_database();
    let store = open(&PostgresConfig::at([server.url(&database)]).expect("a URL")).await;
    insert(&store, &a_user().build()).await.expect("inserted");
    slow_down(&server, &database, 30.0, "true");
    for _ in 0..3 {
        let asking = in_background({
            let store = store.clone();
            async move { find(&store, a_user().build().id, Consistency::Strong).await }
        });
        eventually(async || running(&server, &database) == "1").await;
        asking.abort();
        let gone = Instant::now();
        eventually(async || running(&server, &database) == "0").await;
        assert!(gone.elapsed() < Duration::from_secs(1), "{:?}", gone.elapsed());
    }
}

#[tokio::test]
async fn every_session_has_its_bounds_whatever_the_defaults_of_the_server_are() {
    let server = Postgres::primary();
    let database = server.fresh_database();
    server.sql(&format!("ALTER DATABASE {database} SET synchronous_commit = off"));
    server.sql(&format!("ALTER DATABASE {database} SET statement_timeout = 0"));
    let store = open(&PostgresConfig::at([server.url(&database)]).expect("a URL")).await;
    let user = a_user().build();
    insert(&store, &user).await.expect("inserted");
    sql(&server, &database, "ALTER TABLE users RENAME TO stored_users");
    let settings = [
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "client_connection_check_interval",
        "synchronous_commit",
    ];
    let shown = settings.map(|name| format!("current_setting('{name}')")).join(" || ' ' || ");
    let columns = "id, email, email_key, last_name, last_name_key, role, is_active, is_email_verified, password, \
         last_login, created_at, updated_at, version, avatar_id, avatar_type, avatar_upload, first_name_key";
    sql(
        &server,
        &database,
        &format!("CREATE VIEW users AS SELECT {columns}, {shown} AS first_name FROM stored_users"),
    );
    let found = find(&store, user.id, Consistency::Strong).await.expect("an answer").expect("a user");
    assert_eq!(found.first_name.as_str(), "10s 2s 10s 500ms on");
}

#[tokio::test]
async fn who_finds_no_connection_free_is_told_so_in_time_and_all_is_well_afterwards() {
    let server = Postgres::primary();
    let database = server.fresh_database();
    let mut config = PostgresConfig::at([server.url(&database)]).expect("a URL");
    config.connections = 2;
    let store = open(&config).await;
    let held = [store.begin().await.expect("one"), store.begin().await.expect("two")];
    let asked = Instant::now();
    let error = store.begin().await.map(drop).expect_err("there is none left");
    assert_eq!((error.kind(), error.detail()), (ErrorKind::Unavailable, "no connection was free in time"));
    assert!(asked.elapsed() >= config.wait && asked.elapsed() < config.wait * 3, "{:?}", asked.elapsed());

    // Beyond the longest queue, nobody waits at all.
    let mut waiting = JoinSet::new();
    for _ in 0..2 * 16 + 8 {
        let store = store.clone();
        waiting.spawn(async move { store.begin().await.map(drop).expect_err("there is none left") });
    }
    let errors = waiting.join_all().await;
    let refused = errors.iter().filter(|error| error.detail() == "too many wait for a connection").count();
    assert_eq!(refused, 8, "{errors:?}");
    drop(held);
    let freed = Instant::now();
    eventually(async || store.begin().await.is_ok()).await;
    assert!(freed.elapsed() < Duration::from_secs(2), "{:?}", freed.elapsed());
}

/// A database whose owner is no superuser.
fn database_of_app(server: &Postgres) -> (String, String) {
    let database = server.fresh_database();
    server.sql("CREATE ROLE app LOGIN");
    server.sql("GRANT pg_read_all_stats TO app");
    server.sql(&format!("ALTER DATABASE {database} OWNER TO app"));
    let url = format!("postgres://app@127.0.0.1:{}/{database}", server.port());
    (database, url)
}

#[tokio::test]
async fn a_server_without_a_connection_left_is_unavailable_until_it_has_one_again() {
    let server = Postgres::primary();
    let (_, url) = database_of_app(&server);
    let config = PostgresConfig::at([url]).expect("a URL");
    let store = open(&config).await;
    // The look and one more.
    server.sql("ALTER ROLE app CONNECTION LIMIT 2");
    let held = store.begin().await.expect("one is there");
    let mut took = Vec::new();
    for _ in 0..9 {
        let asked = Instant::now();
        let error = store.begin().await.map(drop).expect_err("the server has none left");
        assert_eq!(
            (error.kind(), error.detail()),
            (ErrorKind::Unavailable, "the database has no connection left")
        );
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    // Nobody waits longer than for a connection of ours that is in use.
    assert!(took[took.len() / 2] < config.wait, "{took:?}");
    drop(held);
    let freed = Instant::now();
    eventually(async || store.begin().await.is_ok()).await;
    assert!(freed.elapsed() < Duration::from_secs(2), "{:?}", freed.elapsed());
}

#[tokio::test]
async fn a_password_that_was_changed_stops_new_connections_only_and_no_restart_is_needed_after_it() {
    let server = Postgres::primary();
    let (_, url) = database_of_app(&server);
    let store = open(&PostgresConfig::at([url]).expect("a URL")).await;
    let file = server.sql("SHOW hba_file");
    server.sql("ALTER ROLE app PASSWORD 'another'");
    let rules = "host all app 127.0.0.1/32 scram-sha-256\\nhost all all 127.0.0.1/32 trust";
    server.sql(&format!("COPY (SELECT unnest(string_to_array('{rules}', '\\n'))) TO '{file}'"));
    server.sql("SELECT pg_reload_conf()");
    // The connection of the start is at rest.
    let held = store.begin().await.expect("a connection that was open goes on");
    let refused = async || store.begin().await.is_err_and(|error| error.kind() == ErrorKind::Misconfigured);
    eventually(refused).await;
    drop(held);

    server.sql(&format!("COPY (SELECT 'host all all 127.0.0.1/32 trust') TO '{file}'"));
    server.sql("SELECT pg_reload_conf()");
    eventually(async || store.begin().await.is_ok()).await;
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_read_is_not_noticed() {
    let server = Postgres::primary();
    let database = server.fresh_database();
    let proxy = Proxy::to(server.port()).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/{database}", proxy.port());
    let store = open(&PostgresConfig::at([url]).expect("a URL")).await;
    let user = a_user().build();
    insert(&store, &user).await.expect("inserted");
    slow_down(&server, &database, 0.2, "true");
    for _ in 0..5 {
        let reading = in_background({
            let (store, id) = (store.clone(), user.id);
            async move { find(&store, id, Consistency::Strong).await }
        });
        eventually(async || running(&server, &database) == "1").await;
        proxy.cut();
        let found = timeout(SOON, reading).await.expect("in time").expect("it ends");
        assert_eq!(found.expect("the second connection answers"), Some(user.clone()));
        eventually(async || running(&server, &database) == "0").await;
    }
}

#[tokio::test]
async fn a_read_that_a_replica_cancels_for_what_it_replays_is_answered_by_the_primary() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    standby.sql("ALTER SYSTEM SET max_standby_streaming_delay = 0");
    standby.sql("SELECT pg_reload_conf()");
    let database = primary.fresh_database();
    let urls = [primary.url(&database), standby.url(&database)];
    let store = open(&PostgresConfig::at(urls).expect("URLs")).await;
    let people = users(2);
    for user in &people {
        insert(&store, user).await.expect("inserted");
    }
    slow_down(&primary, &database, 5.0, "pg_is_in_recovery()");
    // Who answers is for the routing to say, so it is asked until the replica is.
    let deadline = Instant::now() + SOON;
    let reading = 'asked: loop {
        assert!(Instant::now() < deadline, "the replica is never asked");
        let reading = in_background({
            let (store, id) = (store.clone(), people[0].id);
            async move { find(&store, id, Consistency::Eventual).await }
        });
        while !reading.is_finished() {
            if running(&standby, &database) == "1" {
                break 'asked reading;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let asked = Instant::now();
    sql(&primary, &database, &format!("DELETE FROM stored_users WHERE id = '{}'", people[1].id));
    sql(&primary, &database, "VACUUM stored_users");
    let found = reading.await.expect("it ends").expect("somebody answers");
    assert_eq!(found, Some(people[0].clone()));
    assert!(asked.elapsed() < Duration::from_secs(4), "the replica was waited for");
    let replicas = store.servers().iter().filter(|server| server.role != ServerRole::Away).count();
    assert_eq!(replicas, 2, "the replica is not to blame");
}

#[tokio::test]
async fn where_all_replicas_lag_the_primary_answers_up_to_its_share_and_they_answer_the_rest() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let database = primary.fresh_database();
    let urls = [primary.url(&database), standby.url(&database)];
    let mut config = PostgresConfig::at(urls).expect("URLs");
    config.connections = 4;
    config.max_lag = Duration::from_millis(300);
    let store = open(&config).await;
    let (old, new) = (users(2)[0].clone(), users(2)[1].clone());
    insert(&store, &old).await.expect("inserted");
    let position = primary.sql("SELECT pg_current_wal_flush_lsn()");
    eventually(async || standby.sql(&format!("SELECT pg_last_wal_replay_lsn() >= '{position}'")) == "t")
        .await;
    standby.pause_replay();
    let token = insert(&store, &new).await.expect("inserted");
    // Once it lags too much, the primary answers.
    eventually(async || find(&store, new.id, Consistency::Eventual).await.is_ok_and(|found| found.is_some()))
        .await;

    let reads = [
        store.read(Consistency::Strong).await.expect("one"),
        store.read(Consistency::Strong).await.expect("two"),
    ];
    assert_eq!(find(&store, new.id, Consistency::Eventual).await.expect("an old answer"), None);
    let error = find(&store, new.id, Consistency::After(token)).await.expect_err("nobody may answer");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    insert(&store, &users(3)[2]).await.expect("what only the primary can do has its connections");
    drop(reads);
    standby.resume_replay();
}

#[tokio::test]
async fn four_programs_that_start_at_once_migrate_once() {
    let server = Postgres::primary();
    let database = server.fresh_database();
    let mut starts = JoinSet::new();
    for _ in 0..4 {
        let config = PostgresConfig::at([server.url(&database)]).expect("a URL");
        starts.spawn(async move { open(&config).await });
    }
    let stores = starts.join_all().await;
    for (store, user) in stores.iter().zip(users(4)) {
        insert(store, &user).await.expect("inserted");
    }
    let config = PostgresConfig::at([server.url(&database)]).expect("a URL");
    let status = portwright_postgres::migrate::status(&config);
    assert_eq!(status.await.expect("a status").pending, []);
}

#[tokio::test]
async fn closing_waits_for_what_is_in_use_and_hands_out_nothing_more() {
    let server = Postgres::primary();
    let database = server.fresh_database();
    let store = open(&PostgresConfig::at([server.url(&database)]).expect("a URL")).await;
    let mut unit: Box<dyn UnitOfWork> = store.begin().await.expect("it begins");
    unit.users().insert(&a_user().build()).await.expect("inserted");
    let closing = in_background({
        let store = store.clone();
        async move { store.close().await }
    });
    eventually(async || store.begin().await.is_err()).await;
    assert!(!closing.is_finished(), "a unit of work is open");
    unit.commit().await.expect("what was begun can be ended");
    timeout(SOON, closing).await.expect("nothing is in use any more").expect("closed");
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'");
    eventually(async || server.sql(&sessions) == "0").await;
}
