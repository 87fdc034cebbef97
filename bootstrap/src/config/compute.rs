//! How jobs are run and remembered: roles, workers, and what counts for tasks that do not say otherwise.

use std::time::Duration;

use portwright_domain::job::Backoff;
use portwright_domain::ports::job_queue::Limits;

/// What a process does when it is started without a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppRole {
    /// Serves the API; workers are started by somebody else.
    Api,
    /// Runs jobs.
    Worker,
    /// Serves the API, and starts workers for its jobs.
    All,
}

/// How jobs are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compute {
    /// What this process does when it is started without a command.
    pub role: AppRole,
    /// The workers that a server starts; `None`: it starts none.
    pub workers: Option<WorkerCount>,
    /// Jobs that one worker runs at a time; at least 1.
    pub concurrency: u32,
    /// How long a worker keeps its jobs without being heard of.
    pub lease: Duration,
    /// The memory that a worker may have which a server starts, in bytes.
    pub memory_limit: Option<u64>,
}

/// How many workers a server starts; `min` is not above `max`, and `max` not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerCount {
    /// Also when there is nothing to do.
    pub min: usize,
    /// However much waits.
    pub max: usize,
}

/// The word for where jobs wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueBackend {
    Embedded,
    Redis,
}

/// How the queue treats jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jobs {
    /// How often a job may start whose task does not say so; at least 1.
    pub attempts: u32,
    /// The wait between its tries.
    pub backoff: Backoff,
    /// How many jobs may wait, and which finished ones are remembered.
    pub limits: Limits,
}

/// How the wait between tries grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackoffType {
    /// Not at all.
    Fixed,
    /// Twofold from try to try.
    Exponential,
}

impl BackoffType {
    /// The longest that a growing wait becomes.
    const CAP: Duration = Duration::from_hours(1);

    /// The wait that begins like this.
    #[must_use]
    pub fn starting_at(self, delay: Duration) -> Backoff {
        match self {
            Self::Fixed => Backoff::Fixed(delay),
            Self::Exponential => Backoff::Exponential { base: delay, cap: Self::CAP },
        }
    }
}
