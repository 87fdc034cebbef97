//! The cache: what may be forgotten at any moment.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::PortError;
use crate::invalid::Invalid;

/// The name of a cached value: 1–256 visible ASCII characters. Include the version of the value's shape.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey(String);

impl CacheKey {
    /// Checks the characters and the length.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.len() > 256 || !text.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(Invalid::new("invalid-key", "1 to 256 visible ASCII characters"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Values for a time. Any of them may be gone before it; none outlives it.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// The value as it was put; `None` if there is none, or its time is over.
    async fn get(&self, key: &CacheKey) -> Result<Option<Bytes>, PortError>;

    /// Replaces the value and its time. A time of zero removes it.
    async fn put(&self, key: &CacheKey, value: Bytes, ttl: Duration) -> Result<(), PortError>;

    /// Forgets values; missing keys are fine.
    async fn remove(&self, keys: &[CacheKey]) -> Result<(), PortError>;
}
