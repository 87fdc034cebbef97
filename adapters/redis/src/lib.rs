#![doc = include_str!("../README.md")]

mod config;
mod connection;
mod error;
mod keeper;
mod script;

pub use config::RedisConfig;
