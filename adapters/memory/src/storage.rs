//! [`MemoryStorage`]: files in a map.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use portwright_domain::PortError;
use portwright_domain::ports::{Clock, Object, ObjectBody, ObjectInfo, ObjectKey, Storage};

/// A storage that lives as long as the process, and keeps every object whole in memory.
pub struct MemoryStorage {
    objects: Mutex<Objects>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Objects {
    by_key: BTreeMap<ObjectKey, (ObjectInfo, Bytes)>,
    /// How many objects were ever put; no two have the same `ETag`.
    put: u64,
}

impl MemoryStorage {
    /// An empty storage whose objects are dated by this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { objects: Mutex::default(), clock }
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn put(&self, key: &ObjectKey, mut body: Box<dyn ObjectBody>) -> Result<ObjectInfo, PortError> {
        let mut bytes = BytesMut::new();
        while let Some(part) = body.next().await? {
            bytes.extend_from_slice(&part);
        }
        let modified_at = self.clock.now();
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.put += 1;
        let etag = objects.put.to_string();
        let info = ObjectInfo { key: key.clone(), size: bytes.len() as u64, etag, modified_at };
        objects.by_key.insert(key.clone(), (info.clone(), bytes.freeze()));
        Ok(info)
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Object>, PortError> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let found = objects.by_key.get(key).cloned();
        Ok(found.map(|(info, bytes)| Object { info, body: Box::new(Some(bytes)) }))
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), PortError> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).by_key.remove(key);
        Ok(())
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: u32,
    ) -> Result<Vec<ObjectInfo>, PortError> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = objects.by_key.range((from, Bound::Unbounded)).map(|(_, (info, _))| info);
        let matching = behind.filter(|info| info.key.as_str().starts_with(prefix));
        Ok(matching.take(limit as usize).cloned().collect())
    }

    async fn presign(&self, _: &ObjectKey, _: Duration) -> Result<Option<String>, PortError> {
        Ok(None)
    }
}

impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStorage").finish_non_exhaustive()
    }
}
