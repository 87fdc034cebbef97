//! The composition root: the only crate that knows every other, the environment, and the operating system.

pub mod banner;
pub mod cli;
pub mod commands;
pub mod compute;
pub mod config;
pub mod data_dir;
pub mod database_gauges;
pub mod dispensable;
pub mod exit;
pub mod failure;
pub mod first_run;
pub mod first_run_file;
pub mod lifecycle;
pub mod lifeline;
pub mod metrics;
pub mod open_queue;
pub mod open_store;
pub mod output;
pub mod passphrase;
pub mod port;
pub mod queue_health;
pub mod serve;
mod shared;
pub mod supervisor;
pub mod telemetry;
pub mod wiring;
pub mod worker;
