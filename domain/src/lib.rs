#![doc = include_str!("../README.md")]

pub mod access;
pub mod avatar;
pub mod docs;
pub mod error;
pub mod idempotency;
pub mod invalid;
pub mod job;
#[cfg(feature = "mock")]
pub mod mock;
pub mod page;
pub mod password;
pub mod ports;
pub mod session;
pub mod time;
pub mod trace;
pub mod user;

pub use error::{ErrorKind, PortError, Race};
pub use invalid::Invalid;
pub use time::Timestamp;
pub use trace::TraceContext;
