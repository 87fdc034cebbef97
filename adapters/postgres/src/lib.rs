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
mod seen;
mod server;
mod sessions;
mod status;
mod store;
mod together;
mod url;
mod users;

pub use config::PostgresConfig;
pub use health::PostgresHealth;
pub use status::{ServerRole, ServerStatus};
pub use store::PostgresStore;
