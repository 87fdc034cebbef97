//! How quickly an API answers while something else goes on.

use std::future::{Future, pending};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::client::{Ask, Client};

/// How often the exempt path is asked, which costs nobody's share.
const EVERY: Duration = Duration::from_millis(20);

/// How often, and how many times at most, a path is asked that costs of the user's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) every: Duration,
    pub(super) most: usize,
}

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    /// Of `GET /health/live`.
    pub(super) live: Series,
    /// Of a read from the database.
    pub(super) read: Series,
}

/// How long the answers to one request took.
#[derive(Debug, Default)]
pub(super) struct Series {
    took: Vec<Duration>,
    /// Requests that had no answer, or not this one.
    pub(super) failed: usize,
}

impl Series {
    /// How many were answered.
    pub(super) const fn len(&self) -> usize {
        self.took.len()
    }

    /// The time within which so many of a hundred were answered; `None` if none was.
    pub(super) fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }

    /// Whether the 99th of a hundred took at most this long, and none failed. What was not measured was not slow.
    pub(super) fn is_within(&self, limit: Duration) -> bool {
        self.failed == 0 && self.percentile(99).is_none_or(|p99| p99 <= limit)
    }
}

/// Measures until the work is done: `/health/live` all the time, and `path` at this pace.
pub(super) async fn measure<T>(
    client: &Client,
    path: &str,
    pace: Pace,
    work: impl Future<Output = T>,
) -> (Latencies, T) {
    let mut latencies = Latencies::default();
    let Latencies { live, read } = &mut latencies;
    let often = Pace { every: EVERY, most: usize::MAX };
    let done = tokio::select! {
        done = work => done,
        done = async {
            tokio::join!(probe(client, "/health/live", often, live), probe(client, path, pace, read));
            pending().await
        } => done,
    };
    (latencies, done)
}

/// Asks again and again. A question that had to wait for the answer to the one before took that time, too: otherwise, the
/// slower a server, the fewer would notice.
async fn probe(client: &Client, path: &str, pace: Pace, series: &mut Series) {
    let mut ticks = interval(pace.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut free_since = Instant::now();
    for _ in 0..pace.most {
        let due = ticks.tick().await;
        let began = if free_since > due { due } else { Instant::now() };
        let answer = client.send(Ask::get(path)).await;
        free_since = Instant::now();
        if answer.is_ok_and(|answer| answer.status.is_success()) {
            series.took.push(free_since - began);
        } else {
            series.failed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(millis: impl IntoIterator<Item = u64>) -> Series {
        Series { took: millis.into_iter().map(Duration::from_millis).collect(), failed: 0 }
    }

    #[test]
    fn a_percentile_is_the_time_within_which_so_many_were_answered() {
        let hundred = series((1..=100).rev());
        let percentile = |percent| hundred.percentile(percent).map(|it| it.as_millis());
        assert_eq!([percentile(50), percentile(99), percentile(100)], [Some(50), Some(99), Some(100)]);
        assert_eq!(series([7]).percentile(50), Some(Duration::from_millis(7)));
        assert_eq!(series([3, 9]).percentile(99), Some(Duration::from_millis(9)));
        assert_eq!(series([]).percentile(99), None);
    }

    #[test]
    fn who_fails_is_not_quick() {
        let limit = Duration::from_millis(20);
        assert!(series([1, 20]).is_within(limit) && series([]).is_within(limit));
        assert!(!series([1, 21]).is_within(limit));
        assert!(!Series { failed: 1, ..series([1]) }.is_within(limit));
    }
}
