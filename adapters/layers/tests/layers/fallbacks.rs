//! What limits are worth while the limiter that all processes share does not answer.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ErrorKind;
use portwright_domain::ports::{Decision, Quota, RateKey, RateLimiter};
use portwright_layers::{Fallback, Layers, WhenAway};
use portwright_memory::MemoryRateLimiter;
use portwright_testkit::ManualClock;
use portwright_testkit::faults::{Fault, Flaky, When};

use crate::stage::{AWAY, BLACK_HOLE, POLICY, Recorder};

const MINUTE: Duration = Duration::from_mins(1);
const TEN: Quota = Quota { limit: 10, window: MINUTE };

struct Limits {
    shared: Arc<Flaky<dyn RateLimiter>>,
    limiter: Arc<dyn RateLimiter>,
    recorder: Arc<Recorder>,
}

impl Limits {
    /// The general policy counts a half, `login` a quarter, `open` and `closed` do as they are called.
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let limiter = || Arc::new(MemoryRateLimiter::new(100, clock.clone()));
        let shared: Arc<Flaky<dyn RateLimiter>> = Arc::new(Flaky::new(limiter()));
        let recorder = Arc::new(Recorder::default());
        let local = |divisor| WhenAway::Local(NonZeroU32::new(divisor).expect("not 0"));
        let fallback = Fallback::new(limiter(), local(2))
            .with("login", local(4))
            .with("open", WhenAway::Open)
            .with("closed", WhenAway::Closed);
        let limiter = Layers::new(recorder.clone()).shared_rate_limiter(shared.clone(), POLICY, fallback);
        Self { shared, limiter, recorder }
    }

    async fn take(&self, policy: &'static str) -> Decision {
        let key = RateKey { policy, client: "a".to_owned() };
        let peeked = self.limiter.peek(&key, TEN).await.expect("there is always an answer");
        let decision = self.limiter.take(&key, TEN).await.expect("there is always an answer");
        assert_eq!(peeked.allowed, decision.allowed);
        decision
    }

    /// How many of twenty are granted.
    async fn granted(&self, policy: &'static str) -> usize {
        let mut granted = 0;
        for _ in 0..20 {
            granted += usize::from(self.take(policy).await.allowed);
        }
        granted
    }
}

#[tokio::test(start_paused = true)]
async fn each_policy_does_what_was_chosen_for_it() {
    let limits = Limits::new();
    limits.shared.cue(When::Always, AWAY);
    for (policy, granted) in [("default", 5), ("login", 2), ("open", 20), ("closed", 0)] {
        assert_eq!(limits.granted(policy).await, granted, "{policy}");
    }
    // Who was refused without being counted may come back as soon as it can be.
    assert_eq!(limits.take("closed").await.reset_after, Duration::from_secs(1));
    assert_eq!(limits.take("login").await.reset_after, MINUTE);
}

#[tokio::test(start_paused = true)]
async fn the_shared_count_goes_on_where_it_was() {
    let limits = Limits::new();
    for left in (3..10).rev() {
        assert_eq!(limits.take("default").await.remaining, left);
    }
    limits.shared.cue(When::Always, AWAY);
    assert_eq!(limits.granted("default").await, 5);
    limits.shared.recover();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(limits.granted("default").await, 3);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_deadline_and_then_not_at_all() {
    let limits = Limits::new();
    limits.shared.cue(When::Always, BLACK_HOLE);
    let begun = tokio::time::Instant::now();
    assert_eq!(limits.granted("default").await, 5);
    // Ten calls until the breaker opens; the forty go on without a wait.
    assert_eq!(begun.elapsed(), POLICY.deadline * 10);
    assert_eq!(limits.shared.calls(), 10);
}

#[tokio::test(start_paused = true)]
async fn whatever_it_fails_with_there_is_a_decision_and_somebody_is_told() {
    let limits = Limits::new();
    for kind in [ErrorKind::Corrupt, ErrorKind::Misconfigured, ErrorKind::Unavailable] {
        limits.shared.recover();
        limits.shared.cue(When::Always, Fault::Refuse(kind));
        limits.recorder.take();
        assert!(limits.take("open").await.allowed);
        let told = limits.recorder.take();
        let fell_back = told.iter().filter(|told| told.contains("LimitFellBack"));
        assert_eq!(fell_back.count(), 2, "{told:?}");
    }
}
