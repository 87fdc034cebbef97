//! [`Worker`]: leases jobs, runs them, and says what came of them.
//!
//! ```text
//!            ┌─────────────────── exchange: settle what ended, lease as many as are free ◄────────────┐
//!            ▼                                                                                        │
//! JobSource ───► try: decode ─► run on the tasks' runtime ─► result │ error │ panic │ timeout ─► verdict ┘
//!            ▲                                          ▲
//!            └── renewal: keeps the lease of the process; who is cancelled or lost is asked to stop
//! ```
//! Invariants
//! - Never more jobs than places: what is asked for counts as taken until the answer is there.
//! - Two thirds of a lease without a renewal, and everything stops by itself.
//! - A verdict is kept until the source has taken it, or says that the lease is lost: then nothing happened.
//! - Code that does not stop when it should ends with its process: [`Worker::run`] returns [`Ending::Stuck`], and its
//!   caller exits with a status by which the supervisor replaces it. The other jobs are handed back without a strike.
//!
//! The loop must not run on the threads of the tasks, or a task that never yields would stop it, too: give the tasks a
//! runtime of their own ([`WorkerOptions::handlers`]) with a thread for each place.
//!
//! - `shift` is the loop, `requests` what it has asked and not heard; `attempt` is one try, `span` what is logged of it, and `verdict` the table of what
//!   that comes to; `authority` knows when to stop, and `orphans` finds jobs whose lease never arrived.

mod attempt;
mod authority;
mod away;
mod orphans;
mod requests;
mod shift;
mod span;
mod verdict;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portwright_domain::PortError;
use portwright_domain::job::{JobId, QueueName, TaskName, WorkerId};
use portwright_domain::ports::{JobSource, Observer};
use portwright_domain::trace::Sampler;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub(super) use self::authority::Authority;
use self::shift::{Mode, Shift};
use super::registry::TaskRegistry;

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Who it is, unique for as long as any of its leases lives: a new process takes a new one.
    pub id: WorkerId,
    /// The queues it serves; empty for all.
    pub queues: Vec<QueueName>,
    /// How many jobs it runs at a time; at least 1.
    pub concurrency: u32,
    /// How long its lease lasts without a renewal.
    pub lease: Duration,
    /// How long one request for jobs waits; at most a sixth of the lease.
    pub park: Duration,
    /// How long code may go on that was asked to stop.
    pub grace: Duration,
    /// How long running jobs may go on when the worker is told to stop.
    pub drain: Duration,
    /// Which jobs are recorded that no recorded request asked for.
    pub sampler: Sampler,
    /// Where tasks run; `None` for the runtime of the loop, which then stands still when a task does not yield.
    pub handlers: Option<Handle>,
}

impl WorkerOptions {
    /// The options of production: 4 jobs at a time, a lease of 30 s, 5 s of grace, 25 s to drain.
    #[must_use]
    pub fn new(id: WorkerId) -> Self {
        Self {
            id,
            queues: Vec::new(),
            concurrency: 4,
            lease: Duration::from_secs(30),
            park: Duration::from_secs(5),
            grace: Duration::from_secs(5),
            drain: Duration::from_secs(25),
            sampler: Sampler::OFF,
            handlers: None,
        }
    }
}

/// How the work of a worker came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It was told to stop, and holds nothing any more.
    Drained,
    /// The code of this job does not stop although it should. Its verdict is settled and the other jobs are handed
    /// back: the process must exit now, without waiting for its threads.
    Stuck {
        /// The task.
        task: TaskName,
        /// The job.
        job: JobId,
    },
}

/// What a worker has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs that it runs right now.
    pub running: u64,
    /// Tries that it settled.
    pub settled: u64,
    /// Tries whose verdict was refused, because the job had been given to another worker.
    pub lost: u64,
}

/// Runs the tasks of a registry.
pub struct Worker {
    source: Arc<dyn JobSource>,
    registry: Arc<TaskRegistry>,
    observer: Arc<dyn Observer>,
    options: WorkerOptions,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    running: AtomicU64,
    settled: AtomicU64,
    lost: AtomicU64,
}

impl Worker {
    /// A worker that has not begun.
    #[must_use]
    pub fn new(
        source: Arc<dyn JobSource>,
        registry: Arc<TaskRegistry>,
        observer: Arc<dyn Observer>,
        mut options: WorkerOptions,
    ) -> Self {
        options.concurrency = options.concurrency.max(1);
        // What comes at the end of a wait must still come in time.
        options.park = options.park.min(options.lease / 6);
        Self { source, registry, observer, options, counts: Counts::default() }
    }

    /// Works until it is told to stop.
    ///
    /// `soft` lets it take no more jobs and finish those that run, for [`WorkerOptions::drain`]; what is not done then
    /// is stopped and handed back, to be first in its queue, without counting as an attempt. `hard` hands back at once.
    /// Either ends within its time although the source is away; the jobs come back when the lease ends then.
    pub async fn run(&self, soft: CancellationToken, hard: CancellationToken) -> Ending {
        self.shift(Mode::UntilTold).work(&soft, &hard).await
    }

    /// Works until nothing is ready and nothing runs; returns how many tries were settled. What waits for its time stays.
    ///
    /// # Errors
    /// What the source answers.
    ///
    /// # Panics
    /// If the code of a task does not stop although it should.
    pub async fn drain(&self) -> Result<u64, PortError> {
        let before = self.tally().settled;
        let mut shift = self.shift(Mode::UntilEmpty);
        let ending = shift.work(&CancellationToken::new(), &CancellationToken::new()).await;
        assert_eq!(ending, Ending::Drained);
        shift.failed().map_or_else(|| Ok(self.tally().settled - before), Err)
    }

    /// What it has done so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { running, settled, lost } = &self.counts;
        Tally { running: read(running), settled: read(settled), lost: read(lost) }
    }

    /// What it was made with.
    #[must_use]
    pub const fn options(&self) -> &WorkerOptions {
        &self.options
    }

    fn shift(&self, mode: Mode) -> Shift<'_> {
        Shift::new(self, mode)
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("options", &self.options)
            .field("tally", &self.tally())
            .finish_non_exhaustive()
    }
}
