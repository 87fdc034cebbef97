//! [`Orphans`]: leases that the source says this worker holds, and that it never heard of.
//!
//! The answer that brought them was lost on its way. Nobody runs their jobs, and the lease of a worker that lives never
//! ends: without this they would wait for ever. An answer may still be under way when the source is asked, so a lease
//! counts only when it has been unknown for a while.

use std::collections::HashMap;
use std::time::Duration;

use portwright_domain::job::Lease;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Orphans {
    unknown_since: HashMap<Lease, Instant>,
}

impl Orphans {
    /// Takes note of what is unknown now, and answers what has been so for at least this long.
    pub(super) fn certain(
        &mut self,
        unknown: impl Iterator<Item = Lease>,
        patience: Duration,
        now: Instant,
    ) -> Vec<Lease> {
        let before = std::mem::take(&mut self.unknown_since);
        let since = |lease: Lease| (before.get(&lease).copied().unwrap_or(now), lease);
        let (certain, young): (Vec<_>, Vec<_>) =
            unknown.map(since).partition(|(since, _)| *since + patience <= now);
        self.unknown_since = young.into_iter().map(|(since, lease)| (lease, since)).collect();
        certain.into_iter().map(|(_, lease)| lease).collect()
    }
}

#[cfg(test)]
mod tests {
    use portwright_domain::job::{JobId, Run, WorkerId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_lease_is_an_orphan_when_it_stays_unknown() {
        let lease = |number| Lease {
            job: JobId(Uuid::from_u128(number)),
            run: Run(1),
            worker: WorkerId::parse("one").expect("a valid name"),
        };
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut orphans = Orphans::default();
        let mut at = |seconds: u32, unknown: &[u128]| {
            let unknown = unknown.iter().copied().map(lease);
            orphans.certain(unknown, second * 2, start + second * seconds)
        };
        assert_eq!(at(0, &[1]), []);
        assert_eq!(at(1, &[1, 2]), []);
        assert_eq!(at(2, &[1]), [lease(1)], "and the other one was under way");
        assert_eq!(at(3, &[2]), [], "it is new again");
        assert_eq!(at(5, &[2]), [lease(2)]);
    }
}
