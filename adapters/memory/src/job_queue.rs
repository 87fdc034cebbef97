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

use portwright_domain::Timestamp;
use portwright_domain::ports::Clock;
use portwright_domain::ports::job_queue::Limits;
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

    /// Takes one step: what is due becomes ready, `step` happens, and what is too old or too much is removed.
    fn step<T>(&self, step: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pass_time(now, &self.limits);
        let answer = step(&mut state, now);
        state.remove_old(now, &self.limits);
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
    use std::time::Duration;

    use portwright_domain::job::{JobState, WorkerId};
    use portwright_domain::ports::job_queue::LeaseRequest;
    use portwright_domain::ports::{JobQueue, JobSource};
    use portwright_testkit::builders::a_job;

    use super::*;
    use crate::SystemClock;

    #[tokio::test]
    async fn a_worker_that_waits_is_woken_when_a_scheduled_job_is_due() {
        let clock = Arc::new(SystemClock);
        let queue = MemoryJobQueue::new(clock.clone());
        let soon = a_job().scheduled_for(clock.now().plus(Duration::from_millis(30))).build();
        queue.enqueue(std::slice::from_ref(&soon)).await.expect("enqueue works");
        let want = LeaseRequest {
            worker: WorkerId::parse("one").expect("a valid name"),
            tasks: vec![(soon.task.clone(), 1)],
            queues: Vec::new(),
            max: 10,
            lease: Duration::from_mins(1),
            wait: Duration::from_secs(20),
        };
        let exchange = queue.exchange(&[], &want);
        let exchange = tokio::time::timeout(Duration::from_secs(10), exchange).await.expect("it was woken");
        assert_eq!(exchange.expect("exchange works").leased[0].job, soon);
        assert!(clock.now() >= soon.scheduled_for.expect("it was scheduled"));
    }

    #[tokio::test]
    async fn whoever_follows_a_scheduled_job_is_woken_when_it_is_due() {
        let clock = Arc::new(SystemClock);
        let queue = MemoryJobQueue::new(clock.clone());
        let soon = a_job().scheduled_for(clock.now().plus(Duration::from_millis(500))).build();
        queue.enqueue(std::slice::from_ref(&soon)).await.expect("enqueue works");
        let seen = queue.find(soon.id).await.expect("find works").expect("it is known");
        assert_eq!(seen.state, JobState::Scheduled);
        let changed = queue.changed(&seen, Duration::from_secs(20));
        let changed = tokio::time::timeout(Duration::from_secs(10), changed).await.expect("it was woken");
        assert_eq!(changed.expect("changed works").expect("it is known").state, JobState::Ready);
    }
}
