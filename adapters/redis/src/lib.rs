#![doc = include_str!("../README.md")]

mod config;
mod connection;
mod error;
mod job_queue;
mod keeper;
mod script;

pub use config::RedisConfig;
pub use job_queue::RedisJobQueue;
