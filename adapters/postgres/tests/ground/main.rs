//! What a database stands on, and what becomes of us when that gives way: its disk and its wires.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod disk;
mod wire;

use std::sync::Arc;

use portwright_domain::PortError;
use portwright_domain::ports::{CommitToken, Store, Unobserved};
use portwright_domain::user::User;
use portwright_postgres::{PostgresConfig, PostgresStore};

async fn store_at(port: u16, database: &str) -> PostgresStore {
    let url = format!("postgres://postgres@127.0.0.1:{port}/{database}");
    let config = PostgresConfig::at([url]).expect("a URL");
    PostgresStore::init(&config, Arc::new(Unobserved)).await.expect("a store")
}

async fn insert(store: &PostgresStore, user: &User) -> Result<CommitToken, PortError> {
    let mut unit = store.begin().await?;
    unit.users().insert(user).await?;
    unit.commit().await
}
