//! A suite is worth what it finds: adapters that are broken on purpose fail, by the name of the promise they break.

#![expect(clippy::expect_used, reason = "an adapter for a test may panic like one")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::PortError;
use portwright_domain::ports::{Cache, CacheKey};
use portwright_testkit::contract::cache;
use portwright_testkit::{Fixture, broken_promises};

/// Keeps every value for ever.
#[derive(Default)]
struct Hoarder(Mutex<HashMap<CacheKey, Bytes>>);

#[async_trait]
impl Cache for Hoarder {
    async fn get(&self, key: &CacheKey) -> Result<Option<Bytes>, PortError> {
        Ok(self.0.lock().expect("not poisoned").get(key).cloned())
    }

    async fn put(&self, key: &CacheKey, value: Bytes, ttl: Duration) -> Result<(), PortError> {
        let mut values = self.0.lock().expect("not poisoned");
        if ttl.is_zero() {
            values.remove(key)
        } else {
            values.insert(key.clone(), value)
        };
        Ok(())
    }

    async fn remove(&self, keys: &[CacheKey]) -> Result<(), PortError> {
        self.0.lock().expect("not poisoned").retain(|key, _| !keys.contains(key));
        Ok(())
    }
}

#[tokio::test]
async fn a_cache_that_forgets_to_forget_is_found() {
    async fn fresh() -> Fixture<dyn Cache> {
        Fixture::<dyn Cache>::new(Arc::new(Hoarder::default())).with_clock(Arc::default())
    }
    let broken = broken_promises(cache::PROMISES, fresh).await;
    assert_eq!(broken, ["no_value_outlives_its_time", "put_replaces_the_time"]);
}
