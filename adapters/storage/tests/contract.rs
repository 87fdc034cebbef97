//! Local files and an S3 server keep every promise of the storage.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::sync::Arc;

use portwright_domain::ports::Storage;
use portwright_memory::SystemClock;
use portwright_storage::OpendalStorage;
use portwright_testkit::Fixture;

mod bucket;

mod local {
    use super::*;

    async fn fresh_storage() -> Fixture<dyn Storage> {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = OpendalStorage::local(folder.path(), Arc::new(SystemClock)).await.expect("a storage");
        Fixture::<dyn Storage>::new(Arc::new(storage)).keeping(folder)
    }

    portwright_testkit::storage_contract!(fresh_storage);
}

mod s3 {
    use super::*;

    async fn fresh_storage() -> Fixture<dyn Storage> {
        let (server, storage) = bucket::fresh().await;
        Fixture::<dyn Storage>::new(Arc::new(storage)).keeping(server)
    }

    portwright_testkit::storage_contract!(fresh_storage);
}
