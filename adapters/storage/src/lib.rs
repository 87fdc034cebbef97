#![doc = include_str!("../README.md")]

mod error;
mod health;
mod local;
mod storage;

pub use health::StorageHealth;
pub use storage::OpendalStorage;
