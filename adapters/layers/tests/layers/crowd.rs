//! Many callers at once, on a port that comes and goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use portwright_layers::{Policy, Thresholds};
use portwright_testkit::Noise;
use portwright_testkit::faults::{Fault, When};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::stage::{AWAY, POLICY, Stage, is_refusal};

const CALLERS: u64 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_a_crowd_no_permit_is_lost_and_changes_are_told_in_their_order() {
    let stage = Arc::new(Stage::new(Policy {
        thresholds: Thresholds { open: Duration::from_millis(2), calls: 3, ..POLICY.thresholds },
        ..POLICY
    }));
    let over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let mut crowd = JoinSet::new();
    for seed in 0..CALLERS {
        let (stage, over, answered) = (stage.clone(), over.clone(), answered.clone());
        crowd.spawn(async move {
            let mut noise = Noise::new(seed);
            while !over.load(Ordering::Relaxed) {
                let patience = Duration::from_micros(noise.number() % 2_000);
                let answer = timeout(patience, stage.get()).await;
                let was_answered = answer.is_ok_and(|answer| !is_refusal(&answer, "cache"));
                answered.fetch_add(u64::from(was_answered), Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
    }
    for round in 0..60 {
        stage.flaky.recover();
        match round % 3 {
            0 => stage.flaky.cue(When::Always, AWAY),
            1 => stage.flaky.cue(When::Always, Fault::Delay(Duration::from_millis(1))),
            _ => {}
        }
        // Until the crowd has met this round's port, or the breaker keeps it from that.
        let before = answered.load(Ordering::Relaxed);
        let met = async {
            while answered.load(Ordering::Relaxed) < before + 20 {
                tokio::task::yield_now().await;
            }
        };
        drop(timeout(Duration::from_millis(20), met).await);
    }
    over.store(true, Ordering::Relaxed);
    crowd.join_all().await;

    let mut is = "closed".to_owned();
    for change in stage.recorder.states() {
        let next = change.strip_prefix("cache is ").expect("only the cache was called").to_owned();
        let changes =
            [("closed", "open"), ("open", "half-open"), ("half-open", "open"), ("half-open", "closed")];
        assert!(changes.contains(&(is.as_str(), next.as_str())), "from {is} to {next}");
        is = next;
    }
    stage.flaky.recover();
    let recovered = async {
        while stage.state("cache").await != "closed" {
            drop(stage.get().await);
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(Duration::from_secs(5), recovered).await.is_ok(), "a permit was lost");
}
