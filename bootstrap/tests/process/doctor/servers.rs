//! PostgreSQL with its replicas, and Redis, as `portwright doctor` finds them.

use portwright_testkit::servers::{Postgres, Redis};

use super::{SECRET, doctor};
use crate::place::{Place, ran};

/// How this database of the server is named, with these replicas.
fn variables<'a>(port: &'a str, database: &'a str, replicas: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("DB_HOST", "127.0.0.1"), ("DB_PORT", port), ("DB_NAME", database), ("DB_REPLICA_HOSTS", replicas)]
}

#[tokio::test]
async fn a_primary_and_its_replica_are_well_until_the_replica_stands_still() {
    let primary = Postgres::primary();
    let replica = primary.standby();
    let (database, place) = (primary.fresh_database(), Place::empty());
    replica.await_database(&database);
    let (port, replicas) = (primary.port().to_string(), format!("127.0.0.1:{}", replica.port()));
    let variables = variables(&port, &database, &replicas);
    let mut migrate = place.command(["migrate", "up"]);
    ran(migrate.envs(variables.iter().copied()), b"").await.expect(0);

    let found = doctor(&place, Some("db"), &variables).await;
    found.expect_health();
    found.expect("db.primary", "pass", &format!("127.0.0.1:{port} takes writes"), "");
    found.expect("db.migrations", "pass", "migrations are applied", "");
    found.expect("db.connections", "pass", "1 processes with 11 connections", "");
    found.expect("db.replica-lag", "pass", &replicas, "");
    assert_eq!(found.with("db.clock", "pass").len(), 2, "{:#?}", found.checks);
    // So the test server is set up.
    found.expect("db.durability", "warn", "fsync = off", "set fsync = on");

    replica.pause_replay();
    let found = doctor(&place, Some("db"), &variables).await;
    found.expect("db.replica-lag", "warn", "its replay is paused", "pg_wal_replay_resume");
    replica.resume_replay();
    replica.promote();
    let found = doctor(&place, Some("db"), &variables).await;
    found.expect("db.primary", "fail", "neither is written to", "stop the one");
    assert_eq!(found.code, Some(1));
}

#[tokio::test]
async fn what_would_fail_under_load_or_at_the_next_start_is_found_now() {
    let server = Postgres::primary();
    let (database, place) = (server.fresh_database(), Place::empty());
    let port = server.port().to_string();
    let variables = variables(&port, &database, "");
    doctor(&place, Some("db"), &variables).await.expect("db.migrations", "pass", "the database is empty", "");

    let many = [&variables[..], &[("DB_CONNECTION_LIMIT", "500")]].concat();
    let found = doctor(&place, Some("db"), &many).await;
    found.expect("db.connections", "fail", "501 connections", "lower DB_CONNECTION_LIMIT to");

    let mut migrate = place.command(["migrate", "up"]);
    ran(migrate.envs(variables.iter().copied()), b"").await.expect(0);
    let production =
        [&variables[..], &[("APP_ENV", "production"), ("JWT_SECRET", SECRET), ("QUEUE_BACKEND", "embedded")]]
            .concat();
    let found = doctor(&place, Some("db"), &production).await;
    found.expect("db.durability", "fail", "fsync = off", "damages the database");

    // Somebody else's migration of the same number.
    server.sql_in(&database, "UPDATE migrations SET sql = 'SELECT 1' WHERE number = 2");
    let found = doctor(&place, Some("db"), &variables).await;
    found.expect("db.migrations", "fail", "migration 2 (idempotency_keys) was applied with another text", "");
}

#[tokio::test]
async fn a_wrong_port_is_compared_with_the_usual_one() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port().to_string();
    drop(listener);
    let found = doctor(&Place::empty(), Some("db"), &[("DB_HOST", "127.0.0.1"), ("DB_PORT", &port)]).await;
    found.expect("db.reach", "fail", "(connection refused)", "5432");
    assert_eq!(found.checks[0]["from"][1], format!("DB_PORT={port} (environment)"));
}

#[tokio::test]
async fn a_user_who_is_not_known_or_may_not_enough_is_told_what_is_missing() {
    let server = Postgres::primary();
    let (database, place) = (server.fresh_database(), Place::empty());
    server.user_with_password("app", SECRET);
    let port = server.port().to_string();
    let user = [("DB_USER", "app"), ("DB_PASSWORD", SECRET)];
    let right = [&variables(&port, &database, "")[..], &user].concat();
    let found = doctor(&place, Some("db"), &right).await;
    found.expect("db.migrations", "fail", "our user may not make tables", "GRANT CREATE");

    let wrong =
        [&variables(&port, &database, "")[..], &[("DB_USER", "app"), ("DB_PASSWORD", "wrong")]].concat();
    let found = doctor(&place, Some("db"), &wrong).await;
    found.expect("db.reach", "fail", "password authentication failed", "DB_USER and DB_PASSWORD");
}

#[tokio::test]
async fn a_redis_that_may_lose_jobs_is_found_out() {
    let (place, redis) = (Place::empty(), Redis::new());
    let url = redis.url();
    let variables = [("REDIS_URL", url.as_str())];
    let found = doctor(&place, None, &variables).await;
    found.expect_health();
    for check in
        ["redis.reach", "redis.primary", "redis.clock", "redis.eviction", "redis.memory", "queue.server"]
    {
        assert_eq!(found.with(check, "pass").len(), 1, "{check}: {:#?}", found.checks);
    }
    found.expect("redis.persistence", "pass", "appendfsync everysec", "");

    redis.command("CONFIG SET maxmemory-policy allkeys-lru");
    redis.command("CONFIG SET appendonly no");
    redis.command("CONFIG SET maxmemory 1mb");
    let found = doctor(&place, Some("redis"), &variables).await;
    found.expect("redis.eviction", "fail", "allkeys-lru", "noeviction");
    found.expect("redis.persistence", "fail", "appendonly no", "appendonly yes");
    found.expect("redis.memory", "warn", "of 1 MiB", "raise maxmemory");
    assert_eq!(found.code, Some(1));
    let agreed = [variables[0], ("REDIS_MAY_LOSE_JOBS", "true")];
    let found = doctor(&place, Some("redis"), &agreed).await;
    found.expect("redis.persistence", "warn", "appendonly no", "");
    found.expect_health();
}
