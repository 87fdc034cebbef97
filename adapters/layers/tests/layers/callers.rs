//! A caller who can use an answer until a certain moment is not kept any longer, and nobody else suffers for its haste.

use std::time::Duration;

use portwright_domain::ErrorKind;
use portwright_domain::ports::Consistency;
use portwright_layers::with_deadline;
use portwright_testkit::faults::{Fault, When};
use tokio::time::Instant;

use crate::stage::{AWAY, BLACK_HOLE, POLICY, Stage};

const NO_TIME: &str = "no time is left to the caller";

#[tokio::test(start_paused = true)]
async fn a_call_with_a_second_left_takes_a_second_however_patient_the_port_is() {
    let mut patient = POLICY;
    patient.deadline = Duration::from_secs(30);
    let stage = Stage::new(patient);
    stage.flaky_store.cue(When::Always, BLACK_HOLE);
    stage.flaky.cue(When::Always, BLACK_HOLE);
    let began = Instant::now();
    let ask = async {
        // As a use case does that goes on without its cache.
        stage.get().await.expect_err("it never answers");
        stage.read(Consistency::Eventual).await.expect_err("no time is left for it")
    };
    let error = with_deadline(began + Duration::from_secs(1), ask).await;
    assert_eq!((error.kind(), error.detail()), (ErrorKind::Unavailable, NO_TIME));
    assert!(began.elapsed() <= Duration::from_millis(1_100), "{:?}", began.elapsed());
    assert_eq!(
        stage.recorder.take(),
        ["cache.get unavailable", "store.read unavailable"],
        "who looks at the metrics sees both"
    );
    assert_eq!(stage.flaky_store.calls(), 0, "what nobody can use is not asked for");
}

#[tokio::test(start_paused = true)]
async fn a_port_that_works_is_not_blamed_for_callers_in_a_hurry() {
    let stage = Stage::new(POLICY);
    let slow_but_fine = POLICY.thresholds.slow_after / 2;
    stage.flaky.cue(When::Always, Fault::Delay(slow_but_fine));
    for _ in 0..POLICY.thresholds.calls * 2 {
        let at = Instant::now() + slow_but_fine / 2;
        with_deadline(at, stage.get()).await.expect_err("there is not enough time");
    }
    assert_eq!(stage.state("cache").await, "closed");
    stage.get().await.expect("others have the time");
}

#[tokio::test(start_paused = true)]
async fn with_time_left_a_call_is_what_it_is_without_a_deadline() {
    let stage = Stage::new(POLICY);
    let later = Instant::now() + POLICY.deadline * 10;
    with_deadline(later, stage.get()).await.expect("it works");
    stage.flaky.cue(When::Always, AWAY);
    let error = with_deadline(later, stage.get()).await.expect_err("it is away");
    assert_ne!(error.detail(), NO_TIME);
    stage.flaky.recover();
    stage.flaky.cue(When::Always, BLACK_HOLE);
    let error = with_deadline(later, stage.get()).await.expect_err("it never answers");
    assert_eq!(error.detail(), format!("no answer in {:?}", POLICY.deadline));
}

#[tokio::test(start_paused = true)]
async fn of_two_deadlines_the_earlier_counts() {
    let stage = Stage::new(POLICY);
    stage.flaky.cue(When::Always, BLACK_HOLE);
    let began = Instant::now();
    let (early, late) = (began + POLICY.deadline / 4, began + POLICY.deadline / 2);
    for (outer, inner) in [(early, late), (late, early)] {
        let error = with_deadline(outer, with_deadline(inner, stage.get())).await.expect_err("too late");
        assert_eq!(error.detail(), NO_TIME);
        assert!(Instant::now() < late);
    }
}
