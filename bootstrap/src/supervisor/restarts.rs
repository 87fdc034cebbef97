//! When a child that ended is started again: at once, after a while, or never.

use std::collections::VecDeque;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::Instant;

use crate::exit::Exit;

/// The wait after the first crash; twice as long after each further one.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// A child that is ready for this long is healthy, whatever was before.
pub(super) const HEALTHY: Duration = Duration::from_mins(1);
/// Crashes without health in between that an operator should look at.
const LOOP: u32 = 5;
/// However good the reason, there are not more starts than this in a minute.
const MOST_STARTS: usize = 10;
const MINUTE: Duration = Duration::from_mins(1);

/// How a child ended. All but the first three are crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was told to, by somebody.
    Finished,
    /// A job did not let go of it, so it asked to be replaced.
    Stuck,
    /// It said that starting it again changes nothing.
    Refused(i32),
    /// It ended with a status that it does not choose.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
    /// There was no process at all.
    NotStarted,
}

impl End {
    /// What the status means for a child that had become ready, or had not.
    pub(super) fn of(status: ExitStatus, was_ready: bool) -> Self {
        const REFUSALS: [Exit; 4] = [Exit::Usage, Exit::CannotCreate, Exit::Permission, Exit::Config];
        let is = |code, exit: Exit| code == i32::from(exit.code());
        match status.code() {
            Some(0) => Self::Finished,
            Some(code) if was_ready && is(code, Exit::TryAgain) => Self::Stuck,
            Some(code) if REFUSALS.into_iter().any(|exit| is(code, exit)) => Self::Refused(code),
            Some(code) => Self::Exited(code),
            None => Self::Killed(status.signal().unwrap_or_default()),
        }
    }
}

impl End {
    /// In a word, for metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Stuck => "stuck",
            Self::Refused(_) | Self::Exited(_) => "exited",
            Self::Killed(_) => "killed",
            Self::NotStarted => "not_started",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("it was told to end"),
            Self::Stuck => f.write_str("a job did not let go of it"),
            Self::Refused(code) | Self::Exited(code) => write!(f, "exit {code}"),
            Self::Killed(signal) => write!(f, "signal {signal}"),
            Self::NotStarted => f.write_str("it could not be started"),
        }
    }
}

/// What came before, in one place for a child.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    crashes_in_a_row: u32,
    /// The last ones, the oldest first.
    starts: VecDeque<Instant>,
}

impl Restarts {
    /// Notes a start.
    pub(super) fn started(&mut self, now: Instant) {
        self.starts.push_back(now);
        if self.starts.len() > MOST_STARTS {
            self.starts.pop_front();
        }
    }

    /// When to start the next child after this one ended like this; `None`: never. `was_healthy` says that it was ready
    /// for [`HEALTHY`], or had done some work.
    pub(super) fn after(&mut self, end: End, was_healthy: bool, now: Instant) -> Option<Instant> {
        if was_healthy {
            self.crashes_in_a_row = 0;
        }
        let wait = match end {
            End::Refused(_) => return None,
            End::Finished | End::Stuck => Duration::ZERO,
            End::Exited(_) | End::Killed(_) | End::NotStarted => {
                let doubled = 1_u32.checked_shl(self.crashes_in_a_row).unwrap_or(u32::MAX);
                self.crashes_in_a_row += 1;
                SHORTEST.saturating_mul(doubled).min(LONGEST)
            }
        };
        Some((now + wait).max(self.earliest(now)))
    }

    fn earliest(&self, now: Instant) -> Instant {
        match self.starts.front() {
            Some(oldest) if self.starts.len() == MOST_STARTS => *oldest + MINUTE,
            _ => now,
        }
    }

    /// Whether the children of this place die as soon as they live.
    pub(super) const fn is_crash_loop(&self) -> bool {
        self.crashes_in_a_row >= LOOP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: End = End::Killed(9);

    /// The waits, in milliseconds, of a child that ends like this as soon as it starts.
    fn waits<const N: usize>(end: End, was_healthy: bool) -> [u128; N] {
        let mut restarts = Restarts::default();
        let mut now = Instant::now();
        std::array::from_fn(|_| {
            restarts.started(now);
            let next = restarts.after(end, was_healthy, now).expect("again");
            let wait = next - now;
            now = next;
            wait.as_millis()
        })
    }

    #[test]
    fn crashes_in_a_row_wait_twice_as_long_up_to_half_a_minute() {
        let expected = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000];
        assert_eq!(waits(CRASH, false), expected);
        assert_eq!(waits(End::NotStarted, false), expected);
    }

    #[test]
    fn a_stuck_child_is_replaced_at_once_but_not_ten_times_a_minute() {
        assert_eq!(waits(End::Stuck, true), [0, 0, 0, 0, 0, 0, 0, 0, 0, 60_000, 0]);
    }

    #[test]
    fn whatever_happens_there_are_ten_starts_in_a_minute_at_most() {
        for (end, was_healthy) in [(CRASH, true), (CRASH, false), (End::Stuck, true), (End::Finished, false)]
        {
            let mut at = 0;
            let starts: Vec<u128> = waits::<40>(end, was_healthy)
                .into_iter()
                .map(|wait| {
                    at += wait;
                    at
                })
                .collect();
            for eleven in starts.windows(MOST_STARTS + 1) {
                assert!(eleven[MOST_STARTS] - eleven[0] >= MINUTE.as_millis(), "{end:?} {starts:?}");
            }
        }
    }

    #[test]
    fn health_makes_up_for_earlier_crashes() {
        let (mut restarts, now) = (Restarts::default(), Instant::now());
        for _ in 0..LOOP {
            restarts.after(CRASH, false, now);
        }
        assert!(restarts.is_crash_loop());
        assert_eq!(restarts.after(CRASH, true, now), Some(now + SHORTEST));
        assert!(!restarts.is_crash_loop());
    }

    #[test]
    fn the_status_tells_what_to_do() {
        let exited = |code: i32| ExitStatus::from_raw(code << 8);
        for (status, was_ready, expected) in [
            (exited(0), true, End::Finished),
            (exited(75), true, End::Stuck),
            (exited(75), false, End::Exited(75)),
            (exited(78), false, End::Refused(78)),
            (exited(77), true, End::Refused(77)),
            (exited(69), false, End::Exited(69)),
            (exited(101), true, End::Exited(101)),
            (ExitStatus::from_raw(9), true, End::Killed(9)),
            (ExitStatus::from_raw(6), false, End::Killed(6)),
        ] {
            assert_eq!(End::of(status, was_ready), expected, "{status:?}");
        }
        let refused = Restarts::default().after(End::Refused(78), true, Instant::now());
        assert_eq!(refused, None, "nothing changes until somebody changes something");
    }
}
