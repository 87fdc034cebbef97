//! What Prometheus reads.
#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod children;
mod exposition;
mod world;
