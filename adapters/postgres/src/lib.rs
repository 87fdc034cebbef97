#![doc = include_str!("../README.md")]

mod config;
mod error;
mod health;
mod idempotency;
mod lsn;
pub mod migrate;
mod outbox;
mod pooled;
mod routing;
mod seen;
mod server;
mod sessions;
mod status;
mod store;
mod users;

pub use config::PostgresConfig;
pub use health::PostgresHealth;
pub use status::{ServerRole, ServerStatus};
pub use store::PostgresStore;
