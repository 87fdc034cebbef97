//! Jobs that are written in transactions, and how they reach the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::FutureExt;
use portwright_application::compute::Relay;
use portwright_application::prelude::*;
use portwright_application::transact;
use portwright_application::transact::{Committed, Transactions};
use portwright_domain::job::{Enqueued, JobId, JobState, NewJob};
use portwright_domain::mock::MockJobQueue;
use portwright_domain::ports::{JobQueue, Store, UnitOfWork};
use portwright_domain::{ErrorKind, PortError};
use portwright_memory::MemoryStore;
use portwright_testkit::builders::{JobBuilder, jobs};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::stage::Stage;
use super::works::Sum;

struct Office {
    stage: Stage,
    store: Arc<MemoryStore>,
    transactions: Transactions,
    relay: Relay,
}

impl Office {
    fn new() -> Self {
        let stage = Stage::new();
        let queue = stage.queue.clone();
        Self::with_queue(stage, queue)
    }

    fn with_queue(stage: Stage, queue: Arc<dyn JobQueue>) -> Self {
        let store = Arc::new(MemoryStore::new());
        let bell = stage.works.compute.bell().clone();
        let transactions = Transactions::new(store.clone(), stage.events.clone()).ringing(bell.clone());
        let relay = Relay::new(transactions.clone(), queue, bell);
        Self { stage, store, transactions, relay }
    }

    /// Writes these jobs past the engine.
    async fn write(&self, jobs: &[NewJob]) {
        let mut unit = self.store.begin().await.expect("begin works");
        for job in jobs {
            unit.outbox().enqueue(job).await.expect("it is written");
        }
        unit.commit().await.expect("commit works");
    }

    async fn pending(&self) -> usize {
        let mut unit = self.store.begin().await.expect("begin works");
        let pending = unit.outbox().pending(10_000).await.expect("pending works").len();
        unit.rollback().await.expect("rollback works");
        pending
    }

    async fn is_known(&self, job: JobId) -> bool {
        self.stage.queue.find(job).await.expect("find works").is_some()
    }
}

async fn enqueue_in(works: &super::works::Works, uow: &mut dyn UnitOfWork) -> Result<JobId, PortError> {
    let job = works.add_job(Sum::of(&[2, 2])).enqueue_in(uow).await;
    job.map_err(|error| PortError::new(ErrorKind::Corrupt, "test", error.to_string()))
}

async fn while_it_runs(office: &Office, work: impl Future<Output = ()>) {
    let stop = CancellationToken::new();
    let work = async {
        work.await;
        stop.cancel();
    };
    tokio::join!(office.relay.run(stop.clone()), work);
}

#[tokio::test(start_paused = true)]
async fn a_job_of_a_transaction_runs_moments_after_its_commit() {
    let office = Office::new();
    while_it_runs(&office, async {
        let done: Result<Committed<JobId>, PortError> =
            transact!(office.transactions, "test.work", |uow| enqueue_in(&office.stage.works, uow).await);
        let (job, committed_at) = (done.expect("it works").value, Instant::now());
        while !office.is_known(job).await {
            tokio::task::yield_now().await;
        }
        assert_eq!(committed_at.elapsed(), Duration::ZERO, "it was woken");
        assert_eq!(office.stage.drain().await, 1);
        assert_eq!(office.stage.job(job).await.state, JobState::Succeeded);
    })
    .await;
    assert_eq!(office.pending().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_of_a_transaction_that_fails_never_runs() {
    let office = Office::new();
    while_it_runs(&office, async {
        let mut job = None;
        let done: Result<Committed<()>, PortError> = transact!(office.transactions, "test.work", |uow| {
            job = enqueue_in(&office.stage.works, uow).await.ok();
            Err(PortError::new(ErrorKind::Corrupt, "test", "on cue"))
        });
        assert!(done.is_err());
        sleep(Duration::from_secs(5)).await;
        assert!(!office.is_known(job.expect("it was written")).await);
        assert_eq!(office.stage.drain().await, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_too_large_is_refused_before_it_is_written() {
    let office = Office::new();
    let mut unit = office.store.begin().await.expect("begin works");
    let refused = office.stage.works.refuse_job("x".repeat(300_000)).enqueue_in(&mut *unit).await;
    assert!(matches!(refused, Err(ComputeError::TooLarge { .. })), "{refused:?}");
    unit.rollback().await.expect("rollback works");
}

#[tokio::test(start_paused = true)]
async fn jobs_of_other_processes_are_found_within_a_second_or_so() {
    let office = Office::new();
    while_it_runs(&office, async {
        sleep(Duration::from_mins(1)).await;
        office.write(&jobs(1_001)).await;
        sleep(Duration::from_millis(1_100)).await;
        assert_eq!(office.pending().await, 0);
        assert!(office.is_known(JobBuilder::number(1_001).build().id).await);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_died_after_handing_over_changes_nothing() {
    let office = Office::new();
    let jobs = jobs(3);
    office.write(&jobs).await;
    office.stage.queue.enqueue(&jobs[..2]).await.expect("the one before had come so far");
    assert_eq!(office.relay.relay().await.expect("it works"), 3);
    assert_eq!((office.pending().await, office.relay.relay().await.expect("it works")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_written_while_the_queue_is_away_reaches_it_when_it_is_back() {
    let stage = Stage::new();
    let (tries, queue) = (Arc::new(AtomicU32::new(0)), stage.queue.clone());
    let mut away = MockJobQueue::new();
    let count = tries.clone();
    away.expect_enqueue().returning(move |jobs| {
        if count.fetch_add(1, Ordering::SeqCst) < 30 {
            return Err(PortError::new(ErrorKind::Unavailable, "jobs.enqueue", "on cue"));
        }
        queue.enqueue(jobs).now_or_never().expect("a queue in memory waits for nobody")
    });
    let office = Office::with_queue(stage, Arc::new(away));
    office.write(&jobs(10)).await;
    while_it_runs(&office, async {
        sleep(Duration::from_secs(10)).await;
        assert_eq!(office.pending().await, 10);
        assert!(tries.load(Ordering::SeqCst) <= 11, "it does not hammer the queue");
        sleep(Duration::from_secs(25)).await;
        assert_eq!(office.pending().await, 0);
    })
    .await;
    assert!(office.is_known(JobBuilder::number(10).build().id).await);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_the_queue_refuses_holds_nobody_up() {
    let stage = Stage::new();
    let mut queue = MockJobQueue::new();
    let refused = JobBuilder::number(1).build().id;
    queue.expect_enqueue().returning(move |jobs| {
        if jobs.iter().any(|job| job.id == refused) {
            return Err(PortError::new(ErrorKind::Unsupported, "jobs.enqueue", "on cue"));
        }
        Ok(vec![Enqueued::New; jobs.len()])
    });
    let office = Office::with_queue(stage, Arc::new(queue));
    office.write(&jobs(5)).await;
    assert_eq!(office.relay.relay().await.expect("it works"), 4);
    assert_eq!(office.pending().await, 1, "it stays, for an operator to see");
}
