#![doc = include_str!("../README.md")]

mod config;
pub mod diagnosis;
mod error;
mod health;
mod idempotency;
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
