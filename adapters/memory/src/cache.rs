//! [`MemoryCache`]: values in this process, as many as fit into a budget of bytes.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use moka::Expiry;
use moka::future::Cache as Entries;
use portwright_domain::ports::{Cache, CacheKey, Clock};
use portwright_domain::{PortError, Timestamp};

/// What an entry weighs besides its key and its value, about.
const OVERHEAD: usize = 128;

/// A cache that keeps what is used most (`TinyLFU`) within a budget of bytes, and forgets it with the process.
///
/// The injected clock decides when a value's time is over. The timer of the container frees its memory and is only
/// a second opinion: whichever ends a value first has ended it.
pub struct MemoryCache {
    entries: Entries<CacheKey, Entry>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Clone)]
struct Entry {
    value: Bytes,
    ttl: Duration,
    expires_at: Timestamp,
}

impl MemoryCache {
    /// An empty cache of at most `max_bytes`; a larger value is forgotten at once.
    #[must_use]
    pub fn new(max_bytes: u64, clock: Arc<dyn Clock>) -> Self {
        let entries = Entries::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &CacheKey, entry: &Entry| {
                let bytes = OVERHEAD + key.as_str().len() + entry.value.len();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .expire_after(ByTtl)
            .build();
        Self { entries, clock }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &CacheKey) -> Result<Option<Bytes>, PortError> {
        let now = self.clock.now();
        let entry = self.entries.get(key).await.filter(|entry| now < entry.expires_at);
        Ok(entry.map(|entry| entry.value))
    }

    async fn put(&self, key: &CacheKey, value: Bytes, ttl: Duration) -> Result<(), PortError> {
        if ttl.is_zero() {
            self.entries.invalidate(key).await;
            return Ok(());
        }
        // A copy of its own: the bytes may be a slice of something much larger that would be kept and not be counted.
        let value = Bytes::copy_from_slice(&value);
        let expires_at = self.clock.now().plus(ttl);
        self.entries.insert(key.clone(), Entry { value, ttl, expires_at }).await;
        Ok(())
    }

    async fn remove(&self, keys: &[CacheKey]) -> Result<(), PortError> {
        for key in keys {
            self.entries.invalidate(key).await;
        }
        Ok(())
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCache").field("entries", &self.entries.entry_count()).finish_non_exhaustive()
    }
}

/// Frees the memory of each entry when its own time is over.
struct ByTtl;

impl Expiry<CacheKey, Entry> for ByTtl {
    fn expire_after_create(&self, _: &CacheKey, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(
        &self,
        _: &CacheKey,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    fn key(number: u32) -> CacheKey {
        CacheKey::parse(&format!("key:{number}")).expect("a valid key")
    }

    #[tokio::test]
    async fn the_budget_is_kept_whatever_is_put() {
        let cache = MemoryCache::new(64 * 1024, Arc::new(SystemClock));
        for number in 0..1_000 {
            cache.put(&key(number), Bytes::from(vec![0; 1_024]), Duration::MAX).await.expect("put works");
        }
        cache.entries.run_pending_tasks().await;
        assert!(cache.entries.weighted_size() <= 64 * 1024);
        assert!(cache.entries.entry_count() > 0);
    }

    #[tokio::test]
    async fn a_slice_does_not_keep_what_it_was_cut_from() {
        let cache = MemoryCache::new(64 * 1024, Arc::new(SystemClock));
        let large = Bytes::from(vec![7; 1 << 20]);
        cache.put(&key(1), large.slice(..16), Duration::MAX).await.expect("put works");
        assert!(large.is_unique());
        assert_eq!(cache.get(&key(1)).await.expect("get works"), Some(Bytes::from(vec![7; 16])));
    }
}
