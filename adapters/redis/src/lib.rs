#![doc = include_str!("../README.md")]

mod cache;
mod config;
mod connection;
mod error;
mod health;
mod job_queue;
mod keeper;
mod rate_limiter;
mod script;

pub use cache::RedisCache;
pub use config::RedisConfig;
pub use connection::Connection as RedisConnection;
pub use health::RedisHealth;
pub use job_queue::RedisJobQueue;
pub use rate_limiter::RedisRateLimiter;
