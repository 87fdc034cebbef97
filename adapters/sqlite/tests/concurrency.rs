//! Many at once, and futures dropped half-way: nobody meets a locked database, nothing stays open, the log stays small.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portwright_domain::PortError;
use portwright_domain::job::NewJob;
use portwright_domain::page::{Direction, Limit, PageRequest, Rest};
use portwright_domain::ports::{Consistency, Store};
use portwright_domain::user::{User, UserFilter, UserSort};
use portwright_sqlite::{SqliteConfig, SqliteStore};
use portwright_testkit::builders::{JobBuilder, UserBuilder, users};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::init(&SqliteConfig::at(path)).await.expect("a store")
}

async fn insert(store: &SqliteStore, users: &[User]) -> Result<(), PortError> {
    let mut unit = store.begin().await?;
    for user in users {
        // To read before writing is where a transaction that locks late is refused.
        assert_eq!(unit.users().find(user.id).await?, None);
        unit.users().insert(user).await?;
    }
    unit.commit().await.map(drop)
}

async fn count(store: &SqliteStore) -> u64 {
    let mut view = store.read(Consistency::Strong).await.expect("read works");
    let page = PageRequest::Numbered { page: 1, limit: Limit::DEFAULT };
    let listed =
        view.users().list(&UserFilter::default(), UserSort::Email, Direction::Ascending, &page).await;
    match listed.expect("list works").rest {
        Rest::Total(total) => total,
        Rest::Next(_) => panic!("a numbered page knows the total"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_on_one_file_never_meet_a_locked_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.db");
    let stores = [open(&path).await, open(&path).await];
    let mut tasks = JoinSet::new();
    for writer in 0..32 {
        let store = stores[writer as usize % 2].clone();
        tasks.spawn(async move {
            for n in 0..10 {
                let user = UserBuilder::number(writer * 10 + n).build();
                insert(&store, std::slice::from_ref(&user)).await.expect("nobody is refused");
                let mut view = store.read(Consistency::Strong).await.expect("read works");
                assert_eq!(view.users().find(user.id).await.expect("find works"), Some(user));
            }
        });
    }
    tasks.join_all().await;
    assert_eq!([count(&stores[0]).await, count(&stores[1]).await], [320; 2]);
}

/// Steps of a generator (splitmix64), so that every run drops at the same points of the driver's progress or nearly so.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_units_of_work_dropped_anywhere_leave_nothing_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.db");
    let store = open(&path).await;
    let (mut seed, mut whole, mut dropped) = (42, 0, 0);
    // Moments of dropping are spread over this many microseconds, which find their measure: about half of them too late.
    let mut span = 1_000;
    for round in 0..2_000 {
        let two = [1, 2].map(|n| UserBuilder::number(2 * round + n).build());
        let (start, patience) = (Instant::now(), Duration::from_micros(random(&mut seed) % span));
        let mut work = Box::pin(insert(&store, &two));
        let finished = std::future::poll_fn(|context| match work.as_mut().poll(context) {
            std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
            std::task::Poll::Pending if start.elapsed() >= patience => std::task::Poll::Ready(None),
            std::task::Poll::Pending => {
                context.waker().wake_by_ref();
                std::task::Poll::Pending
            }
        })
        .await;
        drop(work);
        if let Some(done) = finished {
            done.expect("nobody else writes");
            whole += 1;
            span -= span / 50;
        } else {
            dropped += 1;
            span += span / 50;
        }
        if round % 50 == 0 {
            assert_eq!(count(&store).await % 2, 0, "a unit of work happened by half");
        }
    }
    assert!(whole > 500 && dropped > 500, "{whole} finished and {dropped} were dropped");

    // Another process may write at once, the next unit of work is clean, and nobody holds the file after the end.
    let other = open(&path).await;
    for store in [&other, &store] {
        let unit = store.begin().await.expect("nothing is locked");
        unit.commit().await.expect("commit works");
    }
    let found = count(&other).await;
    assert!(found.is_multiple_of(2) && found >= 2 * whole, "{found} users after {whole} whole units of work");
    other.close().await;
    store.close().await;
    assert!(!folder.path().join("test.db-wal").exists(), "the last connection folds the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_small_under_constant_readers() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.db");
    let store = open(&path).await;
    insert(&store, &users(10)).await.expect("insert works");

    // Relays of readers, each of which begins before the one before it has ended.
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for delay in [0, 10, 20] {
        let (options, stop) = (SqliteConnectOptions::new().filename(&path), Arc::clone(&stop));
        readers.spawn(async move {
            let mut connection = options.connect().await.expect("a connection");
            sleep(Duration::from_millis(delay)).await;
            while !stop.load(Ordering::Relaxed) {
                let mut reading = connection.begin().await.expect("begin works");
                sqlx::query("SELECT id FROM users").fetch_all(&mut *reading).await.expect("reading works");
                sleep(Duration::from_millis(30)).await;
            }
        });
    }
    let mut largest = 0;
    for n in 0..400 {
        let job = JobBuilder::number(n).with_payload(vec![7; NewJob::MAX_PAYLOAD]).build();
        let mut unit = store.begin().await.expect("begin works");
        unit.outbox().enqueue(&job).await.expect("enqueue works");
        unit.outbox().remove(&[job.id]).await.expect("remove works");
        unit.commit().await.expect("commit works");
        let log = std::fs::metadata(folder.path().join("test.db-wal")).map_or(0, |log| log.len());
        largest = largest.max(log);
    }
    stop.store(true, Ordering::Relaxed);
    readers.join_all().await;
    assert!(largest <= 64 << 20, "the log grew to {largest} bytes");
}
