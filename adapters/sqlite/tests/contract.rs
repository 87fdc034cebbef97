//! `SQLite` keeps every promise of the store.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::sync::Arc;

use portwright_domain::ports::Store;
use portwright_sqlite::{SqliteConfig, SqliteStore};
use portwright_testkit::Fixture;

async fn fresh_store() -> Fixture<dyn Store> {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::init(&SqliteConfig::at(folder.path().join("test.db"))).await.expect("a store");
    Fixture::<dyn Store>::new(Arc::new(store)).keeping(folder)
}

portwright_testkit::store_contract!(fresh_store);
