//! Commits whose answer is lost, requests that are given up, and transactions that get in each other's way.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ports::{Consistency, Store, UnitOfWork, Unobserved};
use portwright_domain::user::{PersonName, User, UserId};
use portwright_domain::{ErrorKind, PortError};
use portwright_postgres::{PostgresConfig, PostgresStore};
use portwright_testkit::builders::{a_user, users};
use portwright_testkit::proxy::{Proxy, Trouble};
use portwright_testkit::servers::{Postgres, Stop};
use portwright_testkit::{Noise, sized};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

async fn store_on(server: &Postgres, port: u16) -> (PostgresStore, String) {
    let database = server.fresh_database();
    let url = format!("postgres://postgres@127.0.0.1:{port}/{database}");
    let config = PostgresConfig::at([url]).expect("a URL");
    (PostgresStore::init(&config, Arc::new(Unobserved)).await.expect("a store"), database)
}

async fn find(store: &PostgresStore, id: UserId) -> Option<User> {
    let mut view = store.read(Consistency::Strong).await.expect("a view");
    view.users().find(id).await.expect("an answer")
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_told_as_what_it_was() {
    let server = Postgres::primary();
    let proxy = Proxy::to(server.port()).await;
    let (store, _) = store_on(&server, proxy.port()).await;
    for (number, user) in users(200).into_iter().enumerate() {
        let delivered = number % 2 == 0;
        let mut unit = store.begin().await.expect("it begins");
        unit.users().insert(&user).await.expect("inserted");
        proxy.trouble(Trouble::CutOn { pattern: b"COMMIT", delivered });
        let answer = unit.commit().await;
        proxy.heal();
        let is_there = find(&store, user.id).await.is_some();
        match answer {
            Ok(_) => assert!(is_there, "{number}: it was said to be committed"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Contended, "{number}: {error}");
                assert!(!is_there, "{number}: nothing was said to have happened");
            }
        }
        assert_eq!(is_there, delivered, "{number}");
    }
    assert_eq!(proxy.cuts(), 200);
}

#[tokio::test]
async fn requests_that_are_given_up_anywhere_leave_nothing_open() {
    let server = Postgres::primary();
    let (store, database) = store_on(&server, server.port()).await;
    let mut noise = Noise::new(7);
    let user = a_user().build();
    let insert: Box<dyn UnitOfWork> = store.begin().await.expect("it begins");
    commit_with(insert, &user).await.expect("committed");
    let mut given_up = 0;
    for _ in 0..2_000 {
        let after = Duration::from_micros(noise.below(3_000) as u64);
        let request = async {
            let mut unit = store.begin().await?;
            unit.users().record_login(user.id, user.created_at).await?;
            store.read(Consistency::Strong).await?.users().find(user.id).await?;
            unit.commit().await
        };
        if timeout(after, request).await.is_err() {
            given_up += 1;
        }
    }
    assert!(given_up > 500, "only {given_up} were given up");

    let open = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND state LIKE 'idle in transaction%'"
    );
    let deadline = Instant::now() + Duration::from_secs(5);
    while server.sql(&open) != "0" {
        assert!(Instant::now() < deadline, "a transaction was left open");
    }
    let mut unit = store.begin().await.expect("it begins");
    assert!(unit.users().remove(user.id).await.expect("nobody holds a lock"));
    unit.commit().await.expect("committed");
}

async fn commit_with(mut unit: Box<dyn UnitOfWork>, user: &User) -> Result<(), PortError> {
    unit.users().insert(user).await?;
    unit.commit().await.map(drop)
}

/// Moves a unit from one user to another; how many a user has is its name.
async fn transfer(store: &PostgresStore, from: UserId, to: UserId) -> Result<(), PortError> {
    let mut unit = store.begin().await?;
    for (id, change) in [(from, -1), (to, 1)] {
        let before = unit.users().find(id).await?.expect("everybody is there");
        let units = units(&before) + change;
        let first_name = PersonName::from_stored(units.to_string());
        unit.users().update(&User { first_name, version: before.version.next(), ..before }).await?;
    }
    unit.commit().await.map(drop)
}

fn units(user: &User) -> i64 {
    user.first_name.as_str().parse().expect("a number")
}

#[tokio::test]
async fn transfers_that_get_in_each_others_way_neither_make_nor_lose_anything() {
    const CLIENTS: usize = 64;
    let transfers = sized(320, 20_000) / CLIENTS;
    let server = Postgres::primary();
    let (store, _) = store_on(&server, server.port()).await;
    let people: Arc<Vec<UserId>> = Arc::new(users(6).iter().map(|user| user.id).collect());
    let mut unit = store.begin().await.expect("it begins");
    for user in users(6) {
        let user = User { first_name: PersonName::from_stored("1000".to_owned()), ..user };
        unit.users().insert(&user).await.expect("inserted");
    }
    unit.commit().await.expect("committed");

    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (store, people) = (store.clone(), people.clone());
        clients.spawn(async move {
            let mut noise = Noise::new(client as u64 + 1);
            let mut retries = 0_u64;
            for _ in 0..transfers {
                let from = noise.below(people.len());
                let to = (from + 1 + noise.below(people.len() - 1)) % people.len();
                while let Err(error) = transfer(&store, people[from], people[to]).await {
                    let lost_a_race =
                        error.kind() == ErrorKind::Contended || error.conflicts_on("users.version");
                    let was_full = error.detail() == "no connection was free in time";
                    assert!(lost_a_race || was_full, "{error}");
                    retries += 1;
                }
            }
            retries
        });
    }
    let retries: u64 = clients.join_all().await.into_iter().sum();
    let mut sum = 0;
    for id in &*people {
        sum += units(&find(&store, *id).await.expect("everybody is there"));
    }
    assert_eq!(sum, 6_000, "after {retries} retries");
    assert!(retries > 0, "nobody got in anybody's way");
}

#[tokio::test]
async fn what_was_committed_survives_every_kill_of_the_server() {
    let server = Postgres::primary();
    // As in production: what is answered is on the disk.
    server.sql("ALTER SYSTEM SET fsync = on");
    server.sql("ALTER SYSTEM SET full_page_writes = on");
    // One call for all files of a recovery, instead of one for each.
    server.sql("ALTER SYSTEM SET recovery_init_sync_method = syncfs");
    server.stop(Stop::Fast);
    server.start();
    assert_eq!(server.sql("SELECT current_setting('fsync') || current_setting('full_page_writes')"), "onon");
    let (store, _) = store_on(&server, server.port()).await;
    let kills = sized(8, 200);
    let (acknowledged, mut told) = unbounded_channel();
    let mut people = users(u32::try_from(kills * 200).expect("a small number")).into_iter();
    let mut committed = Vec::new();
    for _ in 0..kills {
        let mut writers = JoinSet::new();
        for _ in 0..4 {
            let (store, acknowledged) = (store.clone(), acknowledged.clone());
            let mine: Vec<_> = people.by_ref().take(50).collect();
            writers.spawn(async move {
                for user in mine {
                    let Ok(unit) = store.begin().await else { return };
                    // Whatever is done after the kill says nothing of it.
                    let Ok(()) = commit_with(unit, &user).await else { return };
                    acknowledged.send(user.id).expect("somebody listens");
                }
            });
        }
        committed.extend(told.recv().await);
        server.stop(Stop::Kill);
        server.start();
        let healed = Instant::now();
        while store.begin().await.is_err() {
            assert!(healed.elapsed() < Duration::from_secs(2), "it does not heal");
        }
        writers.join_all().await;
        while let Ok(id) = told.try_recv() {
            committed.push(id);
        }
    }
    for id in committed {
        assert!(find(&store, id).await.is_some(), "{id} is lost");
    }
}
