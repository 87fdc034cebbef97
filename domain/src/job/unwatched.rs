//! [`Unwatched`]: time in which a lease could end without anybody to blame.
//!
//! A worker that is silent for as long as its lease is taken for dead, and its job for the reason. That is only fair if
//! somebody could have heard it: while the queue is away, its machine sleeps or its clock is set, nobody can. Whoever
//! looks for ended leases does so about every second, so such a time shows in how long ago the last look was.

use std::time::Duration;

use crate::time::Timestamp;

/// The time between two looks for ended leases that are too far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwatched {
    since: Option<Timestamp>,
    until: Timestamp,
}

impl Unwatched {
    /// Looks that are no further apart than this follow on each other.
    pub const LONGEST_BLINK: Duration = Duration::from_millis(1_500);
    /// So much of an unwatched time counts, so that leases end even if nobody ever looks more often.
    pub const COUNTED: Duration = Duration::from_millis(500);
    /// A worker has at most this long, when somebody looks again, to renew a lease that would have ended.
    pub const GRACE: Duration = Duration::from_secs(10);

    /// Between the last look, if there was one, and that of `now`; `None` if it is short enough, or the clock was set back.
    #[must_use]
    pub fn between(looked: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        let blinked = looked.is_some_and(|looked| now.since(looked) <= Self::LONGEST_BLINK);
        (!blinked).then_some(Self { since: looked, until: now })
    }

    /// When a lease ends that would have ended then: it has as much time left as at the last look, within
    /// [`Unwatched::GRACE`], and loses none that it has.
    #[must_use]
    pub fn lease_ends(&self, ends: Timestamp) -> Timestamp {
        let left = self.since.map_or(Self::GRACE, |since| ends.since(since).saturating_sub(Self::COUNTED));
        ends.max(self.until.plus(left.min(Self::GRACE)))
    }

    /// No lease that ends after this moment is changed.
    #[must_use]
    pub fn last_changed(&self) -> Timestamp {
        self.until.plus(Self::GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    #[test]
    fn looks_in_time_leave_nothing_unwatched() {
        assert_eq!(Unwatched::between(Some(at(10)), at(11)), None);
        assert_eq!(Unwatched::between(Some(at(10)), at(5)), None, "the clock was set back");
        assert!(Unwatched::between(Some(at(10)), at(12)).is_some());
    }

    #[test]
    fn a_lease_has_as_much_time_left_as_at_the_last_look_within_the_grace() {
        let unwatched = Unwatched::between(Some(at(100)), at(200)).expect("nobody looked");
        let left = |ends| unwatched.lease_ends(at(ends)).since(at(200));
        assert_eq!(left(105), Duration::from_millis(4_500));
        assert_eq!(left(130), Unwatched::GRACE);
        assert_eq!(left(205), Unwatched::GRACE, "it may end too soon to be renewed");
        assert_eq!(left(230), Duration::from_secs(30), "it was renewed since");
    }

    #[test]
    fn after_the_first_look_of_all_every_worker_has_the_grace() {
        let unwatched = Unwatched::between(None, at(200)).expect("nobody looked");
        assert_eq!(unwatched.lease_ends(at(1)), unwatched.last_changed());
    }

    #[test]
    fn leases_end_although_nobody_looks_often_enough() {
        let (mut ends, mut now) = (at(30), at(0));
        let mut looks = 0;
        while ends > now {
            let unwatched = Unwatched::between(Some(now), now.plus(Duration::from_secs(5)));
            now = now.plus(Duration::from_secs(5));
            ends = unwatched.expect("nobody looked").lease_ends(ends);
            looks += 1;
        }
        assert!(looks < 40, "{looks} looks");
    }
}
