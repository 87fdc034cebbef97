//! Waiting: for an end, for a job, and giving it up; and asking at the same time.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use portwright_domain::job::{Enqueued, JobState, LeasedJob, Outcome};
use portwright_domain::ports::job_queue::{Cancelled, LeaseRequest, Settled, Settlement, Verdict};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{LONG, Queue, SOON, begin_to_wait, done, ids, job, queue, retry_after, want, worker};
use crate::builders::{JobBuilder, jobs};
use crate::contract::Fixture;

const MOMENT: Duration = Duration::from_millis(20);

pub(super) async fn a_call_is_answered_with_the_outcome(port: Fixture<dyn Queue>) {
    let asked = job(1);
    let mut call = pin!(port.port.call(&asked, LONG));
    begin_to_wait(call.as_mut()).await;
    let leased = port.lease(&LeaseRequest { wait: LONG, ..want("one", 1) }).await;
    assert_eq!(leased[0].job, asked);
    port.finish(&leased[0].lease, done()).await;
    let outcome = timeout(SOON, call).await.expect("it was woken");
    assert_eq!(outcome.expect("call works"), Some(done()));
}

pub(super) async fn a_call_that_takes_too_long_leaves_its_job(port: Fixture<dyn Queue>) {
    assert_eq!(port.port.call(&job(1), MOMENT).await.expect("call works"), None);
    assert_eq!(port.state(&job(1)).await, JobState::Ready);
    let leased = port.start("one").await;
    assert_eq!(port.port.call(&job(1), MOMENT).await.expect("call works"), None, "it is unfinished");
    port.finish(&leased.lease, done()).await;
    assert_eq!(port.port.outcome(job(1).id, Duration::ZERO).await.expect("outcome works"), Some(done()));
}

pub(super) async fn a_call_of_a_known_job_waits_for_that_job(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let again = JobBuilder::number(1).with_payload("again").build();
    let leased = port.start("one").await;
    let mut call = pin!(port.port.call(&again, LONG));
    begin_to_wait(call.as_mut()).await;
    port.finish(&leased.lease, done()).await;
    assert_eq!(timeout(SOON, call).await.expect("it was woken").expect("call works"), Some(done()));
    let after = timeout(SOON, port.port.call(&again, LONG)).await.expect("at once");
    assert_eq!(after.expect("call works"), Some(done()));
    assert_eq!(port.find(again.id).await.spec, job(1));
}

pub(super) async fn a_call_waits_for_the_holder_of_its_unique_key(port: Fixture<dyn Queue>) {
    let unique = |number| JobBuilder::number(number).unique_by("key").build();
    port.enqueue(&unique(1)).await;
    let leased = port.start("one").await;
    let asked = unique(2);
    assert_eq!(port.port.call(&asked, MOMENT).await.expect("call works"), None);
    assert_eq!(port.port.find(asked.id).await.expect("find works"), None);

    let mut call = pin!(port.port.call(&asked, LONG));
    // Long enough for the question to have come, wherever the queue is.
    assert!(timeout(MOMENT * 10, call.as_mut()).await.is_err(), "the holder is unfinished");
    port.finish(&leased.lease, done()).await;
    assert_eq!(timeout(SOON, call).await.expect("it was woken").expect("call works"), Some(done()));
}

pub(super) async fn many_calls_at_once_are_each_told_their_own_outcome(port: Fixture<dyn Queue>) {
    let mut calls = JoinSet::new();
    for job in jobs(200) {
        let queue = port.port.clone();
        calls.spawn(async move { (job.payload.clone(), queue.call(&job, LONG).await) });
    }
    let mut settle: Vec<Settlement> = Vec::new();
    for _ in 0..400 {
        if calls.is_empty() {
            break;
        }
        while let Some(told) = calls.try_join_next() {
            let (payload, outcome) = told.expect("no panic");
            assert_eq!(outcome.expect("call works"), Some(Outcome::Succeeded(payload)));
        }
        let want = LeaseRequest { wait: Duration::from_millis(100), ..want("one", 16) };
        let exchange = port.port.exchange(&settle, &want).await.expect("exchange works");
        let echo = |leased: LeasedJob| Settlement {
            lease: leased.lease,
            verdict: Verdict::Finish(Outcome::Succeeded(leased.job.payload)),
        };
        settle = exchange.leased.into_iter().map(echo).collect();
    }
    assert!(calls.is_empty(), "{} were never told", calls.len());
}

pub(super) async fn enqueuing_one_id_a_thousand_times_at_once_is_one_job(port: Fixture<dyn Queue>) {
    let mut all = JoinSet::new();
    for number in 0..1_000 {
        let queue = port.port.clone();
        let same = JobBuilder::number(1).with_payload(number.to_string()).build();
        all.spawn(async move { queue.enqueue(&[same]).await.expect("enqueue works")[0] });
    }
    let answers = all.join_all().await;
    let new = answers.iter().filter(|answer| **answer == Enqueued::New).count();
    let known = answers.iter().filter(|answer| **answer == Enqueued::Known).count();
    assert_eq!((new, known), (1, 999));
    assert_eq!(ids(&port.lease(&want("one", 10)).await), [job(1).id]);
}

pub(super) async fn of_a_cancelling_and_an_end_at_once_one_wins(port: Fixture<dyn Queue>) {
    for number in 1..=50 {
        port.enqueue(&job(number)).await;
        let lease = port.start("one").await.lease;
        // Each has its turn to be asked first.
        let cancelled = if number % 2 == 0 {
            tokio::join!(port.port.cancel(lease.job), port.finish(&lease, done())).0
        } else {
            tokio::join!(port.finish(&lease, done()), port.port.cancel(lease.job)).1
        };
        let cancelled = cancelled.expect("cancel works");
        assert!(matches!(cancelled, Cancelled::Requested | Cancelled::TooLate), "{cancelled:?}");
        let ended = port.find(lease.job).await;
        assert_eq!((ended.state, ended.outcome), (JobState::Succeeded, Some(done())));
        assert_eq!(port.port.cancel(lease.job).await.expect("cancel works"), Cancelled::TooLate);
    }
}

pub(super) async fn whoever_waits_for_a_job_is_woken_by_all_that_makes_one_ready(port: Fixture<dyn Queue>) {
    let patient = LeaseRequest { wait: LONG, ..want("waiting", 1) };
    let default = queue("default");
    for number in 1..=5 {
        port.enqueue(&JobBuilder::number(number).with_attempts(5).build()).await;
        let held = port.start("busy").await.lease;
        let mut waiting = pin!(port.port.exchange(&[], &patient));
        if number == 4 {
            port.finish(&held, Outcome::Failed(Bytes::new())).await;
        }
        if number == 5 {
            port.port.set_paused(&default, true).await.expect("set_paused works");
            port.settle(&held, Verdict::Release).await;
        }
        begin_to_wait(waiting.as_mut()).await;
        match number {
            1 => assert_eq!(port.settle(&held, Verdict::Release).await, Settled::Accepted),
            2 => assert_eq!(port.settle(&held, retry_after(Duration::ZERO)).await, Settled::Accepted),
            3 => assert_eq!(port.port.bury(&worker("busy")).await.expect("bury works"), 1),
            4 => assert!(port.port.retry(job(number).id).await.expect("retry works")),
            _ => port.port.set_paused(&default, false).await.expect("set_paused works"),
        }
        let exchange = timeout(SOON, waiting).await.expect("it was woken").expect("exchange works");
        assert_eq!(ids(&exchange.leased), [job(number).id]);
        port.finish(&exchange.leased[0].lease, done()).await;
    }
}

pub(super) async fn a_job_for_a_worker_that_went_away_is_for_another(port: Fixture<dyn Queue>) {
    let patient = |name| LeaseRequest { wait: LONG, ..want(name, 1) };
    for number in 1..=20 {
        let gone = patient("gone");
        {
            let mut waiting = pin!(port.port.exchange(&[], &gone));
            begin_to_wait(waiting.as_mut()).await;
            if number % 2 == 0 {
                port.enqueue(&job(number)).await;
            }
        }
        if number % 2 == 1 {
            port.enqueue(&job(number)).await;
        }
        let leased = timeout(SOON, port.lease(&patient("there"))).await.expect("it was woken");
        assert_eq!((leased[0].lease.job, leased[0].attempt), (job(number).id, 1), "job {number}");
        port.finish(&leased[0].lease, done()).await;
    }
}
