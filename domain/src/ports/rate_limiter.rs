//! Rate limits: how much one client may ask for.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::PortError;

/// Whose share is counted, and for what; the policy is part of it, so that two policies never share a count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RateKey {
    /// The policy, such as `api` or `login-account`.
    pub policy: &'static str,
    /// The client: a user, an address, an account.
    pub client: String,
}

/// At most `limit` units in a window of this length, which begins with the client's first unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Units in one window.
    pub limit: u32,
    /// The length of a window.
    pub window: Duration,
}

/// Whether a unit was granted, and what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether it was granted.
    pub allowed: bool,
    /// Units left in this window.
    pub remaining: u32,
    /// When the window ends and all units are back; the whole window if none has begun.
    pub reset_after: Duration,
}

/// Counts units per key. What to do when it cannot answer is the caller's choice.
#[async_trait]
pub trait RateLimiter: Send + Sync + 'static {
    /// Takes one unit if one is left. Exact under concurrency: of many at once, `limit` are allowed. A refused unit
    /// costs nothing and does not prolong the window.
    async fn take(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError>;

    /// What `take` would decide, without taking.
    async fn peek(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError>;
}
