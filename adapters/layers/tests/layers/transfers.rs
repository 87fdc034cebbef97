//! Objects on their way: as long as the other end likes, and no step of the storage longer than allowed.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::ports::{HealthProbe, Object, ObjectBody, ObjectInfo, ObjectKey, Storage, Unobserved};
use portwright_domain::{ErrorKind, PortError};
use portwright_layers::{Layers, StoragePolicy};
use portwright_memory::MemoryStorage;
use portwright_testkit::ManualClock;
use tokio::time::{Instant, sleep};

use crate::stage::POLICY;

const STEP: Duration = Duration::from_secs(5);

/// A body of parts, each of which takes its time; then it ends or fails.
struct Slow {
    parts: u32,
    each: Duration,
    fails: bool,
}

#[async_trait]
impl ObjectBody for Slow {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        sleep(self.each).await;
        match self.parts.checked_sub(1) {
            Some(left) => {
                self.parts = left;
                Ok(Some(Bytes::from_static(b"part")))
            }
            None if self.fails => {
                Err(PortError::new(ErrorKind::Unavailable, "body.next", "the client is gone"))
            }
            None => Ok(None),
        }
    }
}

/// Takes and gives one part, and falls silent.
struct Stuck;

#[async_trait]
impl Storage for Stuck {
    async fn put(&self, _: &ObjectKey, mut body: Box<dyn ObjectBody>) -> Result<ObjectInfo, PortError> {
        body.next().await?;
        pending().await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Object>, PortError> {
        let info = ObjectInfo {
            key: key.clone(),
            size: 8,
            etag: "stuck".to_owned(),
            modified_at: ManualClock::START,
        };
        Ok(Some(Object { info, body: Box::new(OnePart(Some(Bytes::from_static(b"part")))) }))
    }

    async fn remove(&self, _: &ObjectKey) -> Result<(), PortError> {
        pending().await
    }

    async fn list(&self, _: &str, _: Option<&ObjectKey>, _: u32) -> Result<Vec<ObjectInfo>, PortError> {
        pending().await
    }

    async fn presign(&self, _: &ObjectKey, _: Duration) -> Result<Option<String>, PortError> {
        pending().await
    }
}

struct OnePart(Option<Bytes>);

#[async_trait]
impl ObjectBody for OnePart {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        match self.0.take() {
            Some(part) => Ok(Some(part)),
            None => pending().await,
        }
    }
}

fn guarded(storage: impl Storage) -> (Arc<dyn Storage>, Arc<dyn HealthProbe>) {
    let layers = Layers::new(Arc::new(Unobserved));
    let storage = layers.storage(Arc::new(storage), StoragePolicy { policy: POLICY, part: STEP });
    (storage, layers.health())
}

fn memory() -> MemoryStorage {
    MemoryStorage::new(Arc::new(ManualClock::default()))
}

fn key() -> ObjectKey {
    ObjectKey::parse("key").expect("a key")
}

async fn state(health: &Arc<dyn HealthProbe>) -> String {
    health.check().await.details.remove(0).1
}

#[tokio::test(start_paused = true)]
async fn an_upload_takes_as_long_as_its_client_and_is_not_slow() {
    let (storage, health) = guarded(memory());
    for _ in 0..20 {
        let body = Slow { parts: 10, each: Duration::from_mins(1), fails: false };
        let info = storage.put(&key(), Box::new(body)).await.expect("put works");
        assert_eq!(info.size, 40);
    }
    assert_eq!(state(&health).await, "closed");
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_falls_silent_in_an_upload_is_given_up_after_one_step() {
    let (storage, health) = guarded(Stuck);
    // The first client is slow, too, which does not count.
    let clients = std::iter::once(Duration::from_mins(1)).chain([Duration::ZERO; 9]);
    for each in clients {
        let began = Instant::now();
        let body = Slow { parts: 9, each, fails: false };
        let error = storage.put(&key(), Box::new(body)).await.expect_err("it falls silent");
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Unavailable, "storage.put"));
        let silent = began.elapsed().checked_sub(each).expect("it took its part");
        assert!(silent >= STEP && silent <= STEP + Duration::from_millis(100), "{silent:?}");
    }
    assert_eq!(state(&health).await, "open");
}

#[tokio::test(start_paused = true)]
async fn a_client_who_goes_away_is_not_the_fault_of_the_storage() {
    let (storage, health) = guarded(memory());
    for _ in 0..100 {
        let body = Slow { parts: 2, each: Duration::from_secs(1), fails: true };
        let error = storage.put(&key(), Box::new(body)).await.expect_err("the body fails");
        assert_eq!(error.detail(), "the client is gone");
    }
    assert_eq!(state(&health).await, "closed");
}

#[tokio::test(start_paused = true)]
async fn each_part_of_a_download_has_its_time_and_the_reader_has_any() {
    let (storage, _) = guarded(Stuck);
    let mut object = storage.get(&key()).await.expect("get works").expect("it is there");
    assert_eq!(object.body.next().await.expect("a part"), Some(Bytes::from_static(b"part")));
    sleep(Duration::from_hours(1)).await;
    let began = Instant::now();
    let error = object.body.next().await.expect_err("it falls silent");
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Unavailable, "storage.read"));
    let silent = began.elapsed();
    assert!(silent >= STEP && silent <= STEP + Duration::from_millis(100), "{silent:?}");
}

#[tokio::test(start_paused = true)]
async fn what_moves_no_bytes_has_the_short_deadline() {
    let (storage, _) = guarded(Stuck);
    let began = Instant::now();
    storage.remove(&key()).await.expect_err("it is silent");
    storage.list("", None, 1).await.expect_err("it is silent");
    storage.presign(&key(), STEP).await.expect_err("it is silent");
    assert!(began.elapsed() <= POLICY.deadline * 3 + Duration::from_millis(100));
}
