//! [`Journal`]: what happened, a line each with its time, and what was wrong.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// What a drill tells.
pub(crate) struct Journal {
    began: Mutex<Instant>,
    wrong: Mutex<Vec<String>>,
    counts: Mutex<BTreeMap<String, u64>>,
}

impl Journal {
    /// One that counts its time from now.
    pub(crate) fn begin() -> Self {
        Self { began: Mutex::new(Instant::now()), wrong: Mutex::default(), counts: Mutex::default() }
    }

    /// Counts its time from now, as the plan does; answers this moment.
    pub(crate) fn start_the_clock(&self) -> Instant {
        let now = Instant::now();
        *locked(&self.began) = now;
        now
    }

    /// Something happened.
    pub(crate) fn note(&self, what: impl Display) {
        println!("{}  {what}", self.time());
    }

    /// Something happened that may not.
    pub(crate) fn wrong(&self, what: impl Display) {
        let line = format!("{}  WRONG: {what}", self.time());
        println!("{line}");
        locked(&self.wrong).push(line);
    }

    fn time(&self) -> String {
        format!("{:>10.3}", locked(&self.began).elapsed().as_secs_f64())
    }

    /// Something happened that is only counted.
    pub(crate) fn count(&self, what: impl Into<String>) {
        *locked(&self.counts).entry(what.into()).or_default() += 1;
    }

    /// Everything that may not have happened.
    pub(crate) fn all_wrong(&self) -> Vec<String> {
        locked(&self.wrong).clone()
    }

    /// Says what was counted.
    pub(crate) fn sum_up(&self) {
        for (what, count) in &*locked(&self.counts) {
            println!("  {count:>8}  {what}");
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
