//! The general rate limit: so many requests of one client in a window, told in every answer.
//!
//! `RateLimit-Policy` and `RateLimit` are those of draft-ietf-httpapi-ratelimit-headers; the `X-RateLimit-` headers
//! are for the clients that know them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use poem::http::{HeaderName, HeaderValue, header};
use poem::{Request, Response};
use portwright_domain::error::{ErrorKind, PortError};
use portwright_domain::ports::{Clock, Decision, Event, Observer, Quota, RateKey, RateLimiter};
use portwright_domain::user::UserId;
use tokio::time::timeout;

use crate::problem::{Problem, ProblemCode};

use super::{ClientAddress, unmetered};

/// Tells which user sends a request, by the token alone: cheap, and without asking a store.
pub type Identify = Arc<dyn Fn(&Request) -> Option<UserId> + Send + Sync>;

const POLICY: &str = "default";

/// A limiter that takes longer is as good as none: nobody should wait for being counted.
const PATIENCE: Duration = Duration::from_millis(250);

const ALMOST_A_SECOND: Duration = Duration::from_micros(999_999);

/// What each client has a share of, and how that is found out.
pub struct Shares {
    /// Counts requests.
    pub limiter: Arc<dyn RateLimiter>,
    /// How many of them a client may send.
    pub quota: Quota,
    /// Tells when a window ends.
    pub clock: Arc<dyn Clock>,
    /// Tells who sends a request.
    pub identify: Identify,
}

/// Counts the requests of each client.
pub(super) struct RateLimits {
    shares: Shares,
    observer: Arc<dyn Observer>,
    /// Whether the last answer of the limiter was none; what is logged is the change.
    unavailable: AtomicBool,
}

/// How a client stands after a request.
pub(super) enum Standing {
    /// The path is not counted, or nobody could count.
    Unknown,
    /// It was counted.
    Known {
        /// What the limiter said.
        decision: Decision,
        /// The limit.
        quota: Quota,
        /// When the window ends, in Unix seconds.
        resets_at: i64,
    },
}

impl RateLimits {
    pub(super) fn new(shares: Shares, observer: Arc<dyn Observer>) -> Self {
        Self { shares, observer, unavailable: AtomicBool::new(false) }
    }

    /// Takes a request from the share of its user, or else of its address. A limiter that cannot tell refuses
    /// nobody.
    pub(super) async fn take(&self, request: &Request, client: ClientAddress) -> Standing {
        if unmetered(request.uri().path()) {
            return Standing::Unknown;
        }
        let Shares { limiter, quota, clock, identify } = &self.shares;
        let client = match identify(request) {
            Some(user) => format!("user:{user}"),
            None => format!("address:{}", client.network()),
        };
        let key = RateKey { policy: POLICY, client };
        let decided = timeout(PATIENCE, limiter.take(&key, *quota)).await;
        let decided = decided.unwrap_or_else(|_elapsed| {
            Err(PortError::new(ErrorKind::Unavailable, "rate_limiter.take", "no answer in time"))
        });
        let was_unavailable = self.unavailable.swap(decided.is_err(), Ordering::Relaxed);
        match decided {
            Ok(decision) => {
                if was_unavailable {
                    tracing::info!("the rate limiter answers again");
                }
                self.observer.observe(&Event::LimitChecked { policy: POLICY, allowed: decision.allowed });
                // Rounded up, so that nobody comes back too early.
                let resets_at = clock.now().plus(decision.reset_after + ALMOST_A_SECOND).unix_seconds();
                Standing::Known { decision, quota: *quota, resets_at }
            }
            Err(error) => {
                if !was_unavailable {
                    tracing::warn!(%error, "the rate limiter does not answer: requests are not limited");
                }
                Standing::Unknown
            }
        }
    }
}

impl Standing {
    /// The problem of a client that has nothing left.
    pub(super) fn refused(&self) -> Option<Problem> {
        match self {
            Self::Known { decision, .. } if !decision.allowed => {
                let problem = Problem::new(ProblemCode::RateLimited);
                Some(problem.with_header(header::RETRY_AFTER, seconds(decision.reset_after).into()))
            }
            _ => None,
        }
    }

    /// Tells the client.
    pub(super) fn write(&self, response: &mut Response) {
        let Self::Known { decision, quota, resets_at } = self else { return };
        let Decision { remaining, reset_after, .. } = *decision;
        let (limit, window, reset) = (quota.limit, seconds(quota.window), seconds(reset_after));
        let mut tell = |name, value: String| {
            // Digits and quotes are always a header value.
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        };
        tell("ratelimit-policy", format!("\"{POLICY}\";q={limit};w={window}"));
        tell("ratelimit", format!("\"{POLICY}\";r={remaining};t={reset}"));
        tell("x-ratelimit-limit", limit.to_string());
        tell("x-ratelimit-remaining", remaining.to_string());
        tell("x-ratelimit-reset", resets_at.to_string());
    }
}

/// Whole seconds, rounded up, at least one.
fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1)
}
