//! `SQLite` keeps every promise of the store, and so does its probe.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::sync::Arc;

use portwright_domain::ports::{HealthProbe, Store};
use portwright_sqlite::{SqliteConfig, SqliteHealth, SqliteStore};
use portwright_testkit::Fixture;
use tempfile::TempDir;

async fn fresh_store() -> Fixture<dyn Store> {
    let (store, folder) = store_in_a_folder().await;
    Fixture::<dyn Store>::new(Arc::new(store)).keeping(folder)
}

portwright_testkit::store_contract!(fresh_store);

async fn fresh_probe() -> Fixture<dyn HealthProbe> {
    let (store, folder) = store_in_a_folder().await;
    Fixture::<dyn HealthProbe>::new(Arc::new(SqliteHealth::of(store))).keeping(folder)
}

portwright_testkit::health_probe_contract!(fresh_probe);

async fn store_in_a_folder() -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::init(&SqliteConfig::at(folder.path().join("test.db"))).await.expect("a store");
    (store, folder)
}
