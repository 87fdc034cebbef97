#![doc = include_str!("../README.md")]

mod children;
mod exposition;
mod metrics;
mod pulse;
mod sources;
mod table;
mod totals;

pub use exposition::{Exposition, Readings, Source};
pub use metrics::Metrics;
pub use pulse::pulse;
pub use sources::{Build, Process, Queues, Runtime};
pub use table::{Kind, Metric, name};
pub use totals::Report;
