#![doc = include_str!("../README.md")]
#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a panic is how a test fails")]

pub mod builders;
pub mod clock;
pub mod contract;
pub mod faults;
pub mod forgery;
pub mod ids;
pub mod noise;
pub mod pictures;
pub mod proxy;
pub mod scrape;
pub mod servers;
pub mod size;

pub use clock::ManualClock;
pub use contract::{Fixture, broken_promises};
pub use ids::SequentialIds;
pub use noise::Noise;
pub use scrape::Scrape;
pub use size::sized;
