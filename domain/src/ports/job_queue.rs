//! The queue: the caller's half, [`JobQueue`], and the worker's half, [`JobSource`].
//!
//! One adapter implements both; a process that only answers requests is handed the first. A worker settles what it
//! finished and leases what comes next in one [`JobSource::exchange`], and holds one lease per *process*, renewed for
//! all its jobs at once; fencing stays per job, by [`Run`](crate::job::Run). Time in leases and delays is the store's
//! (or the injected clock's where the store is ours), never a worker's.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::PortError;
use crate::job::{
    Enqueued, Job, JobId, JobState, Lease, LeasedJob, NewJob, Outcome, Progress, QueueName, TaskName,
    WorkerId,
};
use crate::page::{Page, PageRequest};
use crate::time::Timestamp;
use crate::user::UserId;

/// What whoever wants work done may ask of the queue.
#[async_trait]
pub trait JobQueue: Send + Sync + 'static {
    /// Takes jobs durably, all or none, and answers for each what came of it: once this has answered, no crash loses
    /// them.
    ///
    /// Idempotent by id for as long as the job is known or [remembered](JobQueue::removed), so an ambiguous answer is
    /// simply tried again.
    ///
    /// # Errors
    /// `Unavailable` if the queue is away; with the detail [`Limits::FULL`] if as many wait as may, and then nothing was
    /// taken. `Unsupported` if a payload is over [`NewJob::MAX_PAYLOAD`].
    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, PortError>;

    /// Everything that is known of a job; `None` if it never was, or is past its [`Retention`].
    async fn find(&self, id: JobId) -> Result<Option<Job>, PortError>;

    /// What is left of a job that is past its [`Retention`]: for [`REMEMBERED`] after it was removed, or until a million
    /// were removed after it. `None` if it is still known, or never was.
    async fn removed(&self, id: JobId) -> Result<Option<Removed>, PortError>;

    /// Enqueues a job and waits up to `wait` for its end, woken by it.
    ///
    /// Nothing is acknowledged before the outcome is, so nobody waits for a disk in between: if the process that asks
    /// dies, the job may have been taken or not, and asking again with the same id is safe. `None`: it is unfinished,
    /// and durable by now; or it was known and is past its retention. If its id is known already, this waits for that
    /// job, and if an unfinished job holds its unique key, for that one; neither is changed.
    ///
    /// # Errors
    /// As [`JobQueue::enqueue`].
    async fn call(&self, job: &NewJob, wait: Duration) -> Result<Option<Outcome>, PortError>;

    /// Waits up to `wait` for the end of a job, woken by it, and told even if nothing of the job is kept; `None` if it is
    /// still unfinished or unknown.
    async fn outcome(&self, id: JobId, wait: Duration) -> Result<Option<Outcome>, PortError>;

    /// Waits up to `wait` until a job is not as it was `seen`, woken by the change, and answers as it is then; as it was
    /// seen if nothing changed; `None` if nothing is known of it any more. For whoever follows a job: the states in
    /// between two calls may be missed, the last one is not.
    async fn changed(&self, seen: &Job, wait: Duration) -> Result<Option<Job>, PortError>;

    /// Jobs that meet the filter, newest first.
    async fn list(&self, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, PortError>;

    /// Stops a job: one that waits never starts; one that runs is told to stop and ends cancelled unless it
    /// finishes first.
    async fn cancel(&self, id: JobId) -> Result<Cancelled, PortError>;

    /// Makes a failed, dead or cancelled job ready again, with all its attempts; true if it was one of these.
    ///
    /// # Errors
    /// `Conflict` on `jobs.unique` if another job holds its unique key by now.
    async fn retry(&self, id: JobId) -> Result<bool, PortError>;

    /// Every queue that has a job or is paused.
    async fn queues(&self) -> Result<Vec<QueueStatus>, PortError>;

    /// A paused queue takes jobs and starts none; doing so again changes nothing.
    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<(), PortError>;
}

/// Which jobs a list shows: all that meet every condition given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFilter {
    /// Stands in exactly this state.
    pub state: Option<JobState>,
    /// Is of exactly this task.
    pub task: Option<TaskName>,
    /// Waits in exactly this queue.
    pub queue: Option<QueueName>,
}

/// What cancelling a job came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cancelled {
    /// It waited, and will not start.
    Prevented,
    /// It runs, and its worker will be told.
    Requested,
    /// It has come to its end already.
    TooLate,
    /// Nothing is known of it.
    Unknown,
}

/// What is left of a job that is past its retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Who asked for it.
    pub created_by: Option<UserId>,
    /// When its record was removed.
    pub at: Timestamp,
}

/// How long a removed job is remembered.
pub const REMEMBERED: Duration = Duration::from_hours(24);

/// What a queue looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// The queue.
    pub name: QueueName,
    /// Whether it starts no jobs.
    pub paused: bool,
    /// Jobs that wait for their time.
    pub scheduled: u64,
    /// Jobs that wait for a worker.
    pub ready: u64,
    /// Jobs that a worker holds.
    pub running: u64,
    /// Jobs that used up their attempts.
    pub dead: u64,
    /// How long the oldest ready job has waited, counted from when it could run for the first time.
    pub oldest_ready: Option<Duration>,
}

/// How much a queue takes and keeps. What is removed is removed by the end of a later job or by
/// [`JobSource::reclaim`], at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Jobs that wait, scheduled ones included, in all queues together; more are refused as `Unavailable`. The last
    /// twentieth is for jobs of priority [`Limits::URGENT`] and above. What was taken is never refused later.
    pub waiting: u64,
    /// Jobs that succeeded.
    pub succeeded: Retention,
    /// Jobs that failed; and as many that are dead, and as many that were cancelled.
    pub unsuccessful: Retention,
}

/// How long finished jobs are known: the newest ones, as long as they are young. Zero of either keeps none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// So many.
    pub jobs: u64,
    /// For so long after their end.
    pub age: Duration,
}

impl Limits {
    /// The lowest priority for which the last places are kept.
    pub const URGENT: u8 = 9;

    /// The detail of the error with which more jobs are refused than may wait.
    pub const FULL: &str = "the queue is full";

    /// How many may wait where these jobs have come, too.
    #[must_use]
    pub fn room_for<'a>(&self, jobs: impl IntoIterator<Item = &'a NewJob>) -> u64 {
        let urgent = jobs.into_iter().all(|job| job.priority.get() >= Self::URGENT);
        if urgent { self.waiting } else { self.waiting - self.waiting / 20 }
    }

    /// How long jobs are known that ended in this state.
    #[must_use]
    pub const fn retention(&self, ended: JobState) -> Retention {
        match ended {
            JobState::Succeeded => self.succeeded,
            _ => self.unsuccessful,
        }
    }
}

impl Default for Limits {
    /// 100,000 may wait; 100,000 of each end are known for a day, and for a week if they did not succeed.
    fn default() -> Self {
        const MANY: u64 = 100_000;
        Self {
            waiting: MANY,
            succeeded: Retention { jobs: MANY, age: Duration::from_hours(24) },
            unsuccessful: Retention { jobs: MANY, age: Duration::from_hours(7 * 24) },
        }
    }
}

/// What a worker process may ask of the queue.
#[async_trait]
pub trait JobSource: Send + Sync + 'static {
    /// Settles what the worker finished and leases what it can run next, in that order, and renews its lease.
    ///
    /// Jobs come highest priority first, then those that could run first, only of the tasks wanted and from queues that
    /// are not paused. So that nothing waits for ever, one start in [`AGEING`] goes to the job that could run first,
    /// whatever its priority. A result over [`Outcome::MAX_RESULT`] is recorded as [`Outcome::within_bounds`] says.
    /// If nothing is settled and nothing is ready, waits up to `want.wait` for a job, woken by it. If nobody waits for
    /// the answer any more, the jobs leased with it are handed back.
    ///
    /// # Errors
    /// `Unavailable`: nothing happened or everything did. Settling again is safe: a settlement that was accepted
    /// from this lease answers `Accepted` again. What may have been leased shows in [`Renewal::held`].
    async fn exchange(&self, settle: &[Settlement], want: &LeaseRequest) -> Result<Exchange, PortError>;

    /// Renews the lease of a worker for all its jobs, and says which of them to stop.
    async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<Renewal, PortError>;

    /// Records how far a job has come.
    ///
    /// # Errors
    /// `LeaseLost` if this lease is not the job's newest.
    async fn report(&self, lease: &Lease, progress: &Progress) -> Result<(), PortError>;

    /// Gives back all jobs of a worker that is known to be dead, as [`JobSource::reclaim`] does; returns how many.
    async fn bury(&self, worker: &WorkerId) -> Result<u64, PortError>;

    /// Gives back the jobs of every worker whose lease has ended: they become ready and suspect, to be run alone;
    /// a job that was leased alone and crashed counts a strike, and is dead after the third within three days. Returns
    /// how many. No lease ends in time that nobody
    /// watched, see [`Unwatched`](crate::job::Unwatched): a worker that renews soon after the queue was
    /// away keeps its jobs. Also ends jobs that have been ready for [`UNSERVED`] while no worker asked for their task, of which
    /// [`LONGEST_LOOK`] between two calls counts at most, and removes what is past its retention. Any number of processes
    /// may do so at once.
    async fn reclaim(&self) -> Result<u64, PortError>;
}

/// One start in so many goes to the job that has waited longest.
pub const AGEING: u64 = 16;

/// How long a job waits for a worker that knows its task and version before it is dead of
/// [`CauseOfDeath::NotServed`](crate::job::CauseOfDeath::NotServed).
pub const UNSERVED: Duration = Duration::from_hours(24);

/// If more time passed between two looks for jobs that nobody serves, somebody set the clock or the machine slept: no
/// worker could have asked meanwhile.
pub const LONGEST_LOOK: Duration = Duration::from_hours(1);

/// What a worker wants to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// Who asks.
    pub worker: WorkerId,
    /// The tasks it knows, each with the newest version that it can read.
    pub tasks: Vec<(TaskName, u32)>,
    /// The queues it serves; empty for all.
    pub queues: Vec<QueueName>,
    /// Its free places; 0 only settles.
    pub max: u32,
    /// How long its lease lasts from now on.
    pub lease: Duration,
    /// How long to wait for a job.
    pub wait: Duration,
}

/// What came of a job that a worker held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// The right to say so.
    pub lease: Lease,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of one try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The job is finished.
    Finish(Outcome),
    /// Try again after this long, if attempts are left; else it is dead of this.
    Retry {
        /// How long to wait.
        delay: Duration,
        /// What it would be dead of.
        death: crate::job::Death,
    },
    /// It was handed back untouched: first in its queue, and the start does not count.
    Release,
}

/// Whether a settlement was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settled {
    /// It is recorded.
    Accepted,
    /// Another lease of that job came later, or the job was ended: nothing was changed.
    LeaseLost,
}

/// The answer of an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exchange {
    /// One answer per settlement, in order.
    pub settled: Vec<Settled>,
    /// What to run now.
    pub leased: Vec<LeasedJob>,
}

/// The answer of a renewal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Renewal {
    /// Jobs that this worker holds and should stop: somebody cancelled them.
    pub cancelled: Vec<JobId>,
    /// The leases that this worker still holds; whatever else it runs, it has lost. What it does not know of, because
    /// the answer of an exchange never reached it, it hands back.
    pub held: Vec<Lease>,
}
