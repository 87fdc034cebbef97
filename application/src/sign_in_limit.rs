//! How often somebody may be wrong about a password: per account, and per address that they come from.
//!
//! Only failures count. A sign-in asks before it checks the password and again after it, so that however many run at
//! once, no more than the limit learn whether their guess was right. Accounts that do not exist are counted alike.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::PortError;
use portwright_domain::ports::{Decision, Event, Observer, Quota, RateKey, RateLimiter};
use portwright_domain::user::{Email, folded};

const ADDRESS: &str = "login-address";
const ACCOUNT: &str = "login-account";

/// The policies of the limiter that protect passwords: where it falls back to something, these should be stricter than
/// others, and neither give nor refuse everything.
pub const SIGN_IN_POLICIES: [&str; 2] = [ADDRESS, ACCOUNT];

pub(crate) struct SignInLimit {
    limiter: Arc<dyn RateLimiter>,
    quota: Quota,
    observer: Arc<dyn Observer>,
}

/// The limit is reached; nothing is known before this time has passed.
#[derive(Debug)]
pub(crate) struct Exhausted(pub(crate) Duration);

impl SignInLimit {
    pub(crate) fn new(limiter: Arc<dyn RateLimiter>, quota: Quota, observer: Arc<dyn Observer>) -> Self {
        Self { limiter, quota, observer }
    }

    /// The counts that a sign-in to this account from this address is about.
    pub(crate) fn guard(&self, account: &str, address: &str) -> Guard<'_> {
        let mut keys = vec![RateKey { policy: ADDRESS, client: address.to_owned() }];
        // No account has a longer address, so there is nothing to protect, and no memory to spend.
        if account.len() <= Email::MAX_BYTES {
            keys.push(RateKey { policy: ACCOUNT, client: folded(account) });
        }
        Guard { limit: self, keys }
    }
}

pub(crate) struct Guard<'a> {
    limit: &'a SignInLimit,
    keys: Vec<RateKey>,
}

impl Guard<'_> {
    /// Whether there may be another guess.
    pub(crate) async fn check(&self) -> Result<(), Exhausted> {
        for key in &self.keys {
            self.judge(key, self.limit.limiter.peek(key, self.limit.quota).await)?;
        }
        Ok(())
    }

    /// Counts a wrong guess; an error if it was one too many, so that it must not learn that it was wrong.
    ///
    /// An address that has used up its own share takes nothing from the account's, which others need.
    pub(crate) async fn count_failure(&self) -> Result<(), Exhausted> {
        for key in &self.keys {
            self.judge(key, self.limit.limiter.take(key, self.limit.quota).await)?;
        }
        Ok(())
    }

    fn judge(&self, key: &RateKey, answer: Result<Decision, PortError>) -> Result<(), Exhausted> {
        match answer {
            Ok(decision) => {
                self.limit
                    .observer
                    .observe(&Event::LimitChecked { policy: key.policy, allowed: decision.allowed });
                if decision.allowed { Ok(()) } else { Err(Exhausted(decision.reset_after)) }
            }
            // A limiter that is away must not lock everybody out; shared limiters fall back to a local one.
            Err(error) => {
                tracing::warn!(%error, policy = key.policy, "the sign-in limit could not be checked");
                Ok(())
            }
        }
    }
}
