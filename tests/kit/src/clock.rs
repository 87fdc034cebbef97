//! [`ManualClock`]: time that stands still until a test moves it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::ports::Clock;

/// A clock that a test drives. Starts at a fixed moment in 2026, so that nothing looks like the epoch.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// 1 January 2026, 00:00 UTC.
    pub const START: Timestamp = Timestamp::from_unix_micros(1_767_225_600_000_000);

    /// A clock that shows this moment.
    #[must_use]
    pub const fn at(moment: Timestamp) -> Self {
        Self(AtomicI64::new(moment.unix_micros()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        // Two calls at once add up; the closure is total, so this never fails.
        let _: Result<i64, i64> = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| {
            Some(Timestamp::from_unix_micros(now).plus(by).unix_micros())
        });
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, moment: Timestamp) {
        self.0.store(moment.unix_micros(), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(Self::START)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_until_it_is_moved() {
        let clock = ManualClock::default();
        assert_eq!(clock.now(), ManualClock::START);
        assert_eq!(clock.now().to_string(), "2026-01-01T00:00:00Z");
        clock.advance(Duration::from_secs(90));
        assert_eq!(clock.now().to_string(), "2026-01-01T00:01:30Z");
        clock.set(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
    }
}
