//! What surrounds everything: time, identity, and somebody who watches. Synchronous, and never failing.

use std::time::Duration;

use uuid::Uuid;

use crate::error::{ErrorKind, Race};
use crate::time::Timestamp;

/// The time of day.
pub trait Clock: Send + Sync + 'static {
    /// Now. May jump when the system's clock is set; do not measure durations with it.
    fn now(&self) -> Timestamp;
}

/// New identities.
pub trait IdGenerator: Send + Sync + 'static {
    /// A UUID of version 7 (RFC 9562), never given before, and greater than those this generator gave before.
    fn next(&self) -> Uuid;
}

/// Watches what happens, to count and to time it.
pub trait Observer: Send + Sync + 'static {
    /// Takes note. Must neither block nor panic.
    fn observe(&self, event: &Event<'_>);
}

/// Something worth counting. Nothing in it identifies a person.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request came in. Each is followed by one [`Event::RequestServed`].
    RequestBegan,
    /// A request was answered, or its client did not wait for that.
    RequestServed {
        /// The method, or `_OTHER` for one that clients made up.
        method: &'a str,
        /// The template of the path; `None` if there is no such path.
        route: Option<&'a str>,
        /// The status of the answer; 499 if nobody waited for it.
        status: u16,
        /// How long it took.
        took: Duration,
    },
    /// A request waits, because as many are worked on as can be. Each is followed by one [`Event::RequestUnqueued`].
    RequestQueued,
    /// A request waits no more, whatever became of it.
    RequestUnqueued,
    /// A request was refused before anything was done for it.
    RequestShed {
        /// Why, in a word: as many as may wait already did (`full`), or it had waited too long (`late`).
        reason: &'a str,
    },
    /// What was to answer a request panicked.
    RequestPanicked,
    /// A transaction lost a race and starts over.
    TransactionRetried {
        /// What it was doing.
        operation: &'a str,
        /// The race.
        race: Race,
    },
    /// A read was told where to go that must show a certain commit.
    CausalRead {
        /// Who answers: a `replica` that shows the commit already, one that was `waited` for, or the `primary`.
        outcome: &'a str,
    },
    /// A port was called.
    PortCalled {
        /// The port, such as `store`.
        port: &'a str,
        /// The method.
        operation: &'a str,
        /// How long it took.
        took: Duration,
        /// How it failed, if it did.
        error: Option<ErrorKind>,
    },
    /// The breaker before a port changed its state, or was made.
    BreakerChanged {
        /// The breaker, such as `cache`.
        breaker: &'a str,
        /// What it is now: `closed` lets calls through, `open` refuses them, `half-open` lets a few try.
        state: &'a str,
    },
    /// Somebody signed in.
    SignedIn,
    /// A sign-in was refused.
    SignInRefused,
    /// A refresh token was used again, so its session was ended.
    RefreshReused,
    /// A limit was asked for a unit.
    LimitChecked {
        /// The policy.
        policy: &'a str,
        /// Whether it granted one.
        allowed: bool,
    },
    /// A limit was decided without the limiter that all processes share, which did not answer.
    LimitFellBack {
        /// The policy.
        policy: &'a str,
        /// What decided instead: `open` grants everything, `local` counts in this process, `closed` grants nothing.
        to: &'a str,
    },
    /// A cache was read.
    CacheRead {
        /// The cache.
        cache: &'a str,
        /// Whether it had the value.
        hit: bool,
    },
    /// A job was enqueued.
    JobEnqueued {
        /// Its queue.
        queue: &'a str,
        /// Its task.
        task: &'a str,
    },
    /// A job began to run for the first time.
    JobStarted {
        /// Its queue.
        queue: &'a str,
        /// Its task.
        task: &'a str,
        /// Since when it could have, by the clock of whoever enqueued it.
        due: Timestamp,
    },
    /// A job ended, or one of its tries did.
    JobFinished {
        /// Its queue.
        queue: &'a str,
        /// Its task.
        task: &'a str,
        /// How it ended.
        outcome: &'a str,
        /// How long it ran.
        took: Duration,
    },
    /// A worker found that it had lost a job.
    LeaseLost {
        /// The task.
        task: &'a str,
    },
    /// A worker process ended, and another follows.
    WorkerReplaced {
        /// What it ended of, in a word.
        reason: &'a str,
    },
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _: &Event<'_>) {}
}
