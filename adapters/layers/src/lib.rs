#![doc = include_str!("../README.md")]

mod breaker;
mod cache;
mod deadline;
mod fallback;
mod guard;
mod health;
mod job_queue;
mod job_source;
mod layers;
mod observe;
mod policy;
mod rate_limiter;
mod storage;
mod store;
mod timeout;

pub use deadline::with_deadline;
pub use fallback::{Fallback, WhenAway};
pub use layers::Layers;
pub use policy::{Policy, StoragePolicy, StorePolicy, Thresholds};
