//! [`RedisRateLimiter`]: counts that all processes share, kept by one script.

use std::fmt::{self, Write};
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::ports::{Decision, Quota, RateKey, RateLimiter};
use ring::digest::{SHA256, digest};

use crate::connection::Connection;
use crate::script::Script;

/// Half of a SHA-256 is enough to tell clients apart.
const NAME: usize = 16;
/// Longer than any window that makes sense; Redis does not count up to just any time.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// A limiter in a Redis, exact over any number of processes. A window is counted in milliseconds, by the time of Redis.
///
/// Names of keys are read by operators, in logs of slow commands for one, so no client's name is in them, but its
/// SHA-256. That hides nobody from those who try out all addresses there are.
pub struct RedisRateLimiter {
    redis: Connection,
    script: Script,
}

impl RedisRateLimiter {
    /// A limiter on this Redis.
    #[must_use]
    pub fn on(redis: &Connection) -> Self {
        Self { redis: redis.clone(), script: Script::new(include_str!("lua/rate_limit.lua")) }
    }

    fn name_of(&self, key: &RateKey) -> String {
        let hash = digest(&SHA256, key.client.as_bytes());
        let mut name = format!("limit:{}:", key.policy);
        for byte in hash.as_ref().iter().take(NAME) {
            // Writing into memory does not fail.
            write!(name, "{byte:02x}").ok();
        }
        self.redis.config().key(&name)
    }

    async fn decide(
        &self,
        operation: &'static str,
        key: &RateKey,
        quota: Quota,
        takes: bool,
    ) -> Result<Decision, PortError> {
        let (limit, window) =
            (quota.limit.to_string(), quota.window.min(LONGEST).as_millis().max(1).to_string());
        let takes: &[u8] = if takes { b"1" } else { b"0" };
        let (name, arguments) = (self.name_of(key), [limit.as_bytes(), window.as_bytes(), takes]);
        let within = self.redis.config().response;
        let answer = self.redis.run(operation, &self.script, &[&name], &arguments, within).await?;
        let (granted, used, left): (u8, u32, u64) = answer;
        Ok(Decision {
            allowed: granted == 1,
            remaining: quota.limit.saturating_sub(used),
            reset_after: Duration::from_millis(left),
        })
    }
}

#[async_trait]
impl RateLimiter for RedisRateLimiter {
    async fn take(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        self.decide("rate_limiter.take", key, quota, true).await
    }

    async fn peek(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        self.decide("rate_limiter.peek", key, quota, false).await
    }
}

impl fmt::Debug for RedisRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisRateLimiter").field("redis", &self.redis).finish_non_exhaustive()
    }
}
