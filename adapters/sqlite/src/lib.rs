#![doc = include_str!("../README.md")]

mod config;
mod error;
mod health;
mod idempotency;
pub mod migrate;
mod open;
mod outbox;
mod pool;
mod sessions;
mod store;
mod users;
mod wal;

pub use config::SqliteConfig;
pub use health::SqliteHealth;
pub use store::SqliteStore;
