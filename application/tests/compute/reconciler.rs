//! Jobs of transactions on a queue that loses them.

use std::sync::Arc;
use std::time::Duration;

use portwright_application::compute::{Reconciled, Reconciler, Relay};
use portwright_application::transact::Transactions;
use portwright_domain::job::{Enqueued, JobId, JobState, NewJob};
use portwright_domain::mock::MockJobQueue;
use portwright_domain::ports::{JobQueue, Store};
use portwright_domain::{ErrorKind, PortError};
use portwright_memory::{MemoryJobQueue, MemoryStore};
use portwright_testkit::builders::{JobBuilder, jobs};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::stage::Stage;
use super::works::Sum;

/// A store whose jobs were handed over to the queue of a stage.
struct Ledger {
    stage: Stage,
    store: Arc<MemoryStore>,
    transactions: Transactions,
}

impl Ledger {
    /// Writes these jobs, and hands them over.
    async fn new(jobs: &[NewJob]) -> Self {
        let stage = Stage::new();
        let store = Arc::new(MemoryStore::new());
        let transactions = Transactions::new(store.clone(), stage.events.clone());
        let ledger = Self { stage, store, transactions };
        let mut unit = ledger.store.begin().await.expect("begin works");
        for job in jobs {
            unit.outbox().enqueue(job).await.expect("it is written");
        }
        unit.commit().await.expect("commit works");
        ledger.relay(ledger.stage.queue.clone()).await;
        ledger
    }

    async fn relay(&self, queue: Arc<dyn JobQueue>) {
        let bell = self.stage.works.compute.bell().clone();
        let relay = Relay::new(self.transactions.clone(), queue, bell).keeping_jobs();
        relay.relay().await.expect("it works");
    }

    async fn reconcile(&self, queue: Arc<dyn JobQueue>) -> Reconciled {
        Reconciler::new(self.transactions.clone(), queue).reconcile().await.expect("it works")
    }

    async fn kept(&self) -> Vec<JobId> {
        let mut unit = self.store.begin().await.expect("begin works");
        let kept = unit.outbox().handed_over(None, 10_000).await.expect("handed_over works");
        unit.rollback().await.expect("rollback works");
        kept.into_iter().map(|job| job.id).collect()
    }
}

/// Nothing of what was there.
fn flushed(ledger: &Ledger) -> Arc<MemoryJobQueue> {
    Arc::new(MemoryJobQueue::new(ledger.stage.clock.clone()))
}

#[tokio::test(start_paused = true)]
async fn a_job_that_the_queue_has_lost_is_enqueued_again() {
    let jobs = jobs(1_001);
    let ledger = Ledger::new(&jobs).await;
    assert_eq!(ledger.kept().await.len(), 1_001);

    let queue = flushed(&ledger);
    assert_eq!(ledger.reconcile(queue.clone()).await, Reconciled { finished: 0, restored: 1_001 });
    for job in &jobs {
        let restored = queue.find(job.id).await.expect("find works").expect("it is there again");
        assert_eq!(restored.spec.task, job.task);
    }
    assert_eq!(ledger.reconcile(queue).await, Reconciled::default(), "once is enough");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_or_runs_is_left_alone() {
    let ledger = Ledger::new(&jobs(3)).await;
    assert_eq!(ledger.reconcile(ledger.stage.queue.clone()).await, Reconciled::default());
    assert_eq!(ledger.kept().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_finished_job_is_forgotten_and_never_runs_again() {
    let ledger = Ledger::new(&[]).await;
    let mut unit = ledger.store.begin().await.expect("begin works");
    let job =
        ledger.stage.works.add_job(Sum::of(&[2, 2])).enqueue_in(&mut *unit).await.expect("it is written");
    unit.commit().await.expect("commit works");
    ledger.relay(ledger.stage.queue.clone()).await;
    assert_eq!(ledger.stage.drain().await, 1);
    assert_eq!(ledger.stage.job(job).await.state, JobState::Succeeded);

    let queue = ledger.stage.queue.clone();
    assert_eq!(ledger.reconcile(queue).await, Reconciled { finished: 1, restored: 0 });
    assert_eq!(ledger.kept().await, []);
    assert_eq!(ledger.reconcile(flushed(&ledger)).await, Reconciled::default());
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_unique_key_another_holds_is_forgotten() {
    let held = JobBuilder::number(1).unique_by("report").build();
    let ledger = Ledger::new(std::slice::from_ref(&held)).await;
    let queue = flushed(&ledger);
    let holder = JobBuilder::number(2).unique_by("report").build();
    assert_eq!(queue.enqueue(&[holder]).await.expect("enqueue works"), [Enqueued::New]);
    assert_eq!(ledger.reconcile(queue).await, Reconciled { finished: 1, restored: 0 });
    assert_eq!(ledger.kept().await, []);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_queue_forgets_nothing_and_ends_by_itself() {
    let ledger = Ledger::new(&jobs(5)).await;
    let mut away = MockJobQueue::new();
    away.expect_find().returning(|_| Err(PortError::new(ErrorKind::Unavailable, "jobs.find", "on cue")));
    let failed = Reconciler::new(ledger.transactions.clone(), Arc::new(away)).reconcile().await;
    assert_eq!(failed.expect_err("it is away").kind(), ErrorKind::Unavailable);
    assert_eq!(ledger.kept().await.len(), 5);

    let queue = flushed(&ledger);
    let (reconciler, stop) =
        (Reconciler::new(ledger.transactions.clone(), queue.clone()), CancellationToken::new());
    let back = async {
        sleep(Duration::from_secs(6)).await;
        assert!(queue.find(JobBuilder::number(1).build().id).await.expect("find works").is_some());
        stop.cancel();
    };
    tokio::join!(reconciler.run(stop.clone()), back);
}
