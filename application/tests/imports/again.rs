//! An import that is interrupted, and goes on.

use std::sync::Arc;
use std::time::Duration;

use portwright_application::imports::{ImportError, ImportReport};
use portwright_domain::ErrorKind;
use portwright_domain::job::{JobState, Outcome, WorkerId};
use portwright_domain::ports::job_queue::Cancelled;
use portwright_domain::ports::{JobQueue, JobSource, Store};
use portwright_domain::user::User;
use portwright_memory::{MemoryStore, PlainHasher};
use portwright_testkit::faults::{Fault, Flaky, When};
use tokio_util::sync::CancellationToken;

use crate::transfers::{Office, file_of};

/// Longer than any test waits.
const FOR_EVER: Fault = Fault::Delay(Duration::from_hours(1_000));

async fn office_with_store() -> (Office, Arc<Flaky<dyn Store>>) {
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let store = Arc::new(Flaky::new(inner));
    let given = store.clone();
    (Office::with(|setup| setup.store = given).await, store)
}

async fn office_with_hasher() -> (Office, Arc<Flaky<PlainHasher>>) {
    let hasher = Arc::new(Flaky::new(Arc::new(PlainHasher::default())));
    let given = hasher.clone();
    (Office::with(|setup| setup.hasher = given).await, hasher)
}

impl Office {
    async fn until_population(&self, count: u64) {
        for _ in 0..20_000 {
            if self.population().await >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("there are only {} users", self.population().await);
    }

    async fn imported(&self, row: usize) -> User {
        self.user(&format!("user{row}@example.com")).await.expect("the row was created")
    }
}

#[tokio::test]
async fn a_try_that_fails_in_the_middle_is_made_again_and_comes_to_the_same() {
    for fault in [Fault::Refuse(ErrorKind::Unavailable), Fault::LoseAnswer(ErrorKind::Unavailable)] {
        let (office, store) = office_with_store().await;
        let id = office.submit(file_of(350)).await;
        store.cue(When::NthOf("store.commit", 3), fault);
        office.drain().await;
        assert_eq!(office.job(id).await.state, JobState::Scheduled, "it is to be tried again");
        let (there, first) = (office.population().await - 1, office.imported(1).await);
        assert!(there == 200 || there == 300, "{there}");

        office.world.clock.advance(Duration::from_mins(10));
        office.drain().await;
        let job = office.job(id).await;
        let report: ImportReport = Office::result(&job);
        assert_eq!((job.attempts, report), (2, ImportReport { created: 350, ..ImportReport::default() }));
        assert_eq!(office.population().await, 351);
        assert_eq!(office.imported(1).await, first, "who was there is left alone");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_in_the_middle_is_replaced_and_it_comes_to_the_same() {
    let (office, hasher) = office_with_hasher().await;
    let id = office.submit(file_of(250)).await;
    hasher.cue(When::NthOf("hasher.hash", 150), FOR_EVER);
    let dying = office.worker("dying");
    tokio::select! {
        ending = dying.run(CancellationToken::new(), CancellationToken::new()) => panic!("{ending:?}"),
        () = office.until_population(101) => {}
    }
    assert_eq!(office.job(id).await.state, JobState::Running);
    assert_eq!(office.population().await, 101, "one batch");

    hasher.recover();
    office.world.clock.advance(Duration::from_mins(5));
    let dead = WorkerId::parse("dying").expect("a valid name");
    assert_eq!(office.world.queue.bury(&dead).await.expect("bury works"), 1);
    office.world.hasher.take_counts();
    office.drain().await;
    let report: ImportReport = Office::result(&office.job(id).await);
    assert_eq!(report, ImportReport { created: 250, ..ImportReport::default() });
    assert_eq!(office.population().await, 251);
    assert_eq!(office.world.hasher.take_counts().0, 150, "who was created is not hashed again");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_import_stops_and_keeps_who_was_created() {
    let (office, hasher) = office_with_hasher().await;
    let id = office.submit(file_of(250)).await;
    hasher.cue(When::NthOf("hasher.hash", 150), FOR_EVER);
    let worker = office.worker("one");
    let soft = CancellationToken::new();
    let cancelled = async {
        office.until_population(101).await;
        assert_eq!(office.world.queue.cancel(id).await.expect("cancel works"), Cancelled::Requested);
        let outcome = office.world.queue.outcome(id, Duration::from_mins(1)).await.expect("it answers");
        soft.cancel();
        outcome
    };
    let (_, outcome) = tokio::join!(worker.run(soft.clone(), CancellationToken::new()), cancelled);
    assert_eq!(outcome, Some(Outcome::Cancelled));
    assert_eq!(office.population().await, 101);
    assert_eq!(office.job(id).await.progress.done, 100);
}

#[tokio::test(start_paused = true)]
async fn a_hasher_that_is_busy_for_a_while_costs_no_try_and_one_that_stays_so_does() {
    let (office, hasher) = office_with_hasher().await;
    let id = office.submit(file_of(150)).await;
    for number in 3..30 {
        hasher.cue(When::NthOf("hasher.hash", number), Fault::Refuse(ErrorKind::Unavailable));
    }
    office.drain().await;
    let job = office.job(id).await;
    let report: ImportReport = Office::result(&job);
    assert_eq!((job.attempts, report), (1, ImportReport { created: 150, ..ImportReport::default() }));

    hasher.cue(When::Every("hasher.hash"), Fault::Refuse(ErrorKind::Unavailable));
    let id = office.submit("email,firstName,lastName,role,password\na@b,A,B,,tango-velvet-harbor-91").await;
    office.drain().await;
    assert_eq!(office.job(id).await.state, JobState::Scheduled, "it is to be tried again");
}

#[tokio::test]
async fn an_import_whose_file_is_gone_fails_without_another_try() {
    let office = Office::new().await;
    let id = office.submit(file_of(1)).await;
    for file in office.world.storage.list("imports/", None, 10).await.expect("listing works") {
        office.world.storage.remove(&file.key).await.expect("removing works");
    }
    office.drain().await;
    let Outcome::Failed(error) = office.outcome(id).await else { panic!("it has not failed") };
    let error: ImportError = serde_json::from_slice(&error).expect("it is read");
    assert_eq!(error, ImportError::FileGone);
}

#[tokio::test]
async fn whoever_was_renamed_or_overtaken_between_two_tries_is_counted_and_left_alone() {
    let (office, store) = office_with_store().await;
    let id = office.submit(file_of(150)).await;
    store.cue(When::NthOf("store.commit", 2), Fault::Refuse(ErrorKind::Unavailable));
    office.drain().await;
    let mut renamed = office.imported(1).await;
    renamed.email = crate::world::email("renamed@example.com");
    renamed.version = renamed.version.next();
    let mut unit = office.world.unit().await;
    unit.users().update(&renamed).await.expect("updating works");
    unit.commit().await.expect("committing works");

    office.world.clock.advance(Duration::from_mins(10));
    office.drain().await;
    let report: ImportReport = Office::result(&office.job(id).await);
    assert_eq!(report, ImportReport { created: 150, ..ImportReport::default() });
    assert_eq!(office.population().await, 151);
    assert_eq!(office.user("renamed@example.com").await, Some(renamed));
}
