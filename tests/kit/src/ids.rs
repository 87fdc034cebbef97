//! [`SequentialIds`]: identities that are the same in every run of a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portwright_domain::ports::{Clock, IdGenerator};
use uuid::{Builder, Uuid};

use crate::clock::ManualClock;

/// UUIDs of version 7 that count up: the time is the clock's, and the random part a counter.
///
/// They ascend as long as the clock is not set back.
pub struct SequentialIds {
    clock: Arc<dyn Clock>,
    given: AtomicU64,
}

impl SequentialIds {
    /// Counts from 1, at this clock's time.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, given: AtomicU64::new(0) }
    }
}

impl Default for SequentialIds {
    fn default() -> Self {
        Self::new(Arc::new(ManualClock::default()))
    }
}

impl IdGenerator for SequentialIds {
    fn next(&self) -> Uuid {
        let count = self.given.fetch_add(1, Ordering::SeqCst) + 1;
        let millis = u64::try_from(self.clock.now().unix_micros() / 1_000).unwrap_or(0);
        let mut random = [0; 10];
        random[2..].copy_from_slice(&count.to_be_bytes());
        Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_run_gives_the_same_ascending_ids_of_version_7() {
        let clock = Arc::new(ManualClock::default());
        let ids = SequentialIds::new(clock.clone());
        let first = ids.next();
        assert_eq!(first, SequentialIds::default().next());
        assert_eq!(first.get_version_num(), 7);
        let second = ids.next();
        clock.advance(Duration::from_millis(1));
        assert!(first < second && second < ids.next());
    }
}
