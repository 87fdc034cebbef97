//! The tables are brought up to date once, by whoever comes first, and never against what was run before.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use portwright_domain::ErrorKind;
use portwright_sqlite::migrate::{self, MIGRATIONS};
use portwright_sqlite::{SqliteConfig, SqliteStore};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use tokio::task::JoinSet;

fn config_in(folder: &TempDir) -> SqliteConfig {
    SqliteConfig::at(folder.path().join("test.db"))
}

/// Does something to the file behind the store's back.
async fn tamper(config: &SqliteConfig, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(&config.path).create_if_missing(true);
    let mut connection = options.connect().await.expect("a connection");
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("valid SQL");
    connection.close().await.expect("closes");
}

#[tokio::test]
async fn what_is_applied_is_not_applied_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config_in(&folder);
    let before = migrate::status(&config).await.expect("a status");
    assert_eq!((before.applied.len(), before.pending.as_slice()), (0, &MIGRATIONS[..]));
    assert!(!config.path.exists(), "to look changes nothing");

    assert_eq!(migrate::up(&config).await.expect("up works"), MIGRATIONS);
    assert_eq!(migrate::up(&config).await.expect("up works"), []);
    let after = migrate::status(&config).await.expect("a status");
    let applied: Vec<_> = after.applied.iter().map(|(migration, _)| *migration).collect();
    assert_eq!((applied.as_slice(), after.pending.len()), (&MIGRATIONS[..], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_start_at_once_each_migration_is_applied_by_one() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut starts = JoinSet::new();
        for _ in 0..8 {
            let config = config_in(&folder);
            starts.spawn(async move { migrate::up(&config).await.expect("nobody fails") });
        }
        let mut applied: Vec<_> = starts.join_all().await.concat();
        applied.sort_by_key(|migration| migration.number);
        assert_eq!(applied, MIGRATIONS);
    }
}

#[tokio::test]
async fn a_start_without_migrating_is_refused_while_one_is_pending() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = SqliteConfig { migrate: false, ..config_in(&folder) };
    let refused = SqliteStore::init(&config).await.err().expect("refused");
    assert_eq!(refused.kind(), ErrorKind::Misconfigured);
    assert_eq!(refused.detail(), "migration 1 (users_and_sessions) is pending; apply it first");

    migrate::up(&config).await.expect("up works");
    assert!(SqliteStore::init(&config).await.is_ok());
}

#[tokio::test]
async fn a_file_that_does_not_fit_this_program_is_refused() {
    let cases = [
        (
            "UPDATE migrations SET sql = sql || ' ' WHERE number = 2",
            "migration 2 (idempotency_keys) was applied with another text than this program has",
        ),
        (
            "INSERT INTO migrations VALUES (7, 'of_tomorrow', '', 0)",
            "the database is newer than this program: migration 7 (of_tomorrow) is unknown",
        ),
        ("DELETE FROM migrations WHERE number = 1", "migration 1 was never applied, but 2 was"),
        ("DROP TABLE migrations", "the file is the database of another program"),
    ];
    for (change, reason) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config_in(&folder);
        migrate::up(&config).await.expect("up works");
        tamper(&config, change).await;
        for refused in [
            migrate::status(&config).await.err(),
            migrate::up(&config).await.err(),
            SqliteStore::init(&config).await.err(),
        ] {
            let refused = refused.expect("refused");
            assert_eq!(refused.kind(), ErrorKind::Misconfigured);
            assert!(refused.detail().ends_with(reason), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config_in(&folder);
    migrate::up(&config).await.expect("up works");
    // The last but one finds its last index, although it was never applied.
    tamper(
        &config,
        "DELETE FROM migrations WHERE number >= 5; ALTER TABLE idempotency_keys DROP COLUMN begun_at;
         DROP INDEX outbox_pending; DROP INDEX outbox_handed_over; ALTER TABLE outbox DROP COLUMN handed_over;
         CREATE INDEX outbox_handed_over ON outbox (id)",
    )
    .await;
    assert!(migrate::up(&config).await.is_err());
    assert_eq!(migrate::status(&config).await.expect("a status").pending, MIGRATIONS[4..]);
    tamper(&config, "DROP INDEX outbox_handed_over").await;
    assert_eq!(migrate::up(&config).await.expect("up works"), MIGRATIONS[4..]);
}
