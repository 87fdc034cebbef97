//! [`Outcome`]: how a job ended.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::JobState;

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The task returned this result.
    Succeeded(Bytes),
    /// The task returned this error of its own type.
    Failed(Bytes),
    /// It used up its attempts.
    Dead(Death),
    /// Somebody stopped it.
    Cancelled,
}

impl Outcome {
    /// The largest result or error in bytes; what is larger goes to storage, and its key into the result.
    pub const MAX_RESULT: usize = 1024 * 1024;

    /// This outcome if its result is within the bounds, else the death of being too large. Trying again would come to
    /// the same, so such a job is dead at once.
    #[must_use]
    pub fn within_bounds(self) -> Self {
        match self {
            Self::Succeeded(result) | Self::Failed(result) if result.len() > Self::MAX_RESULT => {
                let detail = format!("the result has {} bytes, more than {}", result.len(), Self::MAX_RESULT);
                Self::Dead(Death { cause: CauseOfDeath::ResultTooLarge, detail })
            }
            within => within,
        }
    }

    /// The state of a job that ended like this.
    #[must_use]
    pub const fn state(&self) -> JobState {
        match self {
            Self::Succeeded(_) => JobState::Succeeded,
            Self::Failed(_) => JobState::Failed,
            Self::Dead(_) => JobState::Dead,
            Self::Cancelled => JobState::Cancelled,
        }
    }
}

/// Why a job is dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// What happened to its last try.
    pub cause: CauseOfDeath,
    /// A sentence for the operator.
    pub detail: String,
}

/// What happened to the last try of a dead job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CauseOfDeath {
    /// The task panicked, or returned an error that may be tried again.
    Error,
    /// It took longer than its timeout.
    TimedOut,
    /// Its worker process died while it ran alone.
    Crashed,
    /// Its payload could not be read.
    PayloadInvalid,
    /// Its result was too large.
    ResultTooLarge,
    /// No worker knew its task for too long.
    NotServed,
}

impl CauseOfDeath {
    /// Every cause.
    pub const ALL: [Self; 6] = [
        Self::Error,
        Self::TimedOut,
        Self::Crashed,
        Self::PayloadInvalid,
        Self::ResultTooLarge,
        Self::NotServed,
    ];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::TimedOut => "timed_out",
            Self::Crashed => "crash_loop",
            Self::PayloadInvalid => "payload_invalid",
            Self::ResultTooLarge => "result_too_large",
            Self::NotServed => "not_served",
        }
    }
}
