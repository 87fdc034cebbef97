//! [`Window`]: what came of the calls of the last while, in slices of time, so that its size has nothing to do with how
//! many there were.

use std::collections::VecDeque;
use std::time::Duration;

use super::circuit::Verdict;

/// The slices of a window.
const SLICES: u32 = 10;

/// What came of some calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) slow: u64,
}

/// The calls of the last ten slices, the one that is not over included.
#[derive(Debug)]
pub(super) struct Window {
    slice: Duration,
    /// Slices with a call, by their number, oldest first.
    slices: VecDeque<(u128, Tally)>,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self { slice: (length / SLICES).max(Duration::from_nanos(1)), slices: VecDeque::new() }
    }

    /// Counts a call that ended now; what came of all that count.
    pub(super) fn count(&mut self, verdict: Verdict, now: Duration) -> Tally {
        let current = now.as_nanos() / self.slice.as_nanos();
        let is_over = |number: u128| number + u128::from(SLICES) <= current;
        while self.slices.front().is_some_and(|(number, _)| is_over(*number)) {
            self.slices.pop_front();
        }
        match self.slices.back_mut() {
            Some((number, tally)) if *number == current => tally.add(verdict),
            _ => {
                let mut tally = Tally::default();
                tally.add(verdict);
                self.slices.push_back((current, tally));
            }
        }
        self.slices.iter().fold(Tally::default(), |sum, (_, tally)| Tally {
            calls: sum.calls + tally.calls,
            failed: sum.failed + tally.failed,
            slow: sum.slow + tally.slow,
        })
    }
}

impl Tally {
    fn add(&mut self, verdict: Verdict) {
        self.calls += 1;
        self.failed += u64::from(verdict.failed);
        self.slow += u64::from(verdict.slow);
    }
}
