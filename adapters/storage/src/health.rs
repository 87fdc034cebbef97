//! [`StorageHealth`]: whether objects can be put, read and removed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::ports::{Health, HealthProbe, IdGenerator, ObjectInfo, ObjectKey, Storage};
use portwright_domain::{ErrorKind, PortError};

/// What the keys of the probe's objects start with.
const PREFIX: &str = ".health/";

/// A storage that takes longer than this does not serve.
const DEADLINE: Duration = Duration::from_secs(2);

/// An object of a probe that is older than the one just put by this much was left behind.
const LEFT_BEHIND: Duration = Duration::from_mins(1);

/// The probe named `storage`: puts a small object, reads it back and removes it, within two seconds.
///
/// Its objects are under `.health/`, each with a name of its own, so that processes do not see each other's.
pub struct StorageHealth {
    storage: Arc<dyn Storage>,
    ids: Arc<dyn IdGenerator>,
}

impl StorageHealth {
    /// Watches this storage, whichever it is.
    #[must_use]
    pub fn of(storage: Arc<dyn Storage>, ids: Arc<dyn IdGenerator>) -> Self {
        Self { storage, ids }
    }

    async fn round_trip(&self) -> Result<(), PortError> {
        let unwell = |detail: &'static str| PortError::new(ErrorKind::Corrupt, "storage.check", detail);
        let name = self.ids.next().to_string();
        let key = ObjectKey::parse(&format!("{PREFIX}{name}")).map_err(|_| unwell("no key for a probe"))?;
        let put = self.storage.put(&key, Box::new(Some(Bytes::from(name.clone())))).await?;
        let read = self.read(&key).await;
        self.storage.remove(&key).await?;
        if read? != Some(name.into_bytes()) {
            return Err(unwell("an object is not read as it was put"));
        }
        self.clear_away(&put).await
    }

    async fn read(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>, PortError> {
        let Some(mut object) = self.storage.get(key).await? else { return Ok(None) };
        let mut bytes = Vec::new();
        while let Some(part) = object.body.next().await? {
            bytes.extend_from_slice(&part);
        }
        Ok(Some(bytes))
    }

    /// Removes what probes left behind that ended between putting and removing.
    async fn clear_away(&self, newest: &ObjectInfo) -> Result<(), PortError> {
        for object in self.storage.list(PREFIX, None, 16).await? {
            if newest.modified_at.since(object.modified_at) > LEFT_BEHIND {
                self.storage.remove(&object.key).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl HealthProbe for StorageHealth {
    fn name(&self) -> &'static str {
        "storage"
    }

    async fn check(&self) -> Health {
        match tokio::time::timeout(DEADLINE, self.round_trip()).await {
            Ok(Ok(())) => Health::pass(),
            Ok(Err(error)) => Health::fail(error.to_string()),
            Err(_) => Health::fail(format!("no answer within {} s", DEADLINE.as_secs())),
        }
    }
}

impl std::fmt::Debug for StorageHealth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StorageHealth").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portwright_domain::ports::{HealthStatus, Object, ObjectBody};
    use portwright_memory::MemoryStorage;
    use portwright_testkit::{ManualClock, SequentialIds};

    use super::*;

    fn probe(storage: Arc<dyn Storage>, clock: &Arc<ManualClock>) -> StorageHealth {
        StorageHealth::of(storage, Arc::new(SequentialIds::new(clock.clone())))
    }

    async fn names(storage: &dyn Storage) -> Vec<String> {
        let infos = storage.list("", None, 100).await.expect("list works");
        infos.into_iter().map(|info| info.key.to_string()).collect()
    }

    #[tokio::test]
    async fn a_storage_that_keeps_what_it_is_given_passes_and_is_left_as_it_was() {
        let clock = Arc::new(ManualClock::default());
        let storage = Arc::new(MemoryStorage::new(clock.clone()));
        let probe = probe(storage.clone(), &clock);
        assert_eq!((probe.name(), probe.check().await), ("storage", Health::pass()));
        assert!(names(&*storage).await.is_empty());
    }

    #[tokio::test]
    async fn what_a_killed_probe_left_behind_is_cleared_away_and_that_of_a_running_one_is_not() {
        let clock = Arc::new(ManualClock::default());
        let storage = Arc::new(MemoryStorage::new(clock.clone()));
        let put = async |name| {
            let key = ObjectKey::parse(name).expect("a key");
            storage.put(&key, Box::new(Some(Bytes::new()))).await.expect("put works");
        };
        put(".health/killed").await;
        put("health").await;
        clock.advance(Duration::from_secs(61));
        put(".health/running").await;
        assert_eq!(probe(storage.clone(), &clock).check().await, Health::pass());
        assert_eq!(names(&*storage).await, [".health/running", "health"]);
    }

    /// Does nothing, or never ends.
    struct Broken {
        hangs: bool,
    }

    #[async_trait]
    impl Storage for Broken {
        async fn put(&self, key: &ObjectKey, _: Box<dyn ObjectBody>) -> Result<ObjectInfo, PortError> {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            let modified_at = ManualClock::START;
            Ok(ObjectInfo { key: key.clone(), size: 0, etag: String::new(), modified_at })
        }

        async fn get(&self, _: &ObjectKey) -> Result<Option<Object>, PortError> {
            Ok(None)
        }

        async fn remove(&self, _: &ObjectKey) -> Result<(), PortError> {
            Ok(())
        }

        async fn list(&self, _: &str, _: Option<&ObjectKey>, _: u32) -> Result<Vec<ObjectInfo>, PortError> {
            Ok(Vec::new())
        }

        async fn presign(&self, _: &ObjectKey, _: Duration) -> Result<Option<String>, PortError> {
            Ok(None)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_storage_that_loses_or_hangs_fails_in_time() {
        let clock = Arc::new(ManualClock::default());
        for (hangs, error) in [
            (false, "storage.check: corrupt (an object is not read as it was put)"),
            (true, "no answer within 2 s"),
        ] {
            let health = probe(Arc::new(Broken { hangs }), &clock).check().await;
            assert_eq!((health.status, &health.details[0].1), (HealthStatus::Fail, &error.to_owned()));
        }
    }
}
