//! [`Works`]: a service whose tasks do what a test wants to see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use portwright_application::prelude::*;
use portwright_domain::job::{JobId, Progress};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// What is added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sum {
    pub(crate) terms: Vec<u64>,
}

/// What was added before [`Sum`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Pair([u64; 2]);

/// What was added before [`Pair`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Single(u64);

impl Sum {
    pub(crate) fn of(terms: &[u64]) -> Self {
        Self { terms: terms.to_vec() }
    }

    fn from_pair(pair: Pair) -> Self {
        Self { terms: Vec::from(pair.0) }
    }
}

impl Pair {
    fn from_single(single: Single) -> Self {
        Self([single.0, 0])
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum WorkError {
    #[error("refused: {0}")]
    Refused(String),
    #[error("busy, in attempt {0}")]
    Busy(u32),
    #[error("told to stop")]
    Stopped,
    #[error(transparent)]
    Compute(#[from] ComputeError),
}

impl TaskError for WorkError {
    fn retryable(&self) -> bool {
        matches!(self, Self::Busy(_))
    }
}

/// A service, and what its tasks have in common in a test.
pub(crate) struct Works {
    pub(crate) compute: Compute,
    pub(crate) signals: Arc<Signals>,
}

/// Lets a test see its tasks, and hold them.
pub(crate) struct Signals {
    /// How many tries began.
    pub(crate) begun: AtomicU32,
    /// How many are at work at once, and were at most.
    pub(crate) at_once: AtomicU32,
    pub(crate) most_at_once: AtomicU32,
    /// One permit lets one `pass` pass.
    pub(crate) gate: Semaphore,
    /// Ends every `spin`.
    pub(crate) enough: AtomicBool,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            begun: AtomicU32::new(0),
            at_once: AtomicU32::new(0),
            most_at_once: AtomicU32::new(0),
            gate: Semaphore::new(0),
            enough: AtomicBool::new(false),
        }
    }
}

impl Signals {
    fn begin(&self) -> u32 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn begun(&self) -> u32 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Returns once so many tries have begun.
    pub(crate) async fn until_begun(&self, count: u32) {
        for _ in 0..20_000 {
            if self.begun() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("only {} tries began, not {count}", self.begun());
    }
}

/// Nobody is counted as being at work after it was dropped.
struct AtWork<'a>(&'a Signals);

impl<'a> AtWork<'a> {
    fn new(signals: &'a Signals) -> Self {
        let at_once = signals.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        signals.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        Self(signals)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::SeqCst);
    }
}

#[service(name = "works")]
impl Works {
    pub(crate) fn new(compute: Compute) -> Self {
        Self { compute, signals: Arc::default() }
    }

    /// Adds.
    #[compute(
        version = 3,
        queue = "cpu",
        priority = 7,
        attempts = 4,
        backoff = exponential("1s", "1m"),
        timeout = "2m",
        upgrade(1 = Pair::from_single, 2 = Sum::from_pair)
    )]
    pub(crate) async fn add(&self, sum: Sum) -> Result<u64, WorkError> {
        self.signals.begin();
        Ok(sum.terms.iter().sum())
    }

    /// Says no.
    #[compute]
    pub(crate) async fn refuse(&self, why: String) -> Result<(), WorkError> {
        self.signals.begin();
        Err(WorkError::Refused(why))
    }

    /// Is busy in its first tries; how many is its input.
    #[compute]
    pub(crate) async fn hesitate(&self, tries: u32, context: TaskContext) -> Result<u32, WorkError> {
        self.signals.begin();
        let attempt = context.attempt();
        assert_eq!(context.is_last_attempt(), attempt == 3);
        if attempt <= tries { Err(WorkError::Busy(attempt)) } else { Ok(attempt) }
    }

    /// Panics in its first tries.
    #[compute]
    pub(crate) async fn stumble(&self, tries: u32) -> Result<u32, ComputeError> {
        let begun = self.signals.begin();
        assert!(begun > tries, "the secret of try {begun}");
        Ok(begun)
    }

    /// Waits for a permit of the gate.
    #[compute]
    pub(crate) async fn pass(&self) -> Result<(), ComputeError> {
        self.signals.begin();
        let at_work = AtWork::new(&self.signals);
        self.signals.gate.acquire().await.expect("it is never closed").forget();
        drop(at_work);
        Ok(())
    }

    /// Does nothing for a while, and does not mind being dropped.
    #[compute]
    pub(crate) async fn nap(&self, time: Duration) -> Result<(), ComputeError> {
        tokio::time::sleep(time).await;
        Ok(())
    }

    /// Works until it is asked to stop, and takes its time to do so.
    #[compute(name = "works.linger", timeout = "5m", attempts = 2)]
    pub(crate) async fn linger_on(&self, goodbye: Duration, context: TaskContext) -> Result<(), WorkError> {
        self.signals.begin();
        let _at_work = AtWork::new(&self.signals);
        context.cancelled().await;
        assert!(context.is_cancelled());
        tokio::time::sleep(goodbye).await;
        Err(WorkError::Stopped)
    }

    /// Works until its worker is about to end.
    #[compute]
    pub(crate) async fn keep_house(&self, context: TaskContext) -> Result<(), ComputeError> {
        self.signals.begin();
        while !context.is_draining() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Has another job done because of this one.
    #[compute]
    pub(crate) async fn delegate(&self, context: TaskContext) -> Result<JobId, ComputeError> {
        self.add_job(Sum::of(&[1])).caused_by(context.origin()).enqueue().await
    }

    /// Neither yields nor looks, on a thread of the tasks.
    #[compute(timeout = "1s")]
    pub(crate) async fn spin(&self) -> Result<(), ComputeError> {
        self.signals.begin();
        while !self.signals.enough.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Does not look, on a thread of its own.
    #[compute(timeout = "1s")]
    pub(crate) async fn grind(&self, context: TaskContext) -> Result<(), ComputeError> {
        self.signals.begin();
        let signals = self.signals.clone();
        let spin = move |_: &TaskContext| {
            while !signals.enough.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        context.blocking(spin).await;
        Ok(())
    }

    /// Counts on a thread of its own, as far as it gets.
    #[compute(timeout = "1h")]
    pub(crate) async fn count(&self, to: u64, context: TaskContext) -> Result<u64, WorkError> {
        self.signals.begin();
        let count = move |context: &TaskContext| {
            for done in 0..to {
                if context.is_cancelled() {
                    return Err(WorkError::Stopped);
                }
                context.report(Progress { done, total: Some(to), message: None });
            }
            context.report(Progress { done: to, total: Some(to), message: Some("counted".to_owned()) });
            Ok(to)
        };
        context.blocking(count).await
    }

    /// Returns so many bytes.
    #[compute]
    pub(crate) async fn swell(&self, bytes: usize) -> Result<String, ComputeError> {
        Ok("x".repeat(bytes))
    }
}
