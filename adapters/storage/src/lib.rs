#![doc = include_str!("../README.md")]

pub mod diagnosis;
mod error;
mod health;
mod local;
mod s3;
mod storage;

pub use health::StorageHealth;
pub use s3::S3Config;
pub use storage::OpendalStorage;
