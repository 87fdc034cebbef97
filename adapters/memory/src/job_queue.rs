//! [`MemoryJobQueue`]: both halves of the queue in this process.
//!
//! - [`state`] holds the jobs and moves each from state to state; it knows neither locks nor waiting.
//! - [`ready`] keeps the jobs that wait for a worker in the order in which they start.
//! - [`caller`] and [`source`] are the two halves of the port, each call one step under one lock.
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
