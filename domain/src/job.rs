//! Jobs: work that is taken off the request and runs in a worker process.
//!
//! ```text
//!             due                lease               finish
//! Scheduled ───────▶ Ready ───────────────▶ Running ─────────▶ Succeeded | Failed | Dead | Cancelled
//!     ▲                ▲  ▲                    │ │ │
//!     │    retry (delay)  └── release, lost ───┘ │ └─ attempts used up ─▶ Dead
//!     └──────────────────────────────────────────┘
//! ```
//!
//! What waits may be cancelled, what no worker serves is dead in the end, and whatever ended without success may be
//! retried by hand. [`Life`] is these rules.
//!
//! Execution is at least once; *accepted completion* is exactly once. Every lease of a job has a higher
//! [`Run`] number, the fencing token: whoever settles with an old one is told that the lease is lost, and nothing
//! changes.

mod life;
mod outcome;
mod unwatched;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::invalid::Invalid;
use crate::time::Timestamp;
use crate::user::UserId;

pub use self::life::{Life, Stands, Turn};
pub use self::outcome::{CauseOfDeath, Death, Outcome};
pub use self::unwatched::Unwatched;

/// The identity of a job, chosen by whoever enqueues it: enqueuing the same id again changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub Uuid);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(String);

        impl $name {
            /// Accepts 1–100 characters of `a-z`, `0-9`, `.`, `_` and `-`.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
                if text.is_empty() || text.len() > 100 || !text.bytes().all(allowed) {
                    return Err(Invalid::new("invalid-name", "1 to 100 of a-z, 0-9, '.', '_' and '-'"));
                }
                Ok(Self(text.to_owned()))
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(/// The name of a queue, such as `cpu`.
    QueueName);
name!(/// The name of a task, such as `users.import`.
    TaskName);
name!(/// What at most one unfinished job may hold, within its task.
    UniqueKey);
name!(/// A worker process, unique for as long as any of its leases lives.
    WorkerId);

/// 0–15, the higher the sooner. The default is 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Priority(u8);

impl Priority {
    /// The soonest.
    pub const MAX: Self = Self(15);

    /// Checks the bounds.
    pub fn parse(priority: u8) -> Result<Self, Invalid> {
        if priority > Self::MAX.0 {
            return Err(Invalid::new("out-of-range", "from 0 to 15"));
        }
        Ok(Self(priority))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(5)
    }
}

/// How long to wait before another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backoff {
    /// Always this long.
    Fixed(Duration),
    /// This long after the first try, twice as long after each further one, up to the cap.
    Exponential {
        /// After the first try.
        base: Duration,
        /// Never longer than this.
        cap: Duration,
    },
}

impl Backoff {
    /// The wait after this many tries (the first is 1), before jitter.
    #[must_use]
    pub fn after(self, tries: u32) -> Duration {
        match self {
            Self::Fixed(wait) => wait,
            Self::Exponential { base, cap } => {
                base.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX)).min(cap)
            }
        }
    }
}

/// Work to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewJob {
    /// Identity; see [`JobId`].
    pub id: JobId,
    /// What runs it.
    pub task: TaskName,
    /// The version of the payload.
    pub version: u32,
    /// Where it waits.
    pub queue: QueueName,
    /// Before which others it runs.
    pub priority: Priority,
    /// What the task is given, at most [`NewJob::MAX_PAYLOAD`].
    pub payload: Bytes,
    /// How often it may start before it is dead; at least 1.
    pub max_attempts: u32,
    /// The wait between tries.
    pub backoff: Backoff,
    /// How long one try may take.
    pub timeout: Duration,
    /// Not before this moment; `None` is at once.
    pub scheduled_for: Option<Timestamp>,
    /// While a job of this task with this key is unfinished, enqueuing another answers that one.
    pub unique: Option<UniqueKey>,
    /// Who asked for it.
    pub created_by: Option<UserId>,
    /// The W3C `traceparent` of the request that asked.
    pub trace: Option<String>,
}

impl NewJob {
    /// The largest payload in bytes; what is larger goes to storage, and its key into the payload.
    pub const MAX_PAYLOAD: usize = 256 * 1024;
}

/// What enqueuing a job came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enqueued {
    /// It waits now.
    New,
    /// A job of this id is there already; it was left as it is.
    Known,
    /// An unfinished job holds the unique key: this one.
    Held(JobId),
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum JobState {
    /// Waits for its time.
    Scheduled,
    /// Waits for a worker.
    Ready,
    /// A worker holds a lease on it.
    Running,
    /// The task returned a result.
    Succeeded,
    /// The task returned its error.
    Failed,
    /// It used up its attempts: it crashed, timed out or could not be read.
    Dead,
    /// Somebody stopped it.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Scheduled,
        Self::Ready,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Dead,
        Self::Cancelled,
    ];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the job has come to its end.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Dead | Self::Cancelled)
    }

    /// Whether a job may go from this state to `next`; see the diagram of this module. A finished job goes back to
    /// ready only when somebody asks for a retry.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use JobState::{Cancelled, Dead, Failed, Ready, Running, Scheduled, Succeeded};
        matches!(
            (self, next),
            (Scheduled, Ready | Cancelled)
                | (Ready, Running | Cancelled | Dead)
                | (Running, Ready | Scheduled | Succeeded | Failed | Dead | Cancelled)
                | (Failed | Dead | Cancelled, Ready)
        )
    }
}

/// The fencing token of a job: one higher with each lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Run(pub u64);

/// The right to run one job, until the lease of its worker ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// The fencing token.
    pub run: Run,
    /// Who holds it.
    pub worker: WorkerId,
}

/// A job to be run now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasedJob {
    /// The right to run it.
    pub lease: Lease,
    /// What to run.
    pub job: NewJob,
    /// Which start this is; the first is 1.
    pub attempt: u32,
    /// An earlier holder's process died while it held this job among others: run it alone.
    pub suspect: bool,
}

/// How far a running job has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Parts done.
    pub done: u64,
    /// Parts in all, where that is known.
    pub total: Option<u64>,
    /// A sentence for a person.
    pub message: Option<String>,
}

/// Everything that is known of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What was asked for.
    pub spec: NewJob,
    /// Where it stands.
    pub state: JobState,
    /// How often it started.
    pub attempts: u32,
    /// How far it has come.
    pub progress: Progress,
    /// How it ended, once it did.
    pub outcome: Option<Outcome>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When it last started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_backoff_doubles_up_to_its_cap() {
        let backoff = Backoff::Exponential { base: Duration::from_secs(1), cap: Duration::from_mins(1) };
        let waits = [1, 2, 3, 6, 7, 200].map(|tries| backoff.after(tries).as_secs());
        assert_eq!(waits, [1, 2, 4, 32, 60, 60]);
    }

    #[test]
    fn a_finished_job_only_becomes_ready_again_and_a_success_never_does() {
        for state in JobState::ALL.into_iter().filter(|state| state.is_terminal()) {
            for next in JobState::ALL {
                let allowed = next == JobState::Ready && state != JobState::Succeeded;
                assert_eq!(state.may_become(next), allowed, "{state:?} to {next:?}");
            }
        }
    }

    #[test]
    fn names_are_bounded_and_plain() {
        assert!(TaskName::parse("users.import").is_ok());
        for text in ["", "Users", "a b", "ä", &"a".repeat(101)] {
            assert!(TaskName::parse(text).is_err(), "{text:?} was accepted");
        }
        assert!(Priority::parse(16).is_err());
    }
}
