#![doc = include_str!("../README.md")]

pub mod ambient;
pub mod cache;
mod idempotency;
pub mod job_queue;
mod outbox;
pub mod rate_limiter;
pub mod security;
mod sessions;
pub mod storage;
pub mod store;
mod users;

pub use ambient::{SystemClock, UuidV7};
pub use cache::MemoryCache;
pub use job_queue::MemoryJobQueue;
pub use rate_limiter::MemoryRateLimiter;
pub use security::{FakeSealer, FakeTokens, PlainHasher};
pub use storage::MemoryStorage;
pub use store::MemoryStore;
