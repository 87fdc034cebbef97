//! The deaths that the script decides by itself, in the words of the domain.

use portwright_domain::Timestamp;
use portwright_domain::job::{Life, Outcome, Run, Stands, Turn, WorkerId};

/// Why a job is dead, as in `life.lua`; 0 is what its worker said.
pub(super) const CRASHED: u8 = 1;
pub(super) const NOT_SERVED: u8 = 2;

/// One strike too many.
pub(super) fn crashed() -> Option<Outcome> {
    let mut life = last_moment(Stands::Running(WorkerId::parse("worker").ok()?));
    while life.outcome().is_none() {
        life.start(&WorkerId::parse("worker").ok()?, Timestamp::UNIX_EPOCH);
        life.crash(true, Timestamp::UNIX_EPOCH);
    }
    life.outcome().cloned()
}

/// No worker for too long.
pub(super) fn not_served() -> Outcome {
    let mut life = last_moment(Stands::Ready(Turn::Usual));
    life.give_up(Timestamp::UNIX_EPOCH);
    life.outcome().cloned().unwrap_or(Outcome::Cancelled)
}

const fn last_moment(stands: Stands) -> Life {
    Life {
        stands,
        since: Timestamp::UNIX_EPOCH,
        attempts: 1,
        run: Run(1),
        settled: None,
        cancel: false,
        suspect: false,
        strikes: 0,
        struck_at: None,
        started_at: None,
    }
}
