//! [`Primes`]: how many primes there are below a number. The example of a heavy use case, to be copied.
//!
//! What makes it one:
//! - Its input, result and error are types of their own, because they travel as JSON and outlive deployments: each version
//!   of the input has a golden in `tests/e2e/golden/tasks`.
//! - Its name is pinned, so that renaming the method strands no jobs.
//! - The work never yields, so it runs in [`TaskContext::blocking`]; it is done in steps of well under a millisecond, and
//!   between two of them it says how far it is and looks whether it should stop.
//! - It takes little memory, however large the input.

use portwright_domain::job::Progress;
use serde::{Deserialize, Serialize};

use crate::prelude::*;

/// Below which number to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimesQuery {
    /// At most [`PrimesQuery::MOST`]; the number itself does not count.
    pub below: u64,
}

impl PrimesQuery {
    /// The highest `below`: seconds of work for one core.
    pub const MOST: u64 = 1_000_000_000;
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimesFound {
    /// How many primes there are.
    pub count: u64,
    /// The largest of them, if there is one.
    pub largest: Option<u64>,
}

/// Why nobody looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", content = "about", rename_all = "kebab-case")]
pub enum PrimesError {
    /// It would take too long.
    #[error("below is more than {most}")]
    TooLarge {
        /// The highest value.
        most: u64,
    },
    /// It was told to stop.
    #[error("stopped before the end")]
    Stopped,
    /// The engine did not do its part.
    #[error(transparent)]
    Compute(#[from] ComputeError),
}

impl TaskError for PrimesError {}

/// Looks for primes.
pub struct Primes {
    compute: Compute,
}

#[service(name = "compute")]
impl Primes {
    pub(crate) const fn new(compute: Compute) -> Self {
        Self { compute }
    }

    /// Counts the primes below a number.
    // A slow core takes less than a minute for the highest one, without optimisation.
    #[compute(name = "compute.primes", queue = "cpu", timeout = "10m")]
    pub async fn count(&self, query: PrimesQuery, context: TaskContext) -> Result<PrimesFound, PrimesError> {
        if query.below > PrimesQuery::MOST {
            return Err(PrimesError::TooLarge { most: PrimesQuery::MOST });
        }
        let sieve = move |context: &TaskContext| {
            sieve(query.below, |done| {
                context.report(Progress { done, total: Some(query.below), message: None });
                !context.is_cancelled()
            })
        };
        context.blocking(sieve).await.ok_or(PrimesError::Stopped)
    }
}

/// So many odd numbers are sieved at a time: as many bytes as the fastest cache of a core has.
const SEGMENT: usize = 32 * 1024;

/// The segmented sieve of Eratosthenes, over odd numbers: the one at index `i` is `2 * i + 1`. After each segment it is
/// told below which number it has looked, and answers whether to go on; `None` if not.
fn sieve(below: u64, mut goes_on: impl FnMut(u64) -> bool) -> Option<PrimesFound> {
    let mut found = PrimesFound { count: 0, largest: None };
    if below > 2 {
        found = PrimesFound { count: 1, largest: Some(2) };
    }
    // Each prime with the index, from the start of the segment, of its next multiple that no smaller prime has.
    let mut multiples: Vec<(usize, usize)> =
        odd_primes_to(below.isqrt()).into_iter().map(|prime| (prime, prime * prime / 2)).collect();
    let odds = usize::try_from(below / 2).ok()?;
    let mut composite = vec![false; SEGMENT];
    for start in (0..odds).step_by(SEGMENT) {
        let segment = &mut composite[..SEGMENT.min(odds - start)];
        segment.fill(false);
        if start == 0 {
            // 1 is no prime.
            segment[0] = true;
        }
        for (prime, next) in &mut multiples {
            while *next < segment.len() {
                segment[*next] = true;
                *next += *prime;
            }
            *next -= segment.len();
        }
        found.count += segment.iter().filter(|composite| !**composite).count() as u64;
        if let Some(last) = segment.iter().rposition(|composite| !composite) {
            found.largest = Some(2 * (start + last) as u64 + 1);
        }
        let end = start + segment.len();
        if !goes_on(if end == odds { below } else { 2 * end as u64 }) {
            return None;
        }
    }
    Some(found)
}

/// The odd primes up to a number, which is small.
fn odd_primes_to(most: u64) -> Vec<usize> {
    let mut primes: Vec<usize> = Vec::new();
    for candidate in (3..=usize::try_from(most).unwrap_or(usize::MAX)).step_by(2) {
        let mut divisors = primes.iter().take_while(|prime| *prime * *prime <= candidate);
        if divisors.all(|prime| candidate % prime != 0) {
            primes.push(candidate);
        }
    }
    primes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primes_below(below: u64) -> (u64, Option<u64>) {
        let found = sieve(below, |_| true).expect("nobody stopped it");
        (found.count, found.largest)
    }

    #[test]
    fn every_number_has_as_many_primes_below_it_as_division_finds() {
        let (mut count, mut largest) = (0, None);
        for below in 0..3_000 {
            assert_eq!(primes_below(below), (count, largest), "{below}");
            if below >= 2 && (2..=below.isqrt()).all(|divisor| below % divisor != 0) {
                (count, largest) = (count + 1, Some(below));
            }
        }
    }

    #[test]
    fn segments_leave_no_gap_and_overlap_nowhere() {
        let edge = 2 * SEGMENT as u64;
        // 65537, a Fermat prime, is the first number of the second segment that is one.
        assert_eq!(primes_below(edge), (6_542, Some(65_521)));
        assert_eq!(primes_below(edge + 1), (6_542, Some(65_521)));
        assert_eq!(primes_below(edge + 2), (6_543, Some(65_537)));
        assert_eq!(primes_below(1_000_000), (78_498, Some(999_983)));
        assert_eq!(primes_below(10_000_000), (664_579, Some(9_999_991)));
    }

    #[test]
    fn it_says_how_far_it_is_and_stops_when_it_is_told_to() {
        let mut told = Vec::new();
        let edge = 2 * SEGMENT as u64;
        sieve(edge + 5, |done| {
            told.push(done);
            true
        });
        assert_eq!(told, [edge, edge + 5]);
        assert_eq!(sieve(PrimesQuery::MOST, |_| false), None);
    }
}
