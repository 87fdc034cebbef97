#![doc = include_str!("../README.md")]

// What `#[service]` writes names this crate by its name, here as anywhere.
extern crate self as portwright_application;

pub mod avatars;
pub mod cached;
pub mod compute;
pub mod exports;
pub mod health;
pub mod idempotency;
pub mod imports;
pub mod jobs;
pub mod operators;
pub mod prelude;
pub mod primes;
mod services;
pub mod sessions;
pub mod trace;
pub mod transact;
pub mod transfers;
pub mod users;

mod jitter;
mod queue_counts;
mod reads;
mod sign_in_limit;

pub use avatars::{AvatarError, Avatars};
pub use exports::Exports;
pub use idempotency::Idempotency;
pub use imports::Imports;
pub use jobs::{JobError, Jobs};
pub use operators::Operators;
pub use primes::Primes;
pub use services::{Policy, Ports, Services, task_registry};
pub use sessions::{SessionError, Sessions, SignedIn};
pub use sign_in_limit::SIGN_IN_POLICIES;
pub use transact::Committed;
pub use users::{UserError, Users};
