//! What the layers add to a port, seen from outside.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod breakers;
mod callers;
mod crowd;
mod deadlines;
mod fallbacks;
mod questions;
mod recovery;
mod stage;
mod transfers;
