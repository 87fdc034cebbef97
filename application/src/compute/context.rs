//! [`TaskContext`]: what a task may know of its own job, and how it reports and is asked to stop.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portwright_domain::TraceContext;
use portwright_domain::job::{JobId, LeasedJob, Progress, Run};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Span;

use super::envelope::Meta;
use super::worker::Authority;
use crate::trace::Origin;

/// The job that a task is running. A method asks for it with a last parameter `context: TaskContext`, which callers do
/// not see: they call the method without it.
///
/// A task that takes the context is *asked* to stop ([`TaskContext::cancelled`]) when it was cancelled, its time is over
/// or its worker lost the right to run it, and has some seconds to leave things tidy. One that does not is dropped at its
/// next `await`. Either may end at any moment if the machine does: leave nothing that another try cannot start from.
#[derive(Clone)]
pub struct TaskContext(Arc<Shared>);

struct Shared {
    job: JobId,
    run: Run,
    attempt: u32,
    last: bool,
    meta: Meta,
    trace: TraceContext,
    deadline: Instant,
    stop: CancellationToken,
    draining: CancellationToken,
    authority: Arc<Authority>,
    progress: Mutex<Progress>,
    reports: AtomicU64,
    reported: Notify,
    blocking: TaskTracker,
}

/// What a worker knows when it starts a try.
pub(super) struct Start<'a> {
    pub(super) leased: &'a LeasedJob,
    pub(super) meta: Meta,
    pub(super) trace: TraceContext,
    pub(super) deadline: Instant,
    pub(super) stop: CancellationToken,
    pub(super) draining: CancellationToken,
    pub(super) authority: Arc<Authority>,
}

impl TaskContext {
    pub(super) fn new(start: Start<'_>) -> Self {
        let Start { leased, meta, trace, deadline, stop, draining, authority } = start;
        Self(Arc::new(Shared {
            job: leased.lease.job,
            run: leased.lease.run,
            attempt: leased.attempt,
            last: leased.attempt >= leased.job.max_attempts,
            meta,
            trace,
            deadline,
            stop,
            draining,
            authority,
            progress: Mutex::default(),
            reports: AtomicU64::new(0),
            reported: Notify::new(),
            blocking: TaskTracker::new(),
        }))
    }

    /// The job. The same in every try, so it makes effects recognisable that must happen once.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.0.job
    }

    /// The fencing token: higher in every try, for systems that can refuse whoever comes with an older one.
    #[must_use]
    pub fn run(&self) -> Run {
        self.0.run
    }

    /// Which try this is; the first is 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Whether no other try will follow if this one fails.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.0.last
    }

    /// On whose behalf it runs.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.0.meta
    }

    /// What a job says of itself that asks for others ([`Call::caused_by`](super::Call::caused_by)).
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin { trace: self.0.trace.clone(), request_id: self.0.meta.request_id.clone() }
    }

    /// What is left of the time that one try may take.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.0.deadline.saturating_duration_since(Instant::now())
    }

    /// Says how far the work has come. Cheap enough for every step of a loop: the last report counts, and is passed on
    /// at most twice a second, and once more when the work ends.
    pub fn report(&self, progress: Progress) {
        *self.0.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
        self.0.reports.fetch_add(1, Ordering::Release);
        self.0.reported.notify_one();
    }

    /// Whether the task should stop. Cheap enough for every step of a loop; look at it before each effect.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.stop.is_cancelled() || self.0.authority.is_lost()
    }

    /// Returns once the task should stop.
    pub async fn cancelled(&self) {
        self.0.stop.cancelled().await;
    }

    /// Whether the worker is about to end. A long task may note where it stands; what is not done in time is stopped and
    /// starts anew elsewhere, without counting as an attempt.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Runs work that does not yield on a thread of its own, so that other jobs of this worker go on.
    ///
    /// The job is not over before this work is: if it goes on when it should have stopped, the worker process is
    /// replaced. So look at [`TaskContext::is_cancelled`] every few milliseconds.
    ///
    /// # Panics
    /// As the work does.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> T {
        let (context, span) = (self.clone(), Span::current());
        match self.0.blocking.spawn_blocking(move || span.in_scope(|| work(&context))).await {
            Ok(done) => done,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down, so nobody waits for an answer any more.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// What the worker sees of it.
impl TaskContext {
    /// Waits for the first report that is not `seen` yet, and returns it with its number.
    pub(super) async fn next_report(&self, seen: u64) -> (u64, Progress) {
        loop {
            if let Some(report) = self.newest_report(seen) {
                return report;
            }
            self.0.reported.notified().await;
        }
    }

    /// The newest report with its number, unless it was `seen`.
    pub(super) fn newest_report(&self, seen: u64) -> Option<(u64, Progress)> {
        let number = self.0.reports.load(Ordering::Acquire);
        let progress = || self.0.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (number > seen).then(|| (number, progress()))
    }

    /// Waits for the end of all work that does not yield.
    pub(super) async fn blocking_work_ended(&self) {
        self.0.blocking.close();
        self.0.blocking.wait().await;
    }
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext")
            .field("job", &self.0.job)
            .field("run", &self.0.run)
            .field("attempt", &self.0.attempt)
            .finish_non_exhaustive()
    }
}
