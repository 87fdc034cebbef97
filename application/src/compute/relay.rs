//! [`Relay`]: hands jobs that were written in transactions to the queue.
//!
//! ```text
//! transaction ── writes job ──► outbox ── commit ──► relay ── enqueue ──► queue ── taken ──► forgotten in the outbox
//! ```
//! The relay may die between any two steps, and any number of relays may run: enqueuing is idempotent by id, so a job
//! is handed over at least once and exists once.
//!
//! It is woken by the commits of its own process ([`Bell`]), and looks by itself every second for those of others and
//! for what an outage of the queue left behind. A queue that can lose what it took needs the rows to stay until their
//! jobs are finished: then the relay keeps them, for the [reconciler](super::reconciler).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portwright_domain::job::{JobId, NewJob};
use portwright_domain::ports::{JobQueue, UnitOfWork};
use portwright_domain::{ErrorKind, PortError};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::transact;
use crate::transact::{Committed, Transactions};

/// How many jobs are handed over at once.
const BATCH: u32 = 200;
/// How often the relay looks without being woken.
const TICK: Duration = Duration::from_secs(1);
/// What the queue may take for a batch.
const PATIENCE: Duration = Duration::from_secs(5);

/// Wakes the relay after a commit that may have brought jobs. Clones are the same bell.
///
/// A commit is not known to belong to the transaction that wrote a job, so for up to a second after one was written,
/// every commit of the process rings.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Hints>);

#[derive(Debug, Default)]
struct Hints {
    expecting: AtomicBool,
    committed: Notify,
}

impl Bell {
    pub(super) fn expect_a_commit(&self) {
        self.0.expecting.store(true, Ordering::Release);
    }

    /// Tells that a transaction of this process committed.
    pub fn committed(&self) {
        if self.0.expecting.load(Ordering::Acquire) {
            self.0.committed.notify_one();
        }
    }
}

/// Moves jobs from the outbox to the queue.
pub struct Relay {
    transactions: Transactions,
    queue: Arc<dyn JobQueue>,
    bell: Bell,
    keeps: bool,
}

impl Relay {
    /// A relay that is woken by this bell, which is [`Compute::bell`](super::Compute::bell).
    #[must_use]
    pub fn new(transactions: Transactions, queue: Arc<dyn JobQueue>, bell: Bell) -> Self {
        // Its own commits bring no jobs, and would wake it for ever.
        Self { transactions: transactions.ringing(Bell::default()), queue, bell, keeps: false }
    }

    /// The same, keeping jobs in the outbox after the queue took them, until a [`Reconciler`](super::Reconciler) finds
    /// them finished. For a queue that can lose what it took.
    #[must_use]
    pub fn keeping_jobs(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// Relays until it is told to stop. What is written and not handed over then is found by the next one.
    pub async fn run(&self, stop: CancellationToken) {
        let mut failing = false;
        loop {
            match self.relay().await {
                Ok(_) => failing = false,
                // Said once, not each second of an outage.
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "jobs wait in the outbox");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = self.bell.0.committed.notified(), if !failing => {}
                () = tokio::time::sleep(TICK) => self.bell.0.expecting.store(false, Ordering::Release),
                () = stop.cancelled() => return,
            }
        }
    }

    /// Hands over all that is there now; returns how many jobs the queue took.
    ///
    /// # Errors
    /// What the store or the queue answers; nothing is lost, and the next call goes on.
    pub async fn relay(&self) -> Result<usize, PortError> {
        let mut taken = 0;
        loop {
            let jobs: Committed<Vec<NewJob>> =
                transact!(self.transactions, "relay.pending", |uow| uow.outbox().pending(BATCH).await)?;
            let jobs = jobs.value;
            let done = self.hand_over(&jobs).await?;
            if !done.is_empty() {
                let keeps = self.keeps;
                let noted: Committed<()> =
                    transact!(self.transactions, "relay.note", |uow| note_in(uow, &done, keeps).await)?;
                let () = noted.value;
            }
            taken += done.len();
            // A job that was refused stays at the head: whoever is behind it has been tried in this round, too.
            if jobs.len() < BATCH as usize || done.is_empty() {
                return Ok(taken);
            }
        }
    }

    /// Enqueues the jobs; returns those that the queue has.
    async fn hand_over(&self, jobs: &[NewJob]) -> Result<Vec<JobId>, PortError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        match self.enqueue(jobs).await {
            Ok(()) => Ok(jobs.iter().map(|job| job.id).collect()),
            Err(error) if error.kind() == ErrorKind::Unsupported => self.hand_over_singly(jobs).await,
            Err(error) => Err(error),
        }
    }

    /// One job that the queue cannot take must not hold up the others. It stays, for an operator to see.
    async fn hand_over_singly(&self, jobs: &[NewJob]) -> Result<Vec<JobId>, PortError> {
        let mut taken = Vec::new();
        for job in jobs {
            match self.enqueue(std::slice::from_ref(job)).await {
                Ok(()) => taken.push(job.id),
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    tracing::error!(%error, job = %job.id, task = %job.task, "the queue refuses a job of the outbox");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    async fn enqueue(&self, jobs: &[NewJob]) -> Result<(), PortError> {
        match timeout(PATIENCE, self.queue.enqueue(jobs)).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(PortError::new(ErrorKind::Unavailable, "jobs.enqueue", "no answer in 5 s")),
        }
    }
}

async fn note_in(unit: &mut dyn UnitOfWork, taken: &[JobId], keeps: bool) -> Result<(), PortError> {
    if keeps { unit.outbox().hand_over(taken).await } else { unit.outbox().remove(taken).await }
}
