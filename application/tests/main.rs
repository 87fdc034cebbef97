//! The use cases on the ports in memory: what somebody does, and what comes of it.

mod health;
mod idempotency;
mod operators;
mod secrets;
mod sessions;
mod sign_in_limit;
mod transact;
mod users;
mod world;
