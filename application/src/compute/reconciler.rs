//! [`Reconciler`]: brings jobs of transactions back to a queue that has lost them.
//!
//! Some queues can lose what they took: a memory that is flushed, a host that burns with the last second of its log, a
//! failover to a replica that was behind. So the relay of such a queue [keeps](super::Relay::keeping_jobs) each job in
//! the outbox, and this compares the two for as long as it is there:
//!
//! | the queue says | so the job |
//! |---|---|
//! | it is finished, or was and is past its retention | is forgotten in the outbox |
//! | it waits or runs | stays |
//! | it never heard of it | is enqueued again |
//!
//! A job that had finished, but was not yet forgotten here when the queue lost everything, runs once more: execution is at
//! least once. Any number of reconcilers may run, since enqueuing is idempotent by id.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use portwright_domain::PortError;
use portwright_domain::job::{Enqueued, JobId, NewJob};
use portwright_domain::ports::{JobQueue, UnitOfWork};
use tokio_util::sync::CancellationToken;

use crate::transact;
use crate::transact::{Committed, Transactions};

/// From the end of one look to the next: how long a finished job is kept, and a lost one not missed.
const TICK: Duration = Duration::from_secs(5);
/// How many jobs are compared at once.
const PAGE: u32 = 200;
/// Between two pages, so that 100,000 jobs that wait take half a minute and not a whole core.
const PACE: Duration = Duration::from_millis(50);
/// How many questions the queue gets at once.
const QUESTIONS: usize = 32;

/// Compares what was handed over with what the queue has.
pub struct Reconciler {
    transactions: Transactions,
    queue: Arc<dyn JobQueue>,
}

/// What a look at all jobs that were handed over came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Jobs that were finished, and are forgotten now.
    pub finished: u64,
    /// Jobs that the queue had lost, and has again.
    pub restored: u64,
}

/// What is to be done about one job.
enum Finding {
    Finished(JobId),
    Lost(Box<NewJob>),
    AtWork,
}

impl Reconciler {
    /// A reconciler of the outbox in this store and this queue.
    #[must_use]
    pub fn new(transactions: Transactions, queue: Arc<dyn JobQueue>) -> Self {
        Self { transactions, queue }
    }

    /// Reconciles every few seconds until it is told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        let mut failing = false;
        while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            match stop.run_until_cancelled(self.reconcile()).await {
                None => return,
                Some(Ok(Reconciled { restored, .. })) => {
                    failing = false;
                    if restored > 0 {
                        tracing::warn!(jobs = restored, "the queue had lost jobs, and has them again");
                    }
                }
                // Said once, not at each look of an outage.
                Some(Err(error)) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "nobody looks for jobs that the queue has lost");
                }
                Some(Err(_)) => {}
            }
        }
    }

    /// Looks once at every job that was handed over.
    ///
    /// # Errors
    /// What the store or the queue answers; nothing is lost, and the next call starts over.
    pub async fn reconcile(&self) -> Result<Reconciled, PortError> {
        let mut all = Reconciled::default();
        let mut after = None;
        loop {
            let jobs: Committed<Vec<NewJob>> =
                transact!(self.transactions, "reconciler.handed_over", |uow| uow
                    .outbox()
                    .handed_over(after, PAGE)
                    .await)?;
            let jobs = jobs.value;
            let (count, last) = (jobs.len(), jobs.last().map(|job| job.id));
            if count > 0 {
                let page = self.compare(jobs).await?;
                all.finished += page.finished;
                all.restored += page.restored;
            }
            if count < PAGE as usize {
                return Ok(all);
            }
            after = last;
            tokio::time::sleep(PACE).await;
        }
    }

    async fn compare(&self, jobs: Vec<NewJob>) -> Result<Reconciled, PortError> {
        let findings = stream::iter(jobs).map(|job| self.look_for(job)).buffer_unordered(QUESTIONS);
        let (mut finished, mut lost) = (Vec::new(), Vec::new());
        for finding in findings.try_collect::<Vec<_>>().await? {
            match finding {
                Finding::Finished(job) => finished.push(job),
                Finding::Lost(job) => lost.push(*job),
                Finding::AtWork => {}
            }
        }
        let mut restored = 0;
        if !lost.is_empty() {
            for (job, answer) in lost.iter().zip(self.queue.enqueue(&lost).await?) {
                match answer {
                    Enqueued::New => restored += 1,
                    Enqueued::Known => {}
                    // Another job does its work.
                    Enqueued::Held(_) => finished.push(job.id),
                }
            }
        }
        let ended = finished.len() as u64;
        if !finished.is_empty() {
            let forgotten: Committed<()> =
                transact!(self.transactions, "reconciler.forget", |uow| forget_in(uow, &finished).await)?;
            let () = forgotten.value;
        }
        Ok(Reconciled { finished: ended, restored })
    }

    async fn look_for(&self, job: NewJob) -> Result<Finding, PortError> {
        let id = job.id;
        Ok(match self.queue.find(id).await? {
            Some(known) if known.state.is_terminal() => Finding::Finished(id),
            Some(_) => Finding::AtWork,
            None if self.queue.removed(id).await?.is_some() => Finding::Finished(id),
            None => Finding::Lost(Box::new(job)),
        })
    }
}

async fn forget_in(unit: &mut dyn UnitOfWork, jobs: &[JobId]) -> Result<(), PortError> {
    unit.outbox().remove(jobs).await
}
