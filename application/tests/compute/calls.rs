//! Callers: results, errors, and what is waited for.

use std::time::Duration;

use portwright_application::compute::call::LONGEST_WAIT;
use portwright_application::compute::envelope::Envelope;
use portwright_application::compute::{Compute, Defaults, TaskRegistry};
use portwright_application::prelude::*;
use portwright_application::trace::Origin;
use portwright_domain::job::{Backoff, CauseOfDeath, JobState, Priority, UniqueKey};
use portwright_domain::mock::MockJobQueue;
use portwright_domain::ports::{Clock, Event, JobQueue, Unobserved};
use portwright_domain::trace::TraceState;
use portwright_domain::user::UserId;
use portwright_domain::{ErrorKind, PortError, TraceContext};
use portwright_testkit::SequentialIds;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::stage::{Stage, TokioClock, payload};
use super::works::{Sum, WorkError, Works};

/// Does this while a worker runs.
async fn with_worker<T>(stage: &Stage, work: impl Future<Output = T>) -> T {
    let (worker, stop) = (stage.worker("one"), CancellationToken::new());
    let (answer, _) = tokio::join!(
        async {
            let answer = work.await;
            stop.cancel();
            answer
        },
        worker.run(stop.clone(), CancellationToken::new())
    );
    answer
}

#[tokio::test(start_paused = true)]
async fn a_method_runs_in_a_worker_and_answers_its_caller() {
    let stage = Stage::new();
    let sum = with_worker(&stage, stage.works.add(Sum::of(&[1, 2, 3]))).await;
    assert_eq!(sum, Ok(6));
    assert_eq!(stage.works.signals.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_get_each_their_own_answer() {
    let stage = Stage::new();
    let calls = (0..1_000).map(|number| stage.works.add(Sum::of(&[number, 1])));
    let sums = with_worker(&stage, futures::future::join_all(calls)).await;
    assert!(sums.into_iter().zip(1..=1_000).all(|(sum, expected)| sum == Ok(expected)));
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_task_comes_back_as_it_was() {
    let stage = Stage::new();
    let refused = with_worker(&stage, stage.works.refuse("not today".to_owned())).await;
    assert_eq!(refused, Err(WorkError::Refused("not today".to_owned())));
    assert_eq!(stage.works.signals.begun(), 1, "it is a result, and not tried again");
}

#[tokio::test(start_paused = true)]
async fn an_enqueued_call_is_a_job_that_runs_later() {
    let stage = Stage::new();
    let user = UserId(Uuid::from_u128(9));
    let trace = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let origin = Origin { trace: trace.expect("valid"), request_id: Some("r-1".to_owned()) };
    let call = stage.works.add_job(Sum::of(&[4])).priority(200).created_by(user).caused_by(origin);
    let foreseen = call.id();
    let id = call.enqueue().await.expect("it is taken");
    assert_eq!(id, foreseen);

    let job = stage.job(id).await;
    assert_eq!((job.state, job.spec.task.as_str(), job.spec.version), (JobState::Ready, "works.add", 3));
    assert_eq!((job.spec.queue.as_str(), job.spec.priority), ("cpu", Priority::MAX));
    assert_eq!((job.spec.max_attempts, job.spec.timeout), (4, Duration::from_mins(2)));
    let backoff = Backoff::Exponential { base: Duration::from_secs(1), cap: Duration::from_mins(1) };
    assert_eq!((job.spec.backoff, job.spec.created_by), (backoff, Some(user)));
    let expected = r#"{"task":"works.add","v":3,"args":{"terms":[4]},"meta":{"trace":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","requested_by":"00000000-0000-0000-0000-000000000009","enqueued_at":"2026-01-01T00:00:00Z","request_id":"r-1"}}"#;
    assert_eq!(std::str::from_utf8(&job.spec.payload), Ok(expected));
    assert_eq!(stage.events.count(&Event::JobEnqueued { queue: "cpu", task: "works.add" }), 1);

    assert_eq!(stage.drain().await, 1);
    assert_eq!(stage.job(id).await.state, JobState::Succeeded);
    let answer = stage.queue.outcome(id, Duration::ZERO).await.expect("outcome works");
    assert_eq!(format!("{answer:?}"), r#"Some(Succeeded(b"4"))"#);
}

#[tokio::test(start_paused = true)]
async fn what_a_job_asks_for_is_in_the_trace_of_its_request() {
    let stage = Stage::new();
    let request = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let request = request.expect("valid").with_state(TraceState::parse("a=1"));
    let origin = Origin { trace: request.clone(), request_id: Some("r-1".to_owned()) };
    let asking = stage.works.delegate_job().caused_by(origin).enqueue().await.expect("it is taken");
    assert_eq!(stage.drain().await, 2);
    let asked = stage.works.delegate_job().with_id(asking).await.expect("it is done");
    let meta = Envelope::open(&stage.job(asked).await.spec.payload).expect("a payload").meta;
    let parent = meta.parent().expect("a parent");
    assert_eq!(parent, TraceContext { span_id: parent.span_id, ..request.clone() });
    assert_ne!(parent.span_id, request.span_id, "the job that asked is between them");
    assert_eq!(meta.request_id.as_deref(), Some("r-1"));
}

#[tokio::test(start_paused = true)]
async fn what_a_task_does_not_say_the_operator_does() {
    let stage = Stage::new();
    let id = stage.works.refuse_job(String::new()).enqueue().await.expect("it is taken");
    let job = stage.job(id).await.spec;
    assert_eq!((job.queue.as_str(), job.priority.get()), ("default", 5));
    let defaults = Defaults::default();
    assert_eq!((job.max_attempts, job.timeout), (defaults.attempts, defaults.timeout));
    assert_eq!(job.backoff, Backoff::Fixed(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_call_may_wait_for_its_time() {
    let stage = Stage::new();
    let id = stage
        .works
        .add_job(Sum::of(&[1]))
        .after(Duration::from_mins(5))
        .enqueue()
        .await
        .expect("it is taken");
    assert_eq!(stage.drain().await, 0);
    assert_eq!(stage.job(id).await.state, JobState::Scheduled);
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(stage.drain().await, 1);
}

#[tokio::test(start_paused = true)]
async fn of_calls_with_one_unique_key_one_runs_and_all_get_its_answer() {
    let stage = Stage::new();
    let key = || UniqueKey::parse("month-1").expect("a valid key");
    let first = stage.works.pass_job().unique(key()).enqueue().await.expect("it is taken");
    let second = stage.works.pass_job().unique(key()).enqueue().await.expect("it is taken");
    assert_eq!(first, second);
    let third = stage.works.pass_job().unique(key()).into_future();
    stage.works.signals.gate.add_permits(1);
    assert_eq!(with_worker(&stage, third).await, Ok(()));
    assert_eq!(stage.works.signals.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_known_id_is_that_job() {
    let stage = Stage::new();
    let id = stage.works.add_job(Sum::of(&[1])).enqueue().await.expect("it is taken");
    let again = stage.works.add_job(Sum::of(&[2])).with_id(id);
    assert_eq!(again.enqueue().await, Ok(id));
    let again = stage.works.add_job(Sum::of(&[3])).with_id(id).into_future();
    assert_eq!(with_worker(&stage, again).await, Ok(1));
    assert_eq!(stage.works.signals.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn waiting_always_comes_to_an_end_and_the_job_goes_on() {
    let stage = Stage::new();
    for (wait, expected) in [
        (None, Duration::from_secs(10)),
        (Some(Duration::from_secs(3)), Duration::from_secs(3)),
        (Some(Duration::from_hours(9)), LONGEST_WAIT),
    ] {
        let call = stage.works.add_job(Sum::of(&[1]));
        let call = if let Some(wait) = wait { call.wait(wait) } else { call };
        let (job, asked_at) = (call.id(), Instant::now());
        assert_eq!(call.await, Err(ComputeError::Unfinished { job }.into()));
        assert_eq!(asked_at.elapsed(), expected);
        assert_eq!(stage.job(job).await.state, JobState::Ready);
    }
    assert_eq!(stage.drain().await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_says_so_to_its_caller() {
    let stage = Stage::new();
    let call = stage.works.add_job(Sum::of(&[1]));
    let job = call.id();
    let cancel = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.queue.cancel(job).await.expect("cancel works")
    };
    let (answer, _) = tokio::join!(call.into_future(), cancel);
    assert_eq!(answer, Err(ComputeError::Cancelled { job }.into()));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_nobody_serves_is_refused_at_the_call() {
    let stage = Stage::new();
    let ids = Arc::new(SequentialIds::new(stage.clock.clone()));
    let compute = Compute::new(
        Arc::new(MockJobQueue::new()),
        stage.clock.clone(),
        ids,
        Arc::new(Unobserved),
        Defaults::default(),
    );
    compute.seal(TaskRegistry::default().keys());
    let works = Works::new(compute);
    let not_served = ComputeError::NotServed { task: "works.add".to_owned() };
    assert_eq!(works.add(Sum::of(&[1])).await, Err(not_served.clone().into()));
    assert_eq!(works.add_job(Sum::of(&[1])).enqueue().await, Err(not_served));
}

#[tokio::test(start_paused = true)]
async fn an_input_that_is_too_large_is_refused_at_the_call() {
    let stage = Stage::new();
    let refused = stage.works.refuse_job("x".repeat(300_000)).enqueue().await;
    assert!(matches!(refused, Err(ComputeError::TooLarge { bytes }) if bytes > 300_000), "{refused:?}");
    assert_eq!(stage.drain().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_too_large_is_not_tried_again() {
    let stage = Stage::new();
    let call = stage.works.swell_job(2_000_000);
    let job = call.id();
    let answer = with_worker(&stage, call.into_future()).await;
    assert_eq!(answer, Err(ComputeError::Dead { job, cause: CauseOfDeath::ResultTooLarge }));
    assert_eq!(stage.job(job).await.attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_cannot_be_read_is_dead_at_once_and_says_why() {
    for (version, text, why) in [
        (3, "hello".to_owned(), "not the payload of a task"),
        (3, payload("works.add", 3, "[1]"), "version 3 of the arguments: invalid type"),
        (1, payload("works.add", 1, r#"{"terms":[]}"#), "version 1 of the arguments: invalid type"),
    ] {
        let stage = Stage::new();
        let job = stage.enqueue("works.add", version, &text).await;
        assert_eq!(stage.drain().await, 1);
        let outcome = format!("{:?}", stage.job(job).await.outcome);
        assert!(outcome.contains("PayloadInvalid") && outcome.contains(why), "{outcome}");
        assert_eq!(stage.works.signals.begun(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_payload_of_every_version_is_brought_to_the_current_one() {
    for (version, args, expected) in [(1, "5", "5"), (2, "[2,3]", "5"), (3, r#"{"terms":[1,4]}"#, "5")] {
        let stage = Stage::new();
        let job = stage.enqueue("works.add", version, &payload("works.add", version, args)).await;
        stage.drain().await;
        let outcome = format!("{:?}", stage.job(job).await.outcome);
        assert_eq!(outcome, format!("Some(Succeeded(b\"{expected}\"))"), "version {version}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_away_is_an_error_of_its_own_within_the_wait() {
    let clock = Arc::new(TokioClock::default());
    let away = || PortError::new(ErrorKind::Unavailable, "jobs", "on cue");
    let mut queue = MockJobQueue::new();
    queue.expect_call().returning(move |_, _| Err(away()));
    queue.expect_enqueue().returning(move |_| Err(away()));
    let ids = Arc::new(SequentialIds::new(clock.clone()));
    let compute =
        Compute::new(Arc::new(queue), clock.clone(), ids, Arc::new(Unobserved), Defaults::default());
    let works = Works::new(compute);
    let unavailable =
        |error: &ComputeError| matches!(error, ComputeError::Queue { kind: ErrorKind::Unavailable, .. });
    let error = works.add(Sum::of(&[1])).await.expect_err("the queue is away");
    assert!(matches!(&error, WorkError::Compute(error) if unavailable(error)), "{error:?}");
    let error = works.add_job(Sum::of(&[1])).enqueue().await.expect_err("the queue is away");
    assert!(unavailable(&error), "{error:?}");
    assert_eq!(clock.now(), portwright_testkit::ManualClock::START);
}
