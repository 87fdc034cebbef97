//! [`Authority`]: whether this process may still run what it leased.
//!
//! A lease is renewed from the moment at which the renewal was asked for, since the queue may have granted it as early as
//! that. When two thirds of it are over without a renewal, the process stops by itself, before the queue gives its jobs
//! to others. A process that was frozen finds so at its first look, whatever its threads did not get to see.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

pub(in crate::compute) struct Authority {
    began: Instant,
    span: Duration,
    /// When the last renewal was asked for, in microseconds after the beginning.
    renewed: AtomicU64,
}

impl Authority {
    /// Over jobs that are leased for this long, from now on.
    pub(in crate::compute) fn new(lease: Duration) -> Self {
        Self { began: Instant::now(), span: lease * 2 / 3, renewed: AtomicU64::new(0) }
    }

    /// A renewal that was asked for at that moment was granted. Of two, the later counts.
    pub(super) fn renewed(&self, asked_at: Instant) {
        let micros = asked_at.saturating_duration_since(self.began).as_micros();
        self.renewed.fetch_max(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::AcqRel);
    }

    pub(super) fn last_renewed(&self) -> Instant {
        self.began + Duration::from_micros(self.renewed.load(Ordering::Acquire))
    }

    pub(super) fn ends(&self) -> Instant {
        self.last_renewed() + self.span
    }

    pub(in crate::compute) fn is_lost(&self) -> bool {
        Instant::now() >= self.ends()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_two_thirds_of_a_lease_after_the_last_renewal_was_asked_for() {
        let authority = Authority::new(Duration::from_secs(30));
        let asked_at = Instant::now();
        tokio::time::advance(Duration::from_secs(15)).await;
        authority.renewed(asked_at + Duration::from_secs(10));
        authority.renewed(asked_at);
        tokio::time::advance(Duration::from_millis(14_999)).await;
        assert!(!authority.is_lost());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(authority.is_lost());
        authority.renewed(Instant::now());
        assert!(!authority.is_lost());
    }
}
