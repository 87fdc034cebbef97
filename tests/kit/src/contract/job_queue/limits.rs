//! What a queue takes, and what it keeps.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use portwright_domain::ErrorKind;
use portwright_domain::job::{Enqueued, NewJob, Outcome};
use portwright_domain::ports::job_queue::{Limits, REMEMBERED, Removed, Retention, Verdict};
use tokio::time::timeout;

use super::{LONG, Queue, SOON, begin_to_wait, death, done, ids, job, retry_after, want};
use crate::builders::{JobBuilder, a_user, jobs};
use crate::contract::Fixture;

/// The limits of the fixture: small enough to meet.
pub const LIMITS: Limits = Limits {
    waiting: 20,
    succeeded: Retention { jobs: 3, age: Duration::from_mins(1) },
    unsuccessful: Retention { jobs: 2, age: Duration::from_hours(1) },
};

fn urgent(number: u32) -> NewJob {
    JobBuilder::number(number).with_priority(Limits::URGENT).build()
}

async fn refused(port: &Fixture<dyn Queue>, jobs: &[NewJob]) {
    let refused = port.port.enqueue(jobs).await.expect_err("the queue is full");
    assert_eq!((refused.kind(), refused.detail()), (ErrorKind::Unavailable, Limits::FULL));
    for job in jobs {
        assert_eq!(port.port.find(job.id).await.expect("find works"), None, "all or none");
    }
}

pub(super) async fn a_full_queue_takes_no_more_and_loses_nothing(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(18)).await.expect("there is room");
    refused(&port, &[job(19), job(20)]).await;
    assert_eq!(port.enqueue(&job(19)).await, Enqueued::New, "there is room for one");
    refused(&port, &[job(20)]).await;
    assert!(port.port.call(&job(20), Duration::ZERO).await.is_err(), "nor by a call");
    assert_eq!(port.port.enqueue(&jobs(19)).await.expect("these are known"), [Enqueued::Known; 19]);

    assert_eq!(port.lease(&want("one", 1)).await.len(), 1);
    assert_eq!(port.enqueue(&job(20)).await, Enqueued::New, "what runs does not wait");
    assert_eq!(port.lease(&want("two", 100)).await.len(), 19);
}

pub(super) async fn scheduled_jobs_take_room_too(port: Fixture<dyn Queue>) {
    let later = port.now().plus(Duration::from_hours(1));
    for number in 1..=19 {
        port.enqueue(&JobBuilder::number(number).scheduled_for(later).build()).await;
    }
    refused(&port, &[job(20)]).await;
}

pub(super) async fn the_last_places_are_for_urgent_jobs(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(19)).await.expect("there is room");
    refused(&port, &[job(20)]).await;
    assert_eq!(port.enqueue(&urgent(20)).await, Enqueued::New);
    refused(&port, &[urgent(21)]).await;
}

pub(super) async fn what_was_taken_is_never_refused_later(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(19)).await.expect("there is room");
    let leased = port.lease(&want("one", 3)).await;
    port.port.enqueue(&[job(20), job(21), job(22)]).await.expect("there is room");
    for (leased, verdict) in leased.iter().zip([
        Verdict::Release,
        retry_after(Duration::ZERO),
        retry_after(Duration::from_secs(1)),
    ]) {
        port.settle(&leased.lease, verdict).await;
    }
    port.advance(Duration::from_secs(1)).await;
    assert_eq!(port.lease(&want("two", 100)).await.len(), 22);
}

pub(super) async fn whoever_follows_a_job_is_woken_by_its_removal(port: Fixture<dyn Queue>) {
    end(&port, 1, &done()).await;
    let more = async {
        for number in 2..=4 {
            end(&port, number, &done()).await;
        }
    };
    assert_eq!(port.woken_by(&job(1), more).await, None, "it was too many");
    end(&port, 5, &Outcome::Failed(Bytes::new())).await;
    let old = async {
        port.advance(Duration::from_hours(1)).await;
        port.port.reclaim().await.expect("reclaim works");
    };
    assert_eq!(port.woken_by(&job(5), old).await, None, "it was too old");
}

async fn end(port: &Fixture<dyn Queue>, number: u32, outcome: &Outcome) {
    port.enqueue(&job(number)).await;
    let leased = port.start("one").await;
    port.finish(&leased.lease, outcome.clone()).await;
}

async fn known(port: &Fixture<dyn Queue>, numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut known = Vec::new();
    for number in numbers {
        if port.port.find(job(number).id).await.expect("find works").is_some() {
            known.push(number);
        }
    }
    known
}

pub(super) async fn finished_jobs_are_kept_by_number_each_end_for_itself(port: Fixture<dyn Queue>) {
    port.enqueue(&job(100)).await;
    port.port.cancel(job(100).id).await.expect("cancel works");
    let ends = [done(), Outcome::Failed(Bytes::new()), Outcome::Dead(death("no"))];
    for (end_number, outcome) in (0..).zip(&ends) {
        for number in 1..=4 {
            end(&port, end_number * 10 + number, outcome).await;
        }
    }
    assert_eq!(known(&port, 1..=4).await, [2, 3, 4], "succeeded");
    assert_eq!(known(&port, 11..=14).await, [13, 14], "failed");
    assert_eq!(known(&port, 21..=24).await, [23, 24], "dead");
    assert_eq!(known(&port, [100]).await, [100], "cancelled");
}

pub(super) async fn finished_jobs_are_kept_by_age(port: Fixture<dyn Queue>) {
    end(&port, 1, &done()).await;
    end(&port, 2, &Outcome::Failed(Bytes::new())).await;
    let tomorrow = port.now().plus(Duration::from_hours(24));
    port.enqueue(&JobBuilder::number(3).scheduled_for(tomorrow).build()).await;
    port.advance(Duration::from_secs(30)).await;
    end(&port, 4, &done()).await;

    port.advance(Duration::from_secs(30)).await;
    port.port.reclaim().await.expect("reclaim works");
    assert_eq!(known(&port, 1..=4).await, [2, 3, 4]);
    port.advance(Duration::from_mins(59)).await;
    port.port.reclaim().await.expect("reclaim works");
    assert_eq!(known(&port, 1..=4).await, [3], "what is unfinished stays, whatever its age");
}

pub(super) async fn a_removed_job_is_remembered_for_a_day(port: Fixture<dyn Queue>) {
    let mine = JobBuilder::number(1).created_by(a_user().build().id).build();
    assert_eq!(port.port.removed(mine.id).await.expect("removed works"), None, "it never was");
    for job in [&mine, &job(2)] {
        port.enqueue(job).await;
        let leased = port.start("one").await;
        port.finish(&leased.lease, done()).await;
        assert_eq!(port.port.removed(job.id).await.expect("removed works"), None, "it is known");
    }
    port.advance(Duration::from_mins(1)).await;
    port.port.reclaim().await.expect("reclaim works");
    for job in [&mine, &job(2)] {
        let removed = port.port.removed(job.id).await.expect("removed works").expect("it is remembered");
        assert_eq!(removed, Removed { created_by: job.created_by, at: port.now() });
        assert_eq!(port.enqueue(job).await, Enqueued::Known);
        let called = timeout(SOON, port.port.call(job, LONG)).await.expect("at once");
        assert_eq!(called.expect("call works"), None);
    }
    port.advance(REMEMBERED).await;
    port.port.reclaim().await.expect("reclaim works");
    assert_eq!(port.port.removed(mine.id).await.expect("removed works"), None, "a day is over");
    assert_eq!(port.enqueue(&mine).await, Enqueued::New);
}

pub(super) async fn a_job_that_is_tried_again_is_kept(port: Fixture<dyn Queue>) {
    for number in 1..=2 {
        end(&port, number, &Outcome::Failed(Bytes::new())).await;
    }
    assert!(port.port.retry(job(1).id).await.expect("retry works"));
    for number in 3..=4 {
        port.enqueue(&job(number)).await;
        port.port.cancel(job(number).id).await.expect("cancel works");
    }
    port.advance(Duration::from_hours(2)).await;
    port.port.reclaim().await.expect("reclaim works");
    assert_eq!(known(&port, 1..=4).await, [1]);
    assert_eq!(ids(&port.lease(&want("one", 5)).await), [job(1).id]);
}

pub(super) async fn whoever_waits_is_told_even_if_nothing_is_kept(port: Fixture<dyn Queue>) {
    let asked = job(1);
    let mut call = pin!(port.port.call(&asked, LONG));
    begin_to_wait(call.as_mut()).await;
    let leased = port.lease(&super::LeaseRequest { wait: LONG, ..want("one", 1) }).await;
    let mut outcome = pin!(port.port.outcome(asked.id, LONG));
    begin_to_wait(outcome.as_mut()).await;
    port.port.enqueue(&[job(2), job(3), job(4)]).await.expect("enqueue works");
    let others = port.lease(&want("one", 3)).await;
    // All end in one exchange, the one that is waited for first, so that nothing of it is kept.
    let settle: Vec<_> = leased
        .iter()
        .chain(&others)
        .map(|leased| super::Settlement { lease: leased.lease.clone(), verdict: Verdict::Finish(done()) })
        .collect();
    port.port.exchange(&settle, &want("one", 0)).await.expect("exchange works");
    assert_eq!(known(&port, 1..=4).await, [2, 3, 4]);
    assert_eq!(timeout(SOON, call).await.expect("it was woken").expect("call works"), Some(done()));
    assert_eq!(timeout(SOON, outcome).await.expect("it was woken").expect("outcome works"), Some(done()));
}
