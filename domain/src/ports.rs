//! The ports: every conversation with the outside world, one file each.
//!
//! | port | what it promises | adapters |
//! |---|---|---|
//! | [`Store`], [`UnitOfWork`], [`ReadView`] | transactions, durable once committed; reads as fresh as asked | sqlite, memory |
//! | [`UserRepository`], [`SessionRepository`], [`IdempotencyRepository`], [`Outbox`] | one kind of thing within a transaction | sqlite, memory |
//! | [`JobQueue`], [`JobSource`] | accepted is durable; leases with fencing | sqlite, socket, memory |
//! | [`Cache`] | values for a time, which may be gone before | redis, memory |
//! | [`Storage`] | files, whole or not at all | storage, memory |
//! | [`RateLimiter`] | exact counts per client and window | redis, memory |
//! | [`PasswordHasher`], [`TokenIssuer`], [`Sealer`] | proofs | security, memory |
//! | [`HealthProbe`] | how a component is | sqlite, redis, storage, bootstrap |
//! | [`Clock`], [`IdGenerator`], [`Observer`] | time, identity, attention | memory |
//!
//! Each promise in the prose of a trait has a test of that name in `portwright-testkit`, which every adapter passes.

pub mod ambient;
pub mod cache;
pub mod health;
pub mod job_queue;
pub mod obstacle;
pub mod rate_limiter;
pub mod security;
pub mod storage;
pub mod store;

pub use ambient::{Clock, Event, IdGenerator, Observer, Unobserved};
pub use cache::{Cache, CacheKey};
pub use health::{Health, HealthProbe, HealthStatus};
pub use job_queue::{JobQueue, JobSource};
pub use obstacle::Obstacle;
pub use rate_limiter::{Decision, Quota, RateKey, RateLimiter};
pub use security::{AccessToken, PasswordHasher, Purpose, Sealer, TokenIssuer, TokenRejected, Verdict};
pub use storage::{Object, ObjectBody, ObjectInfo, ObjectKey, Storage};
pub use store::{
    CommitToken, Consistency, IdempotencyRepository, Outbox, ReadView, Seen, SessionQueries,
    SessionRepository, Store, UnitOfWork, UserQueries, UserRepository,
};
