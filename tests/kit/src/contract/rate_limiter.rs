//! What every [`RateLimiter`] promises.

use std::time::Duration;

use portwright_domain::ports::{Decision, Quota, RateKey, RateLimiter};
use tokio::task::JoinSet;

use crate::contract::Fixture;

contract! {
    /// Every promise of [`RateLimiter`](portwright_domain::ports::RateLimiter), as a test of its own, given an async
    /// function that makes a `Fixture<dyn RateLimiter>` with a clock.
    rate_limiter_contract => rate_limiter::PROMISES: Fixture<dyn RateLimiter> {
        units_are_granted_up_to_the_limit,
        many_at_once_get_exactly_the_limit,
        a_refused_unit_costs_nothing,
        a_refused_unit_does_not_prolong_the_window,
        a_window_begins_with_the_first_unit,
        all_units_are_back_when_the_window_ends,
        a_decision_tells_when_the_window_ends,
        clients_have_windows_of_their_own,
        policies_never_share_a_count,
        peek_tells_what_take_would_decide,
        peek_takes_nothing,
        peek_begins_no_window,
        a_limit_of_zero_grants_nothing,
    }
}

const MINUTE: Duration = Duration::from_mins(1);
const SECOND: Duration = Duration::from_secs(1);
const ALMOST: Duration = Duration::from_secs(59);
const THREE: Quota = Quota { limit: 3, window: MINUTE };

fn key(policy: &'static str, client: &str) -> RateKey {
    RateKey { policy, client: client.to_owned() }
}

impl Fixture<dyn RateLimiter> {
    async fn take(&self, client: &str) -> Decision {
        self.port.take(&key("test", client), THREE).await.expect("take works")
    }

    async fn peek(&self, client: &str) -> Decision {
        self.port.peek(&key("test", client), THREE).await.expect("peek works")
    }

    async fn exhaust(&self, client: &str) {
        for _ in 0..THREE.limit {
            assert!(self.take(client).await.allowed);
        }
    }
}

async fn units_are_granted_up_to_the_limit(limiter: Fixture<dyn RateLimiter>) {
    for remaining in [2, 1, 0] {
        let decision = limiter.take("a").await;
        assert_eq!((decision.allowed, decision.remaining), (true, remaining));
    }
    let decision = limiter.take("a").await;
    assert_eq!((decision.allowed, decision.remaining), (false, 0));
}

async fn many_at_once_get_exactly_the_limit(limiter: Fixture<dyn RateLimiter>) {
    let quota = Quota { limit: 50, window: MINUTE };
    let mut takes = JoinSet::new();
    for _ in 0..200 {
        let port = limiter.port.clone();
        takes.spawn(async move { port.take(&key("test", "a"), quota).await.expect("take works").allowed });
    }
    let allowed = takes.join_all().await.into_iter().filter(|allowed| *allowed).count();
    assert_eq!(allowed, 50);
}

async fn a_refused_unit_costs_nothing(limiter: Fixture<dyn RateLimiter>) {
    limiter.exhaust("a").await;
    for _ in 0..10 {
        assert!(!limiter.take("a").await.allowed);
    }
    limiter.advance(MINUTE).await;
    limiter.exhaust("a").await;
}

async fn a_refused_unit_does_not_prolong_the_window(limiter: Fixture<dyn RateLimiter>) {
    limiter.exhaust("a").await;
    limiter.advance(ALMOST).await;
    assert!(!limiter.take("a").await.allowed);
    limiter.advance(SECOND).await;
    assert!(limiter.take("a").await.allowed);
}

async fn a_window_begins_with_the_first_unit(limiter: Fixture<dyn RateLimiter>) {
    // Windows that begin at full minutes would let this client have twice the limit within a minute.
    limiter.advance(MINUTE / 2).await;
    limiter.exhaust("a").await;
    limiter.advance(ALMOST).await;
    assert!(!limiter.take("a").await.allowed);
}

async fn all_units_are_back_when_the_window_ends(limiter: Fixture<dyn RateLimiter>) {
    limiter.take("a").await;
    limiter.advance(MINUTE / 2).await;
    limiter.take("a").await;
    limiter.take("a").await;
    limiter.advance(MINUTE / 2).await;
    limiter.exhaust("a").await;
}

async fn a_decision_tells_when_the_window_ends(limiter: Fixture<dyn RateLimiter>) {
    assert_close(limiter.take("a").await.reset_after, MINUTE);
    limiter.advance(20 * SECOND).await;
    assert_close(limiter.take("a").await.reset_after, 40 * SECOND);
    limiter.take("a").await;
    assert_close(limiter.take("a").await.reset_after, 40 * SECOND);
}

async fn clients_have_windows_of_their_own(limiter: Fixture<dyn RateLimiter>) {
    limiter.exhaust("a").await;
    limiter.exhaust("b").await;
    assert!(!limiter.take("a").await.allowed);
    assert!(!limiter.take("b").await.allowed);
}

async fn policies_never_share_a_count(limiter: Fixture<dyn RateLimiter>) {
    limiter.exhaust("a").await;
    // The same characters in a row, divided elsewhere.
    for (policy, client) in [("other", "a"), ("tes", "ta"), ("test:", "a"), ("test", ":a")] {
        let decision = limiter.port.take(&key(policy, client), THREE).await.expect("take works");
        assert_eq!(decision.remaining, 2, "{policy:?} {client:?}");
    }
}

async fn peek_tells_what_take_would_decide(limiter: Fixture<dyn RateLimiter>) {
    for left in [3, 2, 1] {
        let peeked = limiter.peek("a").await;
        assert_eq!((peeked.allowed, peeked.remaining), (true, left));
        assert!(limiter.take("a").await.allowed);
    }
    let peeked = limiter.peek("a").await;
    assert_eq!((peeked.allowed, peeked.remaining), (false, 0));
    assert!(!limiter.take("a").await.allowed);
    limiter.advance(MINUTE).await;
    assert!(limiter.peek("a").await.allowed);
}

async fn peek_takes_nothing(limiter: Fixture<dyn RateLimiter>) {
    for _ in 0..10 {
        limiter.peek("a").await;
    }
    limiter.exhaust("a").await;
}

async fn peek_begins_no_window(limiter: Fixture<dyn RateLimiter>) {
    assert_close(limiter.peek("a").await.reset_after, MINUTE);
    limiter.advance(MINUTE / 2).await;
    assert_close(limiter.peek("a").await.reset_after, MINUTE);
    assert_close(limiter.take("a").await.reset_after, MINUTE);
}

async fn a_limit_of_zero_grants_nothing(limiter: Fixture<dyn RateLimiter>) {
    let none = Quota { limit: 0, window: MINUTE };
    for _ in 0..2 {
        let decision = limiter.port.take(&key("test", "a"), none).await.expect("take works");
        assert_eq!((decision.allowed, decision.remaining), (false, 0));
    }
}

/// A server's time goes on while the check runs.
fn assert_close(actual: Duration, expected: Duration) {
    assert!(actual <= expected && actual + 5 * SECOND > expected, "{actual:?}, expected {expected:?}");
}
