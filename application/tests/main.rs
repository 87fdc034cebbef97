//! The use cases on the ports in memory: what somebody does, and what comes of it.

#![expect(clippy::expect_used, clippy::unchecked_time_subtraction, reason = "a panic is how a test fails")]

mod avatars;
mod cached;
mod compute;
mod exports;
mod health;
mod idempotency;
mod imports;
mod jobs;
mod operators;
mod primes;
mod secrets;
mod sessions;
mod sign_in_limit;
mod transact;
mod transfers;
mod users;
mod world;
