//! [`RedisCache`]: values that all processes remember together, for a time.
//!
//! What is stored is a byte that says how to read it, a checksum, and the value. Whatever else is found under a key is
//! no value: it is removed, and nothing was there. More than a value can be is never read, whatever its length.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::ports::{Cache, CacheKey};
use portwright_domain::{ErrorKind, PortError};
use redis::Value;
use ring::digest::{Context, SHA256};

use crate::connection::Connection;

/// How entries are read; another number is another way.
const FORMAT: u8 = 1;
const CHECKSUM: usize = 8;
const HEAD: usize = 1 + CHECKSUM;
/// For ever, as far as a cache is concerned; Redis does not count up to just any time.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// A cache in a Redis, which any number of processes share. Redis counts the time, in milliseconds.
///
/// Redis may evict values when its memory is full, or refuse to take more: the cache works with either.
pub struct RedisCache {
    redis: Connection,
}

impl RedisCache {
    /// No value is larger, in bytes: one that takes longer to fetch than it is waited for would help nobody, and those
    /// behind it on the same connection would wait, too.
    pub const MAX_VALUE: usize = 1 << 20;

    /// A cache on this Redis.
    #[must_use]
    pub fn on(redis: &Connection) -> Self {
        Self { redis: redis.clone() }
    }

    fn name_of(&self, key: &CacheKey) -> String {
        self.redis.config().key(&format!("cache:{key}"))
    }

    async fn unlink(&self, operation: &'static str, keys: &[CacheKey]) -> Result<(), PortError> {
        let mut command = redis::cmd("UNLINK");
        for key in keys {
            command.arg(self.name_of(key));
        }
        self.redis.ask::<Value>(operation, &command).await.map(drop)
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &CacheKey) -> Result<Option<Bytes>, PortError> {
        const OPERATION: &str = "cache.get";
        // Up to one byte more than an entry can have.
        let mut command = redis::cmd("GETRANGE");
        command.arg(self.name_of(key)).arg(0).arg(HEAD + Self::MAX_VALUE);
        let found = match self.redis.ask(OPERATION, &command).await {
            // There are no empty entries.
            Ok(Value::BulkString(entry)) if entry.is_empty() => return Ok(None),
            Ok(Value::BulkString(entry)) => read(key, entry),
            Ok(_) => None,
            Err(error) if error.kind() == ErrorKind::Corrupt => None,
            Err(error) => return Err(error),
        };
        if found.is_none() {
            tracing::warn!(%key, "what the cache has is no value of ours, and is removed");
            // It is no value either way.
            if let Err(error) = self.unlink(OPERATION, std::slice::from_ref(key)).await {
                tracing::debug!(%error, %key, "it was not removed");
            }
        }
        Ok(found)
    }

    async fn put(&self, key: &CacheKey, value: Bytes, ttl: Duration) -> Result<(), PortError> {
        const OPERATION: &str = "cache.put";
        // Rounded down: nothing outlives its time.
        let ttl = ttl.min(LONGEST).as_millis();
        if ttl == 0 {
            return self.unlink(OPERATION, std::slice::from_ref(key)).await;
        }
        if value.len() > Self::MAX_VALUE {
            let (size, most) = (value.len(), Self::MAX_VALUE);
            let detail = format!("a value of {size} bytes is larger than the {most} that are remembered");
            return Err(PortError::new(ErrorKind::Unsupported, OPERATION, detail));
        }
        let mut command = redis::cmd("SET");
        command.arg(self.name_of(key)).arg(entry(key, &value)).arg("PX").arg(ttl.to_string());
        self.redis.ask::<Value>(OPERATION, &command).await.map(drop)
    }

    async fn remove(&self, keys: &[CacheKey]) -> Result<(), PortError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.unlink("cache.remove", keys).await
    }
}

/// The value as it is stored.
fn entry(key: &CacheKey, value: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(HEAD + value.len());
    entry.push(FORMAT);
    entry.extend(checksum(key, value));
    entry.extend(value);
    entry
}

/// The value of an entry, if it is one, and of this key.
fn read(key: &CacheKey, entry: Vec<u8>) -> Option<Bytes> {
    let (format, rest) = entry.split_first()?;
    let (sum, value) = rest.split_first_chunk::<CHECKSUM>()?;
    let is_whole = *format == FORMAT && value.len() <= RedisCache::MAX_VALUE && *sum == checksum(key, value);
    is_whole.then(|| Bytes::from(entry).slice(HEAD..))
}

/// The first bytes of the SHA-256 of the key, a zero byte, and the value.
fn checksum(key: &CacheKey, value: &[u8]) -> [u8; CHECKSUM] {
    let mut digest = Context::new(&SHA256);
    digest.update(key.as_str().as_bytes());
    digest.update(&[0]);
    digest.update(value);
    // A digest has 32 bytes.
    digest.finish().as_ref().first_chunk().copied().unwrap_or_default()
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCache").field("redis", &self.redis).finish()
    }
}

#[cfg(test)]
mod tests {
    use portwright_testkit::noise::Noise;

    use super::*;

    fn key(text: &str) -> CacheKey {
        CacheKey::parse(text).expect("a key")
    }

    #[test]
    fn a_value_is_read_as_it_was_put() {
        for value in [&b""[..], b"\0", b"value", &vec![7; 100_000]] {
            assert_eq!(read(&key("a"), entry(&key("a"), value)).as_deref(), Some(value));
        }
    }

    #[test]
    fn of_a_hundred_thousand_entries_that_were_changed_none_is_a_value() {
        let (ours, value) = (key("users:v3:1"), br#"{"name":"Ada","role":"user"}"#);
        let whole = entry(&ours, value);
        let mut noise = Noise::new(16);
        for _ in 0..100_000 {
            let mut changed = whole.clone();
            match noise.below(6) {
                0 => {
                    let place = noise.below(changed.len());
                    changed[place] ^= 1 << noise.below(8);
                }
                1 => changed.truncate(noise.below(whole.len())),
                2 => (0..=noise.below(8)).for_each(|_| changed.push(noise.byte())),
                3 => {
                    changed.remove(noise.below(whole.len()));
                }
                4 => changed = (0..noise.below(64)).map(|_| noise.byte()).collect(),
                _ => {
                    let (one, other) = (noise.below(changed.len()), noise.below(changed.len()));
                    changed.swap(one, other);
                }
            }
            if changed != whole {
                assert_eq!(read(&ours, changed.clone()), None, "{changed:?}");
            }
        }
    }

    #[test]
    fn an_entry_of_another_key_is_no_value() {
        assert_eq!(read(&key("b"), entry(&key("a"), b"value")), None);
    }
}
