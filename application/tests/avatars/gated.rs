//! [`Gated`]: a storage that a test holds up, or takes away, at one place.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::ports::{Object, ObjectBody, ObjectInfo, ObjectKey, Storage};
use portwright_domain::{ErrorKind, PortError};
use portwright_memory::MemoryStorage;
use portwright_testkit::ManualClock;
use tokio::sync::Semaphore;

/// What happens to the next call of this operation on a key with this ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trap {
    /// It waits until it is released.
    Hold(&'static str, &'static str),
    /// It fails, and nothing happened.
    Refuse(&'static str, &'static str),
    /// It fails, as it would the next time.
    Forbid(&'static str, &'static str),
}

pub(super) struct Gated {
    inner: MemoryStorage,
    traps: Mutex<Vec<Trap>>,
    held: Semaphore,
    released: Semaphore,
}

impl Gated {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStorage::new(Arc::new(ManualClock::default())),
            traps: Mutex::default(),
            held: Semaphore::new(0),
            released: Semaphore::new(0),
        })
    }

    pub(super) fn set(&self, trap: Trap) {
        self.traps.lock().unwrap_or_else(PoisonError::into_inner).push(trap);
    }

    /// Returns once a call is held.
    pub(super) async fn until_held(&self) {
        let held = tokio::time::timeout(Duration::from_secs(30), self.held.acquire()).await;
        held.expect("somebody comes").expect("it is never closed").forget();
    }

    /// Lets the call go on that is held.
    pub(super) fn release(&self) {
        self.released.add_permits(1);
    }

    async fn pass(&self, operation: &'static str, key: &str) -> Result<(), PortError> {
        let trap = {
            let mut traps = self.traps.lock().unwrap_or_else(PoisonError::into_inner);
            let sprung = traps.iter().position(|trap| {
                let (Trap::Hold(of, ending) | Trap::Refuse(of, ending) | Trap::Forbid(of, ending)) = trap;
                *of == operation && key.ends_with(ending)
            });
            sprung.map(|index| traps.remove(index))
        };
        match trap {
            None => Ok(()),
            Some(Trap::Hold(..)) => {
                self.held.add_permits(1);
                self.released.acquire().await.expect("it is never closed").forget();
                Ok(())
            }
            Some(Trap::Refuse(..)) => Err(PortError::new(ErrorKind::Unavailable, operation, "away on cue")),
            Some(Trap::Forbid(..)) => {
                Err(PortError::new(ErrorKind::Misconfigured, operation, "forbidden on cue"))
            }
        }
    }
}

#[async_trait]
impl Storage for Gated {
    async fn put(&self, key: &ObjectKey, body: Box<dyn ObjectBody>) -> Result<ObjectInfo, PortError> {
        self.pass("put", key.as_str()).await?;
        self.inner.put(key, body).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Object>, PortError> {
        self.pass("get", key.as_str()).await?;
        self.inner.get(key).await
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), PortError> {
        self.pass("remove", key.as_str()).await?;
        self.inner.remove(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: u32,
    ) -> Result<Vec<ObjectInfo>, PortError> {
        self.pass("list", prefix).await?;
        self.inner.list(prefix, after, limit).await
    }

    async fn presign(&self, key: &ObjectKey, ttl: Duration) -> Result<Option<String>, PortError> {
        self.inner.presign(key, ttl).await
    }
}
