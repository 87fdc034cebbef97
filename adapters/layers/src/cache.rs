//! The cache behind its guard.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::PortError;
use portwright_domain::ports::{Cache, CacheKey};

use crate::guard::Guard;

pub(crate) struct GuardedCache {
    pub(crate) cache: Arc<dyn Cache>,
    pub(crate) guard: Guard,
}

#[async_trait]
impl Cache for GuardedCache {
    async fn get(&self, key: &CacheKey) -> Result<Option<Bytes>, PortError> {
        self.guard.call("cache.get", self.cache.get(key)).await
    }

    async fn put(&self, key: &CacheKey, value: Bytes, ttl: Duration) -> Result<(), PortError> {
        self.guard.call("cache.put", self.cache.put(key, value, ttl)).await
    }

    async fn remove(&self, keys: &[CacheKey]) -> Result<(), PortError> {
        self.guard.call("cache.remove", self.cache.remove(keys)).await
    }
}
