#![doc = include_str!("../README.md")]
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a benchmark that cannot run has nothing to say"
)]

pub mod bare;
pub mod client;
pub mod engine;
pub mod jobs;
pub mod load;
pub mod open_load;
pub mod process;
pub mod server;
