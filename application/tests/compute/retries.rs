//! Tries that fail, and what follows.

use std::time::Duration;

use portwright_application::prelude::*;
use portwright_domain::job::{Backoff, CauseOfDeath, JobId, JobState, NewJob, Outcome};
use portwright_domain::ports::{Event, JobQueue};
use portwright_testkit::builders::JobBuilder;

use super::stage::{Stage, payload};
use super::works::WorkError;

async fn outcome(stage: &Stage, id: JobId) -> Option<Outcome> {
    stage.job(id).await.outcome
}

#[tokio::test(start_paused = true)]
async fn an_error_that_may_pass_is_tried_again_until_it_has() {
    let stage = Stage::new();
    let id = stage.works.hesitate_job(2).enqueue().await.expect("it is taken");
    assert_eq!(stage.drain().await, 3);
    assert_eq!(format!("{:?}", outcome(&stage, id).await), r#"Some(Succeeded(b"3"))"#);
}

#[tokio::test(start_paused = true)]
async fn the_error_of_the_last_try_comes_back_as_it_was() {
    let stage = Stage::new();
    let call = stage.works.hesitate_job(9);
    let id = call.id();
    let (answer, tries) = tokio::join!(call.into_future(), async {
        tokio::task::yield_now().await;
        stage.drain().await
    });
    assert_eq!((answer, tries), (Err(WorkError::Busy(3)), 3));
    assert_eq!(stage.job(id).await.state, JobState::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_caught_and_tried_again() {
    let stage = Stage::new();
    let id = stage.works.stumble_job(2).enqueue().await.expect("it is taken");
    assert_eq!(stage.drain().await, 3);
    assert_eq!(format!("{:?}", outcome(&stage, id).await), r#"Some(Succeeded(b"3"))"#);
}

#[tokio::test(start_paused = true)]
async fn a_panic_says_its_message_to_operators_and_not_to_callers() {
    let stage = Stage::new();
    let call = stage.works.stumble_job(9);
    let job = call.id();
    let (answer, _) = tokio::join!(call.into_future(), async {
        tokio::task::yield_now().await;
        stage.drain().await
    });
    let error = answer.expect_err("it is dead");
    assert_eq!(error, ComputeError::Dead { job, cause: CauseOfDeath::Error });
    assert!(!error.to_string().contains("secret"));
    let Some(Outcome::Dead(death)) = outcome(&stage, job).await else {
        panic!("it is not dead");
    };
    assert_eq!(death.detail, "it panicked: the secret of try 3");
    let finished = |outcome| {
        let took = Duration::ZERO;
        stage.events.count(&Event::JobFinished { queue: "default", task: "works.stumble", outcome, took })
    };
    assert_eq!(finished("retried"), 3, "the queue knows that the third was the last");
}

#[tokio::test(start_paused = true)]
async fn a_try_that_follows_waits_for_its_backoff() {
    let stage = Stage::new();
    let backoff = Backoff::Exponential { base: Duration::from_secs(10), cap: Duration::from_secs(15) };
    let payload = payload("works.stumble", 1, "9").into();
    let job = NewJob { payload, backoff, ..JobBuilder::number(1).of_task("works.stumble").build() };
    stage.queue.enqueue(std::slice::from_ref(&job)).await.expect("enqueue works");
    for window in [Duration::from_secs(10), Duration::from_secs(15)] {
        assert_eq!(stage.drain().await, 1);
        assert_eq!(stage.job(job.id).await.state, JobState::Scheduled);
        tokio::time::sleep(window / 3 - Duration::from_millis(2)).await;
        assert_eq!(stage.drain().await, 0, "a third of the window passes in any case");
        tokio::time::sleep(window).await;
    }
    assert_eq!(stage.drain().await, 1);
    assert_eq!(stage.job(job.id).await.state, JobState::Dead);
}
