//! [`MemoryRateLimiter`]: counts in this process, for a bounded number of clients.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use portwright_domain::ports::{Clock, Decision, Quota, RateKey, RateLimiter};
use portwright_domain::{PortError, Timestamp};

/// A limiter that counts up to `max_keys` clients at once.
///
/// With more than that, whose window would end next is forgotten first, and starts afresh: a flood of clients costs
/// exactness, never memory.
pub struct MemoryRateLimiter {
    windows: Mutex<Windows>,
    max_keys: usize,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Windows {
    by_key: HashMap<Arc<RateKey>, Window>,
    by_end: BTreeMap<(Timestamp, u64), Arc<RateKey>>,
    /// How many windows ever began; tells windows apart that end together.
    begun: u64,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    ends_at: Timestamp,
    number: u64,
    taken: u32,
}

impl MemoryRateLimiter {
    /// A limiter for up to `max_keys` clients at once, and for one at least.
    #[must_use]
    pub fn new(max_keys: usize, clock: Arc<dyn Clock>) -> Self {
        Self { windows: Mutex::default(), max_keys: max_keys.max(1), clock }
    }
}

#[async_trait]
impl RateLimiter for MemoryRateLimiter {
    async fn take(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        let now = self.clock.now();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let current = windows.current(key, quota, now);
        let before = decision(current, quota, now);
        if !before.allowed {
            return Ok(before);
        }
        let after = match current {
            Some(window) => windows.count(key, window),
            None => windows.begin(key, now.plus(quota.window), now, self.max_keys),
        };
        Ok(Decision { allowed: true, ..decision(Some(after), quota, now) })
    }

    async fn peek(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        let now = self.clock.now();
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(decision(windows.current(key, quota, now), quota, now))
    }
}

impl Windows {
    /// The window that counts now, if one does. One that ends later than any window of this quota can was begun
    /// before the clock was set back, and counts no more.
    fn current(&self, key: &RateKey, quota: Quota, now: Timestamp) -> Option<Window> {
        let counts = |window: &Window| now < window.ends_at && window.ends_at.since(now) <= quota.window;
        self.by_key.get(key).copied().filter(counts)
    }

    fn count(&mut self, key: &RateKey, window: Window) -> Window {
        let counted = Window { taken: window.taken + 1, ..window };
        if let Some(window) = self.by_key.get_mut(key) {
            *window = counted;
        }
        counted
    }

    /// Begins a window with its first unit taken, where there is room or room can be made.
    fn begin(&mut self, key: &RateKey, ends_at: Timestamp, now: Timestamp, max_keys: usize) -> Window {
        if let Some(stale) = self.by_key.remove(key) {
            self.by_end.remove(&(stale.ends_at, stale.number));
        }
        while let Some(first) = self.by_end.first_entry() {
            if now < first.key().0 && self.by_key.len() < max_keys {
                break;
            }
            self.by_key.remove(&first.remove());
        }
        self.begun += 1;
        let window = Window { ends_at, number: self.begun, taken: 1 };
        let key = Arc::new(key.clone());
        self.by_key.insert(key.clone(), window);
        self.by_end.insert((ends_at, window.number), key);
        window
    }
}

fn decision(window: Option<Window>, quota: Quota, now: Timestamp) -> Decision {
    let remaining = quota.limit.saturating_sub(window.map_or(0, |window| window.taken));
    let reset_after = window.map_or(quota.window, |window| window.ends_at.since(now));
    Decision { allowed: remaining > 0, remaining, reset_after }
}

impl fmt::Debug for MemoryRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRateLimiter").field("max_keys", &self.max_keys).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portwright_testkit::ManualClock;

    use super::*;

    const QUOTA: Quota = Quota { limit: 1, window: Duration::from_mins(1) };

    fn client(number: u32) -> RateKey {
        RateKey { policy: "test", client: number.to_string() }
    }

    #[tokio::test]
    async fn a_flood_of_clients_is_forgotten_oldest_first() {
        let clock = Arc::new(ManualClock::default());
        let limiter = MemoryRateLimiter::new(10, clock.clone());
        for number in 0..100 {
            assert!(limiter.take(&client(number), QUOTA).await.expect("take works").allowed);
            clock.advance(Duration::from_millis(1));
        }
        let windows = limiter.windows.lock().expect("not poisoned");
        assert_eq!((windows.by_key.len(), windows.by_end.len()), (10, 10));
        let mut kept: Vec<&str> = windows.by_key.keys().map(|key| key.client.as_str()).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["90", "91", "92", "93", "94", "95", "96", "97", "98", "99"]);
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_locks_nobody_out() {
        let clock = Arc::new(ManualClock::default());
        let limiter = MemoryRateLimiter::new(10, clock.clone());
        limiter.take(&client(1), QUOTA).await.expect("take works");
        clock.set(ManualClock::START.minus(Duration::from_hours(1)));
        let decision = limiter.take(&client(1), QUOTA).await.expect("take works");
        assert!(decision.allowed);
        assert_eq!(decision.reset_after, QUOTA.window);
        assert_eq!(limiter.windows.lock().expect("not poisoned").by_end.len(), 1);
    }
}
