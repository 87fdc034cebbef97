//! What opens a breaker and what does not, and what is refused then.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ErrorKind;
use portwright_domain::ports::job_queue::Limits;
use portwright_domain::ports::{Consistency, JobQueue, Unobserved};
use portwright_layers::{Layers, Policy, Thresholds};
use portwright_memory::MemoryJobQueue;
use portwright_testkit::ManualClock;
use portwright_testkit::builders::{a_user, jobs};
use portwright_testkit::faults::{Fault, When};
use tokio::time::{Instant, timeout};

use crate::stage::{AWAY, BLACK_HOLE, POLICY, Stage, is_refusal, poll_once};

#[tokio::test]
async fn ten_thousand_errors_of_somebody_who_answers_keep_it_closed() {
    let stage = Stage::new(POLICY);
    let answers = [
        ErrorKind::Conflict,
        ErrorKind::Contended,
        ErrorKind::LeaseLost,
        ErrorKind::Unsupported,
        ErrorKind::Corrupt,
    ];
    for answer in answers {
        stage.flaky.recover();
        stage.flaky.cue(When::Always, Fault::Refuse(answer));
        for _ in 0..2_000 {
            assert_eq!(stage.get().await.expect_err("it fails on cue").kind(), answer);
        }
    }
    assert_eq!(stage.state("cache").await, "closed");
}

#[tokio::test]
async fn ten_thousand_callers_who_go_away_keep_it_closed() {
    let stage = Stage::new(POLICY);
    stage.flaky.cue(When::Always, BLACK_HOLE);
    for _ in 0..10_000 {
        assert!(poll_once(pin!(stage.get())).await.is_pending(), "it would never have been answered");
    }
    assert_eq!(stage.state("cache").await, "closed");
}

#[tokio::test(start_paused = true)]
async fn callers_who_lose_their_patience_with_a_silent_port_open_it() {
    let stage = Stage::new(POLICY);
    stage.flaky.cue(When::Always, BLACK_HOLE);
    for _ in 0..10 {
        // Longer than is normal, and shorter than the deadline.
        assert!(timeout(Duration::from_millis(250), stage.get()).await.is_err());
    }
    assert!(is_refusal(&stage.get().await, "cache"));
}

#[tokio::test]
async fn it_opens_when_half_of_enough_calls_fail() {
    let stage = Stage::new(POLICY);
    for _ in 0..5 {
        stage.get().await.expect("it works");
    }
    stage.flaky.cue(When::Always, AWAY);
    for number in 1..=5 {
        assert_eq!(stage.state("cache").await, "closed", "before failure {number}");
        stage.get().await.expect_err("it is away");
    }
    assert!(is_refusal(&stage.get().await, "cache"));
    assert_eq!(stage.flaky.calls(), 10, "what is refused does not reach the port");
}

#[tokio::test(start_paused = true)]
async fn it_opens_when_half_of_enough_calls_are_slow() {
    let stage = Stage::new(POLICY);
    stage.flaky.cue(When::Always, Fault::Delay(Duration::from_millis(200)));
    for _ in 0..10 {
        stage.get().await.expect("it works in the end");
    }
    assert!(is_refusal(&stage.get().await, "cache"));
}

#[tokio::test(start_paused = true)]
async fn what_is_longer_ago_than_the_window_is_forgotten() {
    let stage = Stage::new(POLICY);
    stage.flaky.cue(When::Always, AWAY);
    for _ in 0..30 {
        stage.get().await.expect_err("it is away");
        tokio::time::advance(POLICY.thresholds.window / 8).await;
    }
    assert_eq!(stage.state("cache").await, "closed");
}

#[tokio::test]
async fn an_open_breaker_answers_within_a_millisecond() {
    let stage = Stage::new(Policy {
        thresholds: Thresholds { open: Duration::from_mins(5), ..POLICY.thresholds },
        ..POLICY
    });
    stage.open().await;
    stage.flaky.recover();
    stage.flaky.cue(When::Always, BLACK_HOLE);
    let began = Instant::now();
    for _ in 0..1_000 {
        assert!(is_refusal(&stage.get().await, "cache"));
    }
    // On average, because the machine has other things to do.
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_is_refused_is_observed_too() {
    let stage = Stage::new(POLICY);
    stage.get().await.expect("it works");
    assert_eq!(stage.recorder.take(), ["cache.get works"]);
    stage.open().await;
    stage.get().await.expect_err("it is refused");
    assert_eq!(stage.recorder.take(), ["cache.get unavailable"]);
}

#[tokio::test]
async fn without_a_primary_there_are_still_reads() {
    let stage = Stage::new(POLICY);
    stage.flaky_store.cue(When::Every("store.begin"), AWAY);
    for _ in 0..10 {
        assert!(stage.store.begin().await.is_err());
    }
    assert!(is_refusal(&stage.store.begin().await, "store.writes"));
    for consistency in [Consistency::Strong, Consistency::Eventual] {
        stage.read(consistency).await.expect("reads go on");
    }
    stage.flaky_store.cue(When::Every("store.read"), AWAY);
    for _ in 0..10 {
        stage.read(Consistency::Strong).await.expect_err("it is away");
    }
    assert!(is_refusal(&stage.read(Consistency::Strong).await, "store.strong"));
    stage.flaky_store.recover();
    stage.read(Consistency::Eventual).await.expect("other reads go on");
}

#[tokio::test]
async fn a_unit_of_work_that_is_open_is_finished_though_others_are_refused() {
    let stage = Stage::new(POLICY);
    let user = a_user().build();
    let mut unit = stage.store.begin().await.expect("it begins");
    stage.flaky_store.cue(When::Every("store.begin"), AWAY);
    for _ in 0..10 {
        assert!(stage.store.begin().await.is_err());
    }
    assert_eq!(stage.state("store.writes").await, "open");
    unit.users().insert(&user).await.expect("it goes on");
    unit.commit().await.expect("it commits");
    let mut view = stage.store.read(Consistency::Strong).await.expect("it reads");
    assert_eq!(view.users().find(user.id).await.expect("it finds"), Some(user));
}

#[tokio::test]
async fn commits_that_fail_open_the_breaker_of_writes() {
    let stage = Stage::new(POLICY);
    stage.flaky_store.cue(When::Every("store.commit"), AWAY);
    // Each begin works, so half of all calls fail.
    for _ in 0..5 {
        let unit = stage.store.begin().await.expect("it begins");
        unit.commit().await.expect_err("it does not commit");
    }
    assert!(is_refusal(&stage.store.begin().await, "store.writes"));
}

#[tokio::test]
async fn a_full_queue_keeps_it_closed() {
    let limits = Limits { waiting: 20, ..Limits::default() };
    let queue = Arc::new(MemoryJobQueue::with_limits(limits, Arc::new(ManualClock::default())));
    let layers = Layers::new(Arc::new(Unobserved));
    let queue: Arc<dyn JobQueue> = layers.job_queue(queue, POLICY);
    for _ in 0..100 {
        let full = queue.enqueue(&jobs(30)).await.expect_err("the queue is full");
        assert_eq!((full.kind(), full.detail()), (ErrorKind::Unavailable, Limits::FULL));
    }
    let health = layers.health().check().await;
    assert_eq!(health.details, [("job_queue", "closed".to_owned())]);
}
