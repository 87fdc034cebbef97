//! [`MemoryJobQueue`]: both halves of the queue in this process.
//!
//! - `state` holds the jobs and moves each from state to state; it knows neither locks nor waiting.
//! - `ready` keeps the jobs that wait for a worker in the order in which they start.
//! - `caller` and `source` are the two halves of the port, each call one step under one lock.
//!
//! Nothing polls. Workers that wait are woken when a job becomes ready, and by a timer for the next one that is
//! scheduled; whoever waits for an outcome is woken by that job alone.

mod caller;
mod ready;
mod source;
mod state;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::ports::Clock;
use tokio::sync::Notify;

use self::state::State;

/// A queue that lives as long as the process: durable is what it takes only in so far.
pub struct MemoryJobQueue {
    state: Mutex<State>,
    /// Told whenever a worker that found nothing might find something now.
    stirred: Notify,
    clock: Arc<dyn Clock>,
    limits: Limits,
}

/// How much a queue keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Jobs that wait, in all queues together; more are refused as `Unavailable`.
    pub waiting: usize,
    /// Finished jobs; the oldest are forgotten first.
    pub finished: usize,
    /// How long a finished job is known.
    pub retention: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { waiting: 100_000, finished: 100_000, retention: Duration::from_hours(24) }
    }
}

impl MemoryJobQueue {
    /// An empty queue within the default [`Limits`]; leases, delays and retention go by this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_limits(Limits::default(), clock)
    }

    /// An empty queue within these limits.
    #[must_use]
    pub fn with_limits(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self { state: Mutex::default(), stirred: Notify::new(), clock, limits }
    }

    /// Takes one step: what is due becomes ready, what is too old is forgotten, then `step` happens.
    fn step<T>(&self, step: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pass_time(now, self.limits);
        let answer = step(&mut state, now);
        if state.take_stir() {
            self.stirred.notify_waiters();
        }
        answer
    }
}

impl fmt::Debug for MemoryJobQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryJobQueue").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use portwright_domain::ErrorKind;
    use portwright_domain::job::{Enqueued, NewJob, Outcome, WorkerId};
    use portwright_domain::ports::job_queue::{LeaseRequest, Settlement, Verdict};
    use portwright_domain::ports::{JobQueue, JobSource};
    use portwright_testkit::ManualClock;
    use portwright_testkit::builders::{JobBuilder, a_job, jobs};

    use super::*;
    use crate::SystemClock;

    fn want(wait: Duration) -> LeaseRequest {
        LeaseRequest {
            worker: WorkerId::parse("one").expect("a valid name"),
            tasks: vec![(a_job().build().task, 1)],
            queues: Vec::new(),
            max: 10,
            lease: Duration::from_mins(1),
            wait,
        }
    }

    /// Runs whatever is ready to this end.
    async fn end_all(queue: &MemoryJobQueue, outcome: &Outcome) {
        let want = want(Duration::ZERO);
        let leased = queue.exchange(&[], &want).await.expect("exchange works").leased;
        let settle = |leased| Settlement { lease: leased, verdict: Verdict::Finish(outcome.clone()) };
        let settlements: Vec<_> = leased.into_iter().map(|leased| settle(leased.lease)).collect();
        queue.exchange(&settlements, &LeaseRequest { max: 0, ..want }).await.expect("exchange works");
    }

    #[tokio::test]
    async fn a_full_queue_takes_no_more_and_loses_nothing() {
        let limits = Limits { waiting: 3, ..Limits::default() };
        let queue = MemoryJobQueue::with_limits(limits, Arc::new(ManualClock::default()));
        queue.enqueue(&jobs(2)).await.expect("there is room");
        let batch: [NewJob; 2] = [3, 4].map(|number| JobBuilder::number(number).build());
        let refused = queue.enqueue(&batch).await.expect_err("there is room for one only");
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert_eq!(queue.enqueue(&batch[..1]).await.expect("there is room"), [Enqueued::New]);
        assert_eq!(queue.enqueue(&jobs(3)).await.expect("these are known"), [Enqueued::Known; 3]);

        end_all(&queue, &Outcome::Cancelled).await;
        assert_eq!(queue.enqueue(&batch[1..]).await.expect("there is room again"), [Enqueued::New]);
    }

    #[tokio::test]
    async fn a_finished_job_is_forgotten_by_age_and_by_number() {
        let clock = Arc::new(ManualClock::default());
        let limits = Limits { finished: 2, retention: Duration::from_mins(1), ..Limits::default() };
        let queue = MemoryJobQueue::with_limits(limits, clock.clone());
        let known = async || {
            let mut known = Vec::new();
            for (number, job) in (1..).zip(jobs(4)) {
                if queue.find(job.id).await.expect("find works").is_some() {
                    known.push(number);
                }
            }
            known
        };
        queue.enqueue(&jobs(3)).await.expect("enqueue works");
        end_all(&queue, &Outcome::Cancelled).await;
        assert_eq!(known().await, [2, 3], "the oldest is over the number");
        queue.enqueue(&[JobBuilder::number(4).build()]).await.expect("enqueue works");
        assert!(queue.retry(jobs(2)[1].id).await.expect("retry works"));
        clock.advance(Duration::from_mins(1));
        assert_eq!(known().await, [2, 4], "what is unfinished stays, whatever its age");
    }

    #[tokio::test]
    async fn a_job_whose_unique_key_is_held_by_another_is_not_retried() {
        let queue = MemoryJobQueue::new(Arc::new(ManualClock::default()));
        let unique = |number| JobBuilder::number(number).unique_by("key").build();
        queue.enqueue(&[unique(1)]).await.expect("enqueue works");
        queue.cancel(unique(1).id).await.expect("cancel works");
        queue.enqueue(&[unique(2)]).await.expect("enqueue works");
        let refused = queue.retry(unique(1).id).await.expect_err("the key is held");
        assert!(refused.conflicts_on("jobs.unique"));
        queue.cancel(unique(2).id).await.expect("cancel works");
        assert!(queue.retry(unique(1).id).await.expect("the key is free"));
    }

    #[tokio::test]
    async fn a_worker_that_waits_is_woken_when_a_scheduled_job_is_due() {
        let clock = Arc::new(SystemClock);
        let queue = MemoryJobQueue::new(clock.clone());
        let soon = a_job().scheduled_for(clock.now().plus(Duration::from_millis(30))).build();
        queue.enqueue(std::slice::from_ref(&soon)).await.expect("enqueue works");
        let want = want(Duration::from_secs(20));
        let exchange = queue.exchange(&[], &want);
        let exchange = tokio::time::timeout(Duration::from_secs(10), exchange).await.expect("it was woken");
        assert_eq!(exchange.expect("exchange works").leased[0].job, soon);
        assert!(clock.now() >= soon.scheduled_for.expect("it was scheduled"));
    }
}
