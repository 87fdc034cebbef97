//! [`Fallback`]: what limits are worth while the limiter that all processes share does not answer.
//!
//! It stands outside of the breaker, which is what tells it at once in an outage. Whatever the shared limiter fails with,
//! the answer is a decision.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::ports::{Decision, Event, Observer, Quota, RateKey, RateLimiter};

/// When a client may ask again that was refused without being counted: the shared limiter may be back by then.
const SOON: Duration = Duration::from_secs(1);

/// What becomes of a policy while the shared limiter is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenAway {
    /// Every unit is granted.
    Open,
    /// This process counts by itself, and grants the limit divided by this, rounded down, but 1 at least: with the number
    /// of processes all of them together grant about what they should, with more than that less.
    Local(NonZeroU32),
    /// No unit is granted.
    Closed,
}

impl WhenAway {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Local(_) => "local",
            Self::Closed => "closed",
        }
    }
}

/// What every policy does while the shared limiter is away.
#[derive(Clone)]
pub struct Fallback {
    local: Arc<dyn RateLimiter>,
    general: WhenAway,
    others: Vec<(&'static str, WhenAway)>,
}

impl Fallback {
    /// Every policy does the same; `local` is what counts within this process.
    #[must_use]
    pub fn new(local: Arc<dyn RateLimiter>, general: WhenAway) -> Self {
        Self { local, general, others: Vec::new() }
    }

    /// The same, but this policy does something else.
    #[must_use]
    pub fn with(mut self, policy: &'static str, when_away: WhenAway) -> Self {
        self.others.push((policy, when_away));
        self
    }

    fn of(&self, policy: &str) -> WhenAway {
        let found = self.others.iter().rfind(|(other, _)| *other == policy);
        found.map_or(self.general, |(_, when_away)| *when_away)
    }
}

/// A limiter that always knows an answer.
pub(crate) struct FallbackRateLimiter {
    pub(crate) shared: Arc<dyn RateLimiter>,
    pub(crate) fallback: Fallback,
    pub(crate) observer: Arc<dyn Observer>,
}

impl FallbackRateLimiter {
    /// What is to be done instead of asking the shared limiter.
    fn fall_back(&self, policy: &str, error: &PortError) -> WhenAway {
        let when_away = self.fallback.of(policy);
        tracing::debug!(%error, policy, to = when_away.as_str(), "a limit is not the shared one");
        self.observer.observe(&Event::LimitFellBack { policy, to: when_away.as_str() });
        when_away
    }
}

#[async_trait]
impl RateLimiter for FallbackRateLimiter {
    async fn take(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        match self.shared.take(key, quota).await {
            Ok(decision) => Ok(decision),
            Err(error) => match self.fall_back(key.policy, &error) {
                WhenAway::Open => Ok(granted(quota)),
                WhenAway::Local(divisor) => self.fallback.local.take(key, share(quota, divisor)).await,
                WhenAway::Closed => Ok(refused(quota)),
            },
        }
    }

    async fn peek(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        match self.shared.peek(key, quota).await {
            Ok(decision) => Ok(decision),
            Err(error) => match self.fall_back(key.policy, &error) {
                WhenAway::Open => Ok(granted(quota)),
                WhenAway::Local(divisor) => self.fallback.local.peek(key, share(quota, divisor)).await,
                WhenAway::Closed => Ok(refused(quota)),
            },
        }
    }
}

fn share(quota: Quota, divisor: NonZeroU32) -> Quota {
    // A limit of nothing stays one.
    Quota { limit: (quota.limit / divisor).max(1).min(quota.limit), ..quota }
}

const fn granted(quota: Quota) -> Decision {
    Decision { allowed: quota.limit > 0, remaining: quota.limit, reset_after: quota.window }
}

fn refused(quota: Quota) -> Decision {
    Decision { allowed: false, remaining: 0, reset_after: quota.window.min(SOON) }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Fallback");
        shown.field("general", &self.general).field("others", &self.others).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_nothing_unless_the_limit_is() {
        let of = |limit, divisor| {
            let quota = Quota { limit, window: SOON };
            share(quota, NonZeroU32::new(divisor).expect("not 0")).limit
        };
        assert_eq!([of(50, 3), of(10, 6), of(10, 11), of(0, 3)], [16, 1, 1, 0]);
    }
}
