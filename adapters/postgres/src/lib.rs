#![doc = include_str!("../README.md")]

mod config;
pub mod diagnosis;
mod error;
pub mod export;
mod health;
mod idempotency;
pub mod import;
mod lsn;
pub mod migrate;
mod outbox;
mod pooled;
mod routing;
mod server;
mod sessions;
mod store;
mod users;

pub use config::PostgresConfig;
pub use health::PostgresHealth;
pub use store::PostgresStore;
