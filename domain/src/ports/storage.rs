//! Storage: files, whole or not at all.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::PortError;
use crate::invalid::Invalid;
use crate::time::Timestamp;

/// The name of an object: segments of `A-Z a-z 0-9 . _ -` joined by `/`, 512 bytes at most and 200 per segment, no
/// segment of dots only or with a dot at its end, so that no file system or server reads it differently.
///
/// Names do not nest: `a` and `a/b` are two objects that know nothing of each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The longest key in bytes.
    pub const MAX_BYTES: usize = 512;

    /// The longest segment in bytes: file systems end at 255, and an adapter may need a mark of its own.
    pub const MAX_SEGMENT_BYTES: usize = 200;

    /// Checks every segment.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let segment_ok = |segment: &str| {
            !segment.is_empty()
                && segment.len() <= Self::MAX_SEGMENT_BYTES
                && !segment.ends_with('.')
                && segment.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c))
        };
        if text.len() > Self::MAX_BYTES || !text.split('/').all(segment_ok) {
            return Err(Invalid::new(
                "invalid-key",
                "segments of letters, digits, '.', '_' and '-', 200 bytes each and 512 in all",
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
    /// Stores an object whole, replacing an older one, or not at all: if the body errs or the future is dropped before
    /// the body ended, readers still find what was there before. They never find a part of it, nor parts of two.
    ///
    /// Of several puts of one key at once, one is found, whole. A put that answered stays, whatever happens to this
    /// process; one that is dropped or killed after its body ended happened whole or not at all. The body's parts are
    /// asked for one by one and not kept, so that it may be larger than the memory.
    async fn put(&self, key: &ObjectKey, body: Box<dyn ObjectBody>) -> Result<ObjectInfo, PortError>;

    /// Opens an object; `None` if there is none.
    async fn get(&self, key: &ObjectKey) -> Result<Option<Object>, PortError>;

    /// Removes an object; a missing one is fine.
    async fn remove(&self, key: &ObjectKey) -> Result<(), PortError>;

    /// Up to `limit` objects whose keys start with `prefix`, in byte order of their keys, behind `after`. Any text is a
    /// prefix; no key starts with most of them. Objects that are put or removed meanwhile may be missing or not.
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
        let segment = "a".repeat(ObjectKey::MAX_SEGMENT_BYTES);
        let longest = format!("{segment}/{segment}/{}", "a".repeat(110));
        assert!(ObjectKey::parse(&longest).is_ok(), "the longest key was refused");
        let (long, long_segment) = (format!("{longest}a"), format!("{segment}a"));
        for key in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a.", "a\\b", "a\0b", "%2e%2e", "C:",
            "a b", "ä", "a/..b/..",
        ]
        .into_iter()
        .chain([long.as_str(), &long_segment])
        {
            assert!(ObjectKey::parse(key).is_err(), "{key:?} was accepted");
        }
    }
}
