//! Transactions that start over when they lose a race, and only then.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portwright_application::transact;
use portwright_application::transact::{Committed, Transactions};
use portwright_domain::mock::{MockStore, MockUnitOfWork};
use portwright_domain::ports::{CommitToken, Consistency, Event, Store, UnitOfWork};
use portwright_domain::{ErrorKind, PortError, Race};
use portwright_memory::MemoryStore;
use portwright_testkit::builders::a_user;
use tokio::time::Instant;

use crate::world::Recorder;

const RETRIED: Event<'_> = Event::TransactionRetried { operation: "test.work", race: Race::Deadlock };

fn error(kind: ErrorKind) -> PortError {
    PortError::new(kind, "test", "on cue").with_race(Race::Deadlock)
}

fn contended<T>() -> Result<T, PortError> {
    Err(error(ErrorKind::Contended))
}

fn token() -> CommitToken {
    CommitToken::new("the commit".to_owned())
}

/// A store whose n-th call of `begin` gets `answer(n)`, counted from 1, and how often it was called.
fn store_of<F>(answer: F) -> (Arc<dyn Store>, Arc<AtomicU32>)
where
    F: Fn(u32) -> Result<Box<dyn UnitOfWork>, PortError> + Send + 'static,
{
    let begun = Arc::new(AtomicU32::new(0));
    let count = begun.clone();
    let mut store = MockStore::new();
    store.expect_begin().returning(move || answer(count.fetch_add(1, Ordering::SeqCst) + 1));
    (Arc::new(store), begun)
}

/// A unit of work that must be committed, with this answer.
fn commits(answer: Result<CommitToken, PortError>) -> Box<dyn UnitOfWork> {
    let mut unit = MockUnitOfWork::new();
    unit.expect_commit().times(1).return_once(move || answer);
    Box::new(unit)
}

/// A unit of work that must be rolled back, with this answer.
fn rolls_back(answer: Result<(), PortError>) -> Box<dyn UnitOfWork> {
    let mut unit = MockUnitOfWork::new();
    unit.expect_rollback().times(1).return_once(move || answer);
    Box::new(unit)
}

/// Does this work in a transaction, which is told how often it was begun.
async fn run(
    store: Arc<dyn Store>,
    events: &Arc<Recorder>,
    work: impl Fn(u32) -> Result<u32, PortError>,
) -> Result<Committed<u32>, PortError> {
    let transactions = Transactions::new(store, events.clone());
    let mut tries = 0;
    transact!(transactions, "test.work", |_uow| {
        tries += 1;
        work(tries)
    })
}

#[tokio::test]
async fn what_succeeds_is_committed_and_proved() {
    let events = Arc::new(Recorder::default());
    let (store, begun) = store_of(|_| Ok(commits(Ok(token()))));
    let done = run(store, &events, Ok).await.expect("it works");
    assert_eq!(done, Committed { value: 1, token: token() });
    assert_eq!((begun.load(Ordering::SeqCst), events.count(&RETRIED)), (1, 0));
    assert_eq!(done.map(|value| value + 1), Committed { value: 2, token: token() });
}

#[tokio::test(start_paused = true)]
async fn a_race_that_is_lost_at_the_beginning_starts_over() {
    let events = Arc::new(Recorder::default());
    let (store, begun) = store_of(|n| if n < 3 { contended() } else { Ok(commits(Ok(token()))) });
    assert_eq!(run(store, &events, Ok).await.expect("it works").value, 1, "the work ran once");
    assert_eq!((begun.load(Ordering::SeqCst), events.count(&RETRIED)), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_race_that_is_lost_at_the_commit_starts_over() {
    let events = Arc::new(Recorder::default());
    let (store, begun) = store_of(|n| Ok(commits(if n < 3 { contended() } else { Ok(token()) })));
    assert_eq!(run(store, &events, Ok).await.expect("it works").value, 3);
    assert_eq!((begun.load(Ordering::SeqCst), events.count(&RETRIED)), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_race_that_is_lost_within_the_work_is_rolled_back_and_starts_over() {
    let events = Arc::new(Recorder::default());
    let (store, begun) = store_of(|n| Ok(if n < 3 { rolls_back(Ok(())) } else { commits(Ok(token())) }));
    let done = run(store, &events, |tries| if tries < 3 { contended() } else { Ok(tries) }).await;
    assert_eq!(done.expect("it works").value, 3);
    assert_eq!((begun.load(Ordering::SeqCst), events.count(&RETRIED)), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_after_ten_tries_wherever_they_fail() {
    for at_the_beginning in [true, false] {
        let events = Arc::new(Recorder::default());
        let answer = move |_| if at_the_beginning { contended() } else { Ok(commits(contended())) };
        let (store, begun) = store_of(answer);
        let given_up = run(store, &events, Ok).await.expect_err("it gives up");
        assert_eq!(given_up.kind(), ErrorKind::Contended);
        assert_eq!((begun.load(Ordering::SeqCst), events.count(&RETRIED)), (10, 9));
    }
}

/// How long work that loses every race waits between its tries.
async fn waits() -> Vec<Duration> {
    let begins = Arc::new(Mutex::new(Vec::new()));
    let noted = begins.clone();
    let (store, _) = store_of(move |_| {
        noted.lock().expect("not poisoned").push(Instant::now());
        contended()
    });
    run(store, &Arc::new(Recorder::default()), Ok).await.expect_err("it gives up");
    let begins = begins.lock().expect("not poisoned");
    begins.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn it_waits_longer_and_longer_within_bounds() {
    // The timer counts whole milliseconds, and rounds up.
    let tick = Duration::from_millis(1);
    let mut longest = Duration::ZERO;
    for _ in 0..50 {
        let mut before = Duration::from_millis(5);
        for wait in waits().await {
            let ceiling = (before * 3).min(Duration::from_millis(500)) + tick;
            assert!(wait >= Duration::from_millis(5) && wait <= ceiling, "{wait:?} of {ceiling:?}");
            before = wait;
            longest = longest.max(wait);
        }
    }
    assert!(longest > Duration::from_millis(50), "of 450 waits the longest was {longest:?}");
}

#[tokio::test(start_paused = true)]
async fn no_try_begins_after_five_seconds() {
    let events = Arc::new(Recorder::default());
    let transactions = Transactions::new(store_of(|_| Ok(rolls_back(Ok(())))).0, events);
    let begin = Instant::now();
    let mut last_try = begin;
    let given_up: Result<Committed<()>, PortError> = transact!(transactions, "test.work", |_uow| {
        last_try = Instant::now();
        tokio::time::sleep(Duration::from_secs(2)).await;
        contended()
    });
    assert_eq!(given_up.expect_err("it gives up").kind(), ErrorKind::Contended);
    let last_try = last_try - begin;
    assert!(last_try > Duration::from_secs(4) && last_try < Duration::from_secs(5), "{last_try:?}");
}

#[tokio::test]
async fn no_other_error_is_tried_again() {
    use ErrorKind::{Conflict, Corrupt, LeaseLost, Misconfigured, Unavailable, Unsupported};
    for kind in [Conflict, LeaseLost, Unavailable, Unsupported, Corrupt, Misconfigured] {
        let events = Arc::new(Recorder::default());
        let at_begin = store_of(move |_| Err(error(kind)));
        let at_commit = store_of(move |_| Ok(commits(Err(error(kind)))));
        let in_work = store_of(|_| Ok(rolls_back(Ok(()))));
        let answers = [
            (run(at_begin.0, &events, Ok).await, at_begin.1),
            (run(at_commit.0, &events, Ok).await, at_commit.1),
            (run(in_work.0, &events, |_| Err(error(kind))).await, in_work.1),
        ];
        for (answer, begun) in answers {
            assert_eq!(answer.expect_err("it failed").kind(), kind);
            assert_eq!(begun.load(Ordering::SeqCst), 1);
        }
        assert_eq!(events.count(&RETRIED), 0);
    }
}

#[tokio::test]
async fn a_rollback_that_fails_hides_no_error() {
    let (store, _) = store_of(|_| Ok(rolls_back(Err(error(ErrorKind::Unavailable)))));
    let answer = run(store, &Arc::new(Recorder::default()), |_| Err(error(ErrorKind::Corrupt))).await;
    assert_eq!(answer.expect_err("it failed").kind(), ErrorKind::Corrupt);
}

async fn is_empty(store: &MemoryStore) -> bool {
    let mut view = store.read(Consistency::Strong).await.expect("reading works");
    view.users().find(a_user().build().id).await.expect("finding works").is_none()
}

#[tokio::test]
async fn an_error_leaves_nothing_of_what_was_done_before_it() {
    let store = Arc::new(MemoryStore::new());
    let transactions = Transactions::new(store.clone(), Arc::new(Recorder::default()));
    let failed: Result<Committed<()>, PortError> = transact!(transactions, "test.work", |uow| {
        let inserted = uow.users().insert(&a_user().build()).await;
        inserted.and_then(|()| Err(error(ErrorKind::Corrupt)))
    });
    assert_eq!(failed.expect_err("it failed").kind(), ErrorKind::Corrupt);
    assert!(is_empty(&store).await);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_whose_caller_goes_away_leaves_nothing_and_locks_nothing() {
    let store = Arc::new(MemoryStore::new());
    let transactions = Transactions::new(store.clone(), Arc::new(Recorder::default()));
    let hangs = async {
        let _: Result<Committed<()>, PortError> = transact!(transactions, "test.work", |uow| {
            uow.users().insert(&a_user().build()).await.expect("inserting works");
            std::future::pending().await
        });
    };
    tokio::time::timeout(Duration::from_secs(1), hangs).await.expect_err("it hangs");
    assert!(is_empty(&store).await);

    let begin = Instant::now();
    store.begin().await.expect("it is free").rollback().await.expect("rolling back works");
    assert_eq!(begin.elapsed(), Duration::ZERO);
}
