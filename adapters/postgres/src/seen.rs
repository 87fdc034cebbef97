//! How far the log was, at most, that an answer shows.
//!
//! Whoever reads on is not to see an older state, on whichever server, so a view tells a place that covers everything it
//! has shown. Each question brings that place along, in a column of its answer, because nothing else is known to be late
//! enough: what was known before the question may be older than what it showed.
//!
//! - On the primary, a commit is visible only once it is on the disk (`synchronous_commit`), so the end of the log on the
//!   disk covers whatever an earlier snapshot shows.
//! - A standby makes a commit visible a moment *before* it says that it has replayed it. Records are replayed one after
//!   the other, so what is visible ends at most one record further: one byte more than the replayed position is shown
//!   only by who has replayed that record, too. Where nothing is received beyond the replayed position, there is no such
//!   record, and nobody has to wait for one.

use crate::lsn::{Lsn, Place, timeline_of};

/// A subquery of one row with the column `place`: on the primary a file of the log and a position, on a standby a
/// position. The functions are volatile, so it is evaluated after the snapshot of the statement was taken, and once.
macro_rules! place_now {
    () => {
        "(SELECT CASE WHEN pg_is_in_recovery() \
         THEN (SELECT CASE WHEN replayed = received THEN replayed ELSE replayed + 1 END::text \
         FROM (SELECT pg_last_wal_replay_lsn() AS replayed, pg_last_wal_receive_lsn() AS received) AS standby) \
         ELSE pg_walfile_name(pg_current_wal_flush_lsn()) || ' ' || pg_current_wal_flush_lsn() END AS place)"
    };
}
pub(crate) use place_now;

/// The place in an answer of [`place_now`], from a server that follows `timeline` as a standby. `None` if it is none.
pub(crate) fn place_in(answer: &str, timeline: u32) -> Option<Place> {
    let (timeline, lsn) = match answer.split_once(' ') {
        Some((file, lsn)) => (timeline_of(file)?, lsn),
        None => (timeline, answer),
    };
    Some(Place { timeline, lsn: lsn.parse::<Lsn>().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_says_its_timeline_and_a_standby_follows_one() {
        let place = |timeline, lsn| Some(Place { timeline, lsn: Lsn(lsn) });
        assert_eq!(place_in("0000000B0000000000000003 0/3394018", 1), place(11, 0x339_4018));
        assert_eq!(place_in("0/3394018", 7), place(7, 0x339_4018));
        for nonsense in ["", " ", "0/3394018 ", "0000000B0000000000000003", "short 0/1"] {
            assert_eq!(place_in(nonsense, 1), None, "{nonsense}");
        }
    }
}
