//! Local files and an S3 server keep every promise of the storage, and so does its probe.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::sync::Arc;

use portwright_domain::ports::{HealthProbe, Storage};
use portwright_memory::SystemClock;
use portwright_storage::{OpendalStorage, StorageHealth};
use portwright_testkit::{Fixture, ManualClock, SequentialIds};

mod bucket;

fn probe_of(storage: Fixture<dyn Storage>) -> Fixture<dyn HealthProbe> {
    let ids = SequentialIds::new(Arc::new(ManualClock::default()));
    let probe = StorageHealth::of(storage.port.clone(), Arc::new(ids));
    Fixture::<dyn HealthProbe>::new(Arc::new(probe)).keeping(storage)
}

mod local {
    use super::*;

    async fn fresh_storage() -> Fixture<dyn Storage> {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = OpendalStorage::local(folder.path(), Arc::new(SystemClock)).await.expect("a storage");
        Fixture::<dyn Storage>::new(Arc::new(storage)).keeping(folder)
    }

    portwright_testkit::storage_contract!(fresh_storage);

    async fn fresh_probe() -> Fixture<dyn HealthProbe> {
        probe_of(fresh_storage().await)
    }

    portwright_testkit::health_probe_contract!(fresh_probe);
}

mod s3 {
    use super::*;

    async fn fresh_storage() -> Fixture<dyn Storage> {
        let (server, storage) = bucket::fresh().await;
        Fixture::<dyn Storage>::new(Arc::new(storage)).keeping(server)
    }

    portwright_testkit::storage_contract!(fresh_storage);

    async fn fresh_probe() -> Fixture<dyn HealthProbe> {
        probe_of(fresh_storage().await)
    }

    portwright_testkit::health_probe_contract!(fresh_probe);
}
