//! How a breaker closes again.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::job::{Lease, Progress, WorkerId};
use portwright_domain::ports::job_queue::{Exchange, LeaseRequest, Renewal, Settlement};
use portwright_domain::ports::{JobSource, Unobserved};
use portwright_domain::{ErrorKind, PortError};
use portwright_layers::Layers;
use portwright_testkit::faults::When;
use tokio::time::sleep;

use crate::deadlines::want;
use crate::stage::{A_WHILE, AWAY, BLACK_HOLE, POLICY, Stage, is_refusal, poll_once};

#[tokio::test(start_paused = true)]
async fn a_port_that_heals_is_called_again() {
    let stage = Stage::new(POLICY);
    stage.open().await;
    stage.flaky.recover();
    assert!(is_refusal(&stage.get().await, "cache"), "not before its time");
    tokio::time::advance(A_WHILE).await;
    for _ in 0..3 {
        stage.get().await.expect("it may try");
    }
    assert_eq!(stage.state("cache").await, "closed");
    assert_eq!(stage.recorder.states(), ["cache is half-open", "cache is closed"]);
}

#[tokio::test(start_paused = true)]
async fn a_port_that_has_not_healed_is_left_alone_again() {
    let stage = Stage::new(POLICY);
    stage.open().await;
    for _ in 0..5 {
        tokio::time::advance(A_WHILE).await;
        let tried = stage.get().await;
        assert!(tried.is_err() && !is_refusal(&tried, "cache"));
        assert!(is_refusal(&stage.get().await, "cache"));
        assert_eq!(stage.recorder.states(), ["cache is half-open", "cache is open"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_port_is_tried_by_a_few_at_once() {
    let stage = Stage::new(POLICY);
    stage.open().await;
    stage.flaky.recover();
    stage.flaky.cue(When::Always, BLACK_HOLE);
    tokio::time::advance(A_WHILE).await;
    let before = stage.flaky.calls();
    let mut trying: Vec<_> = (0..10).map(|_| Box::pin(stage.get())).collect();
    let mut refused = 0;
    for call in &mut trying {
        if let Poll::Ready(answer) = poll_once(call.as_mut()).await {
            assert!(is_refusal(&answer, "cache"));
            refused += 1;
        }
    }
    assert_eq!((refused, stage.flaky.calls() - before), (7, 3));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_probes_that_are_dropped_leave_room_for_others() {
    let stage = Stage::new(POLICY);
    stage.open().await;
    stage.flaky.recover();
    stage.flaky.cue(When::Always, BLACK_HOLE);
    tokio::time::advance(A_WHILE).await;
    let before = stage.flaky.calls();
    for _ in 0..100 {
        assert!(poll_once(pin!(stage.get())).await.is_pending());
    }
    assert_eq!(stage.flaky.calls() - before, 100, "all of them tried");
    assert_eq!(stage.state("cache").await, "half-open");
    stage.flaky.recover();
    for _ in 0..3 {
        stage.get().await.expect("it may try");
    }
    assert_eq!(stage.state("cache").await, "closed");
}

/// Has no jobs, and workers wait for one to the end; whoever reclaims finds out whether it is away.
#[derive(Default)]
struct Quiet {
    is_away: AtomicBool,
}

#[async_trait]
impl JobSource for Quiet {
    async fn exchange(&self, _: &[Settlement], want: &LeaseRequest) -> Result<Exchange, PortError> {
        sleep(want.wait).await;
        Ok(Exchange::default())
    }

    async fn renew(&self, _: &WorkerId, _: Duration) -> Result<Renewal, PortError> {
        Ok(Renewal::default())
    }

    async fn report(&self, _: &Lease, _: &Progress) -> Result<(), PortError> {
        Ok(())
    }

    async fn bury(&self, _: &WorkerId) -> Result<u64, PortError> {
        Ok(0)
    }

    async fn reclaim(&self) -> Result<u64, PortError> {
        let away = || PortError::new(ErrorKind::Unavailable, "jobs.reclaim", "on cue");
        if self.is_away.load(Ordering::Relaxed) { Err(away()) } else { Ok(0) }
    }
}

#[tokio::test(start_paused = true)]
async fn probes_that_wait_because_they_were_asked_to_leave_room_for_others() {
    let quiet = Arc::new(Quiet { is_away: true.into() });
    let layers = Layers::new(Arc::new(Unobserved));
    let source = layers.job_source(quiet.clone(), POLICY);
    for _ in 0..POLICY.thresholds.calls {
        source.reclaim().await.expect_err("it is away");
    }
    quiet.is_away.store(false, Ordering::Relaxed);
    tokio::time::advance(A_WHILE).await;

    let want = want(Duration::from_mins(1));
    let mut waiting: Vec<_> = (0..3).map(|_| source.exchange(&[], &want)).collect();
    for worker in &mut waiting {
        assert!(poll_once(worker.as_mut()).await.is_pending());
    }
    assert!(source.reclaim().await.is_err(), "three are trying");
    tokio::time::advance(POLICY.thresholds.open).await;
    for worker in &mut waiting {
        assert!(poll_once(worker.as_mut()).await.is_pending());
    }
    for _ in 0..3 {
        source.reclaim().await.expect("it may try");
    }
    assert_eq!(layers.health().check().await.details, [("job_source", "closed".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_old_question_says_nothing_of_today() {
    let stage = Stage::new(POLICY);
    stage.flaky.cue(When::Nth(1), BLACK_HOLE);
    let mut old = pin!(stage.get());
    assert!(poll_once(old.as_mut()).await.is_pending());
    stage.open().await;
    stage.flaky.recover();
    tokio::time::advance(A_WHILE).await;
    stage.get().await.expect("it may try");
    // Its deadline is over, but it began before the breaker opened.
    tokio::time::advance(POLICY.deadline).await;
    old.await.expect_err("it was never answered");
    assert_eq!(stage.state("cache").await, "half-open");
}

#[tokio::test(start_paused = true)]
async fn breakers_of_many_processes_do_not_all_try_at_one_moment() {
    let mut tried_after = Vec::new();
    for _ in 0..20 {
        let stage = Stage::new(POLICY);
        stage.open().await;
        let mut waited = Duration::ZERO;
        while is_refusal(&stage.get().await, "cache") {
            tokio::time::advance(Duration::from_millis(10)).await;
            waited += Duration::from_millis(10);
        }
        tried_after.push(waited);
    }
    let (first, last) = (tried_after.iter().min(), tried_after.iter().max());
    assert!(first >= Some(&POLICY.thresholds.open) && last <= Some(&(A_WHILE + Duration::from_millis(10))));
    tried_after.sort();
    tried_after.dedup();
    assert!(tried_after.len() > 5, "{tried_after:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_with_one_caller_costs_one_deadline_per_try() {
    let stage = Stage::new(POLICY);
    stage.flaky.cue(When::Always, BLACK_HOLE);
    for _ in 0..10 {
        stage.get().await.expect_err("it never answers");
    }
    assert!(is_refusal(&stage.get().await, "cache"));
    stage.flaky.recover();
    stage.flaky.cue(When::Nth(1), AWAY);
    tokio::time::advance(A_WHILE).await;
    stage.get().await.expect_err("it is away once more");
    assert!(is_refusal(&stage.get().await, "cache"));
    tokio::time::advance(A_WHILE).await;
    stage.get().await.expect("it is back");
}
