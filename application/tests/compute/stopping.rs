//! Jobs that take too long, and workers that are told to stop.

use std::sync::atomic::Ordering;
use std::time::Duration;

use portwright_application::compute::worker::Ending;
use portwright_application::prelude::*;
use portwright_domain::job::{CauseOfDeath, JobId, JobState, Outcome, Progress, TaskName};
use portwright_domain::ports::JobQueue;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::leases::{during, until};
use super::stage::Stage;
use super::wire::{Fault, Wire};
use super::works::Sum;

const MINUTE: Duration = Duration::from_mins(1);

async fn enqueue<T, E>(call: Call<'_, T, E>) -> JobId {
    call.enqueue().await.expect("it is taken")
}

async fn cause_of_death(stage: &Stage, job: JobId) -> Option<CauseOfDeath> {
    match stage.job(job).await.outcome {
        Some(Outcome::Dead(death)) => Some(death.cause),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_takes_too_long_is_dropped_where_it_waits() {
    let stage = Stage::new();
    let job = enqueue(stage.works.pass_job()).await;
    let begun_at = Instant::now();
    assert_eq!(stage.drain().await, 3, "each try counts");
    let took = begun_at.elapsed();
    assert!(took >= MINUTE * 3 && took < MINUTE * 3 + Duration::from_secs(1), "{took:?}");
    assert_eq!(cause_of_death(&stage, job).await, Some(CauseOfDeath::TimedOut));
    assert_eq!(stage.works.signals.at_once.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_with_a_context_is_asked_first_and_has_time_to_stop() {
    let stage = Stage::new();
    let job = enqueue(stage.works.linger_on_job(Duration::from_secs(2))).await;
    let begun_at = Instant::now();
    assert_eq!(stage.drain().await, 2);
    let took = begun_at.elapsed();
    assert!(
        took >= MINUTE * 10 + Duration::from_secs(4) && took < MINUTE * 10 + Duration::from_secs(5),
        "{took:?}"
    );
    assert_eq!(
        cause_of_death(&stage, job).await,
        Some(CauseOfDeath::TimedOut),
        "its own error was how it stopped"
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_does_not_use_its_time_to_stop_is_dropped_after_it() {
    let stage = Stage::new();
    enqueue(stage.works.linger_on_job(MINUTE)).await;
    let begun_at = Instant::now();
    assert_eq!(stage.drain().await, 2);
    let took = begun_at.elapsed();
    assert!(
        took >= MINUTE * 10 + Duration::from_secs(9) && took < MINUTE * 10 + Duration::from_secs(11),
        "{took:?}"
    );
}

/// Runs a job whose code does not stop beside one that waits, on threads of their own and in real time.
async fn get_stuck<T, E>(stage: &Stage, stuck: Call<'_, T, E>, task: &str) {
    let (stuck, sibling) = (enqueue(stuck).await, enqueue(stage.works.linger_on_job(Duration::ZERO)).await);
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let threads = threads.expect("a runtime");
    let worker = stage.worker_on(stage.queue.clone(), "one", |options| {
        options.handlers = Some(threads.handle().clone());
        options.grace = Duration::from_millis(300);
    });
    let begun_at = Instant::now();
    let never = CancellationToken::new;
    let ending = tokio::time::timeout(Duration::from_secs(30), worker.run(never(), never())).await;
    let took = begun_at.elapsed();
    stage.works.signals.enough.store(true, Ordering::SeqCst);
    threads.shutdown_background();

    let task = TaskName::parse(task).expect("a valid name");
    assert_eq!(ending.expect("it ends by itself"), Ending::Stuck { task, job: stuck });
    assert!(took >= Duration::from_millis(1_300), "{took:?}");
    let (stuck, sibling) = (stage.job(stuck).await, stage.job(sibling).await);
    assert_eq!((stuck.state, stuck.attempts), (JobState::Ready, 1), "it counts for the one");
    assert_eq!((sibling.state, sibling.attempts), (JobState::Ready, 0), "and not for the other");
}

#[tokio::test]
async fn code_that_never_yields_ends_with_its_process_and_the_other_jobs_go_back() {
    let stage = Stage::new();
    get_stuck(&stage, stage.works.spin_job(), "works.spin").await;
}

#[tokio::test]
async fn so_does_code_on_a_thread_of_its_own_that_never_looks() {
    let stage = Stage::new();
    get_stuck(&stage, stage.works.grind_job(), "works.grind").await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_nothing_to_do_stops_at_once() {
    let stage = Stage::new();
    let worker = stage.worker("one");
    during(&worker, sleep(MINUTE)).await;
    assert_eq!(stage.clock_age(), MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_told_to_stop_finishes_what_runs_and_takes_no_more() {
    let stage = Stage::new();
    let worker = stage.worker_on(stage.queue.clone(), "one", |options| options.concurrency = 1);
    let (first, second) = (enqueue(stage.works.pass_job()).await, enqueue(stage.works.pass_job()).await);
    let stop = CancellationToken::new();
    let told_to_stop = async {
        stage.works.signals.until_begun(1).await;
        stop.cancel();
        sleep(Duration::from_secs(20)).await;
        stage.works.signals.gate.add_permits(2);
    };
    let (ending, ()) = tokio::join!(worker.run(stop.clone(), CancellationToken::new()), told_to_stop);
    assert_eq!(ending, Ending::Drained);
    assert_eq!(stage.job(first).await.state, JobState::Succeeded);
    assert_eq!(stage.job(second).await.state, JobState::Ready);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_finished_in_time_goes_back_first_in_its_queue_and_does_not_count() {
    let stage = Stage::new();
    let worker = stage.worker("one");
    let jobs =
        [enqueue(stage.works.pass_job()).await, enqueue(stage.works.linger_on_job(Duration::ZERO)).await];
    during(&worker, stage.works.signals.until_begun(2)).await;
    assert!(stage.clock_age() >= Duration::from_secs(25) && stage.clock_age() < Duration::from_secs(26));
    for job in jobs {
        let job = stage.job(job).await;
        assert_eq!((job.state, job.attempts), (JobState::Ready, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_wish_to_stop_hands_back_at_once() {
    let stage = Stage::new();
    let worker = stage.worker("one");
    let job = enqueue(stage.works.pass_job()).await;
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let told_twice = async {
        stage.works.signals.until_begun(1).await;
        soft.cancel();
        sleep(Duration::from_secs(1)).await;
        hard.cancel();
    };
    let (ending, ()) = tokio::join!(worker.run(soft.clone(), hard.clone()), told_twice);
    assert_eq!((ending, stage.job(job).await.state), (Ending::Drained, JobState::Ready));
    assert!(stage.clock_age() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_worker_stops_although_the_queue_is_away() {
    // Who knows that it is away does not wait for the end of the time to stop.
    for (fault, at_most) in [(Fault::Away, 8), (Fault::Silent, 31)] {
        let stage = Stage::new();
        let wire = Wire::to(&stage.queue);
        let worker = stage.worker_on(wire.clone(), "one", |_| {});
        enqueue(stage.works.pass_job()).await;
        during(&worker, async {
            stage.works.signals.until_begun(1).await;
            wire.set(fault);
        })
        .await;
        assert!(stage.clock_age() <= Duration::from_secs(at_most), "{:?}", stage.clock_age());
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_can_see_that_its_worker_is_about_to_end() {
    let stage = Stage::new();
    let worker = stage.worker("one");
    let job = enqueue(stage.works.keep_house_job()).await;
    during(&worker, sleep(Duration::from_secs(10))).await;
    assert_eq!(stage.job(job).await.state, JobState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn progress_is_passed_on_now_and_then_and_at_the_end() {
    let stage = Stage::new();
    let wire = Wire::to(&stage.queue);
    let worker = stage.worker_on(wire.clone(), "one", |_| {});
    let job = enqueue(stage.works.count_job(100_000)).await;
    assert_eq!(worker.drain().await.expect("the queue is there"), 1);
    let last = Progress { done: 100_000, total: Some(100_000), message: Some("counted".to_owned()) };
    assert_eq!(stage.job(job).await.progress, last);
    assert!(wire.reports.load(Ordering::SeqCst) <= 3, "it reported {:?} times", wire.reports);
}

// In real time, since a paused one stands still while a thread computes.
#[tokio::test]
async fn a_job_that_is_cancelled_while_it_computes_stops_computing() {
    let stage = Stage::new();
    let worker = stage.worker("one");
    let job = enqueue(stage.works.count_job(u64::MAX)).await;
    during(&worker, async {
        stage.works.signals.until_begun(1).await;
        stage.queue.cancel(job).await.expect("cancel works");
        until(&stage, job, JobState::Cancelled).await;
    })
    .await;
    let next = stage.works.add(Sum::of(&[1]));
    assert_eq!(during(&stage.worker("two"), next).await, Ok(1));
}
