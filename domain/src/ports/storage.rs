//! Storage: files, whole or not at all.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::PortError;
use crate::invalid::Invalid;
use crate::time::Timestamp;

/// The name of an object: segments of `A-Z a-z 0-9 . _ -` joined by `/`, 512 bytes at most, no segment of dots only or
/// with a dot at its end, so that no file system or server reads it differently.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The longest key in bytes.
    pub const MAX_BYTES: usize = 512;

    /// Checks every segment.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let segment_ok = |segment: &str| {
            !segment.is_empty()
                && !segment.ends_with('.')
                && segment.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c))
        };
        if text.len() > Self::MAX_BYTES || !text.split('/').all(segment_ok) {
            return Err(Invalid::new(
                "invalid-key",
                "segments of letters, digits, '.', '_' and '-', 512 bytes",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is kept beside the bytes of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name.
    pub key: ObjectKey,
    /// Its length in bytes.
    pub size: u64,
    /// Changes whenever the bytes do.
    pub etag: String,
    /// When it was put.
    pub modified_at: Timestamp,
}

/// The bytes of an object, part by part, so that no object need fit into memory.
#[async_trait]
pub trait ObjectBody: Send {
    /// The next part; `None` at the end. After an error there are no more parts.
    async fn next(&mut self) -> Result<Option<Bytes>, PortError>;
}

/// A body that is in memory already.
#[async_trait]
impl ObjectBody for Option<Bytes> {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        Ok(self.take())
    }
}

/// An object to be read.
pub struct Object {
    /// What is kept beside its bytes.
    pub info: ObjectInfo,
    /// Its bytes, as they were when it was opened, whatever happens to the object meanwhile.
    pub body: Box<dyn ObjectBody>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Files by name.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Stores an object whole, replacing an older one, or not at all: if the body errs or the future is dropped, readers
    /// still find what was there before.
    async fn put(&self, key: &ObjectKey, body: Box<dyn ObjectBody>) -> Result<ObjectInfo, PortError>;

    /// Opens an object; `None` if there is none.
    async fn get(&self, key: &ObjectKey) -> Result<Option<Object>, PortError>;

    /// Removes an object; a missing one is fine.
    async fn remove(&self, key: &ObjectKey) -> Result<(), PortError>;

    /// Up to `limit` objects whose keys start with `prefix`, in byte order of their keys, behind `after`.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: u32,
    ) -> Result<Vec<ObjectInfo>, PortError>;

    /// A URL that reads the object without asking us, for as long as `ttl`; `None` if this storage has none.
    async fn presign(&self, key: &ObjectKey, ttl: Duration) -> Result<Option<String>, PortError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_keys_are_refused() {
        for key in ["a", "a/b.txt", "avatars/0190-x/64.webp", ".hidden"] {
            assert!(ObjectKey::parse(key).is_ok(), "{key:?} was refused");
        }
        let long = "a".repeat(513);
        for key in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a.", "a\\b", "a\0b", "%2e%2e", "C:",
            "a b", "ä", "a/..b/..", &long,
        ] {
            assert!(ObjectKey::parse(key).is_err(), "{key:?} was accepted");
        }
    }
}
