#![doc = include_str!("../README.md")]
#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a panic is how a test fails")]

pub mod answer;
pub mod app;
pub mod caller;
pub mod events;
mod freshness;
pub mod goldens;
pub mod home;
pub mod wire;
pub mod work;
pub mod world;

pub use answer::Answer;
pub use app::TestApp;
pub use caller::Caller;
pub use world::World;
