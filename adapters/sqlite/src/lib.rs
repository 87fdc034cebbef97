#![doc = include_str!("../README.md")]

mod config;
pub mod diagnosis;
mod error;
pub mod export;
mod health;
mod idempotency;
mod job_queue;
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
pub use job_queue::SqliteJobQueue;
pub use store::SqliteStore;
