//! The storage behind its guard. An upload or a download takes as long as its other end likes, so what is bounded is each
//! step of the storage.

mod upload;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::PortError;
use portwright_domain::ports::{Object, ObjectBody, ObjectInfo, ObjectKey, Storage};

use self::upload::Upload;
use crate::breaker::is_failure;
use crate::guard::Guard;

pub(crate) struct GuardedStorage {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) guard: Guard,
    pub(crate) part: Duration,
}

#[async_trait]
impl Storage for GuardedStorage {
    async fn put(&self, key: &ObjectKey, body: Box<dyn ObjectBody>) -> Result<ObjectInfo, PortError> {
        const OPERATION: &str = "storage.put";
        let (upload, body) = Upload::of(body);
        // What went wrong with the body is not the storage's fault, and a long upload is not slow.
        let judge = |error: &PortError| (!upload.body_failed()).then(|| is_failure(error));
        let put = upload.step_by_step(OPERATION, self.part, self.storage.put(key, body));
        self.guard.admitted(OPERATION, Duration::MAX, judge, put).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Object>, PortError> {
        let object = self.guard.call("storage.get", self.storage.get(key)).await?;
        let guard = self.guard.with_deadline(self.part);
        Ok(object.map(|Object { info, body }| Object { info, body: Box::new(Download { guard, body }) }))
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), PortError> {
        self.guard.call("storage.remove", self.storage.remove(key)).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: u32,
    ) -> Result<Vec<ObjectInfo>, PortError> {
        self.guard.call("storage.list", self.storage.list(prefix, after, limit)).await
    }

    async fn presign(&self, key: &ObjectKey, ttl: Duration) -> Result<Option<String>, PortError> {
        self.guard.call("storage.presign", self.storage.presign(key, ttl)).await
    }
}

/// The bytes of an object on their way to a reader.
struct Download {
    guard: Guard,
    body: Box<dyn ObjectBody>,
}

#[async_trait]
impl ObjectBody for Download {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        self.guard.within("storage.read", self.body.next()).await
    }
}
