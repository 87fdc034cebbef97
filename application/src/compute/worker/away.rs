//! [`Away`]: a source that does not answer, and how patient a worker is with it.

use std::time::Duration;

use tokio::time::Instant;

use crate::jitter::random_share;

/// The waits between requests.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);
/// A worker that was told to stop waits so long for an answer: leases end by themselves, anyway.
const DESERTED: Duration = Duration::from_secs(4);

/// The source does not answer.
#[derive(Debug)]
pub(super) struct Away {
    tries: u32,
    since: Instant,
    /// When it is asked again.
    pub(super) until: Instant,
}

impl Away {
    /// After another request in vain; `before` is what was known before it.
    pub(super) fn after(before: Option<&Self>) -> Self {
        let now = Instant::now();
        let (tries, since) = before.map_or((0, now), |away| (away.tries, away.since));
        let wait = SHORTEST.saturating_mul(1 << tries.min(8)).min(LONGEST);
        Self { tries: tries + 1, since, until: now + wait.mul_f64(random_share().midpoint(1.0)) }
    }

    /// When a worker that was told to stop at this moment stops waiting.
    pub(super) fn deserted_at(&self, told_at: Instant) -> Instant {
        self.since.max(told_at) + DESERTED
    }
}
