//! The rate limiter behind its guard.

use std::sync::Arc;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::ports::{Decision, Quota, RateKey, RateLimiter};

use crate::guard::Guard;

pub(crate) struct GuardedRateLimiter {
    pub(crate) limiter: Arc<dyn RateLimiter>,
    pub(crate) guard: Guard,
}

#[async_trait]
impl RateLimiter for GuardedRateLimiter {
    async fn take(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        self.guard.call("rate_limiter.take", self.limiter.take(key, quota)).await
    }

    async fn peek(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        self.guard.call("rate_limiter.peek", self.limiter.peek(key, quota)).await
    }
}
