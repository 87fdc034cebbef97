//! Following a job, change by change.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use portwright_domain::job::{Job, JobState, NewJob, Outcome, Progress};
use portwright_domain::ports::job_queue::{Cancelled, Settled};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{LEASE, LONG, Queue, SOON, death, done, job, retry_after, worker};
use crate::builders::JobBuilder;
use crate::contract::Fixture;

/// Long enough for a question to have come, wherever the queue is.
const MOMENT: Duration = Duration::from_millis(50);

impl Fixture<dyn Queue> {
    async fn changed(&self, seen: &Job, wait: Duration) -> Option<Job> {
        self.port.changed(seen, wait).await.expect("changed works")
    }

    /// What a follower of this job is woken with, who waits while this is done to it.
    pub(super) async fn woken_by(&self, followed: &NewJob, done: impl Future<Output = ()>) -> Option<Job> {
        let seen = self.find(followed.id).await;
        let mut following = pin!(self.changed(&seen, LONG));
        assert!(timeout(MOMENT, following.as_mut()).await.is_err(), "nothing changed yet");
        done.await;
        timeout(SOON, following).await.expect("it was woken")
    }
}

pub(super) async fn a_job_that_differs_already_is_answered_at_once(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let seen = port.find(job(1).id).await;
    port.start("one").await;
    for wait in [Duration::ZERO, LONG] {
        let job = timeout(SOON, port.changed(&seen, wait)).await.expect("at once");
        assert_eq!(job, Some(port.find(seen.spec.id).await));
    }
}

pub(super) async fn whoever_follows_a_job_is_woken_by_its_start(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let woken = port.woken_by(&job(1), async { drop(port.start("one").await) }).await;
    let woken = woken.expect("it is known");
    assert_eq!((woken.state, woken.attempts), (JobState::Running, 1));
}

pub(super) async fn whoever_follows_a_job_is_woken_by_its_progress(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let leased = port.start("one").await;
    for done in 1..=3 {
        let progress = Progress { done, total: Some(3), message: None };
        let report = async { port.port.report(&leased.lease, &progress).await.expect("report works") };
        let woken = port.woken_by(&job(1), report).await;
        assert_eq!(woken.expect("it is known").progress, progress);
    }
}

pub(super) async fn whoever_follows_a_job_is_woken_by_every_end(port: Fixture<dyn Queue>) {
    let ends =
        [done(), Outcome::Failed(Bytes::from_static(b"no")), Outcome::Dead(death("no")), Outcome::Cancelled];
    for (number, end) in (1..).zip(ends) {
        port.enqueue(&job(number)).await;
        let leased = port.start("one").await;
        let woken = port.woken_by(&job(number), port.finish(&leased.lease, end.clone())).await;
        assert_eq!(woken.expect("it is known").outcome, Some(end));
    }
}

pub(super) async fn whoever_follows_a_job_is_woken_when_it_is_tried_again(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let leased = port.start("one").await;
    let delay = Duration::from_mins(1);
    let delayed = async {
        assert_eq!(port.settle(&leased.lease, retry_after(delay)).await, Settled::Accepted);
    };
    let woken = port.woken_by(&job(1), delayed).await;
    assert_eq!(woken.expect("it is known").state, JobState::Scheduled);

    port.advance(delay).await;
    let leased = port.start("one").await;
    port.finish(&leased.lease, Outcome::Failed(Bytes::new())).await;
    let retried = async { assert!(port.port.retry(job(1).id).await.expect("retry works")) };
    let woken = port.woken_by(&job(1), retried).await.expect("it is known");
    assert_eq!((woken.state, woken.outcome), (JobState::Ready, None));
}

pub(super) async fn whoever_follows_a_job_is_woken_by_its_cancelling(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let cancelled = async {
        assert_eq!(port.port.cancel(job(1).id).await.expect("cancel works"), Cancelled::Prevented);
    };
    let woken = port.woken_by(&job(1), cancelled).await;
    assert_eq!(woken.expect("it is known").state, JobState::Cancelled);
}

pub(super) async fn whoever_follows_a_job_is_woken_when_its_worker_is_gone(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    port.start("one").await;
    let buried = async { assert_eq!(port.port.bury(&worker("one")).await.expect("bury works"), 1) };
    let woken = port.woken_by(&job(1), buried).await;
    assert_eq!(woken.expect("it is known").state, JobState::Ready);

    port.start("two").await;
    let reclaimed = async { assert_eq!(port.all_workers_die().await, 1) };
    let woken = port.woken_by(&job(1), reclaimed).await;
    assert_eq!(woken.expect("it is known").state, JobState::Ready);
}

pub(super) async fn a_job_of_which_nothing_is_known_any_more_is_none(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let known = port.find(job(1).id).await;
    let never_was = Job { spec: job(2), ..known };
    assert_eq!(timeout(SOON, port.changed(&never_was, LONG)).await.expect("at once"), None);
}

pub(super) async fn a_job_that_does_not_change_is_answered_as_it_was_seen(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let leased = port.start("one").await;
    let seen = port.find(job(1).id).await;
    for wait in [Duration::ZERO, MOMENT] {
        assert_eq!(port.changed(&seen, wait).await, Some(seen.clone()));
    }
    // What happens to others, or shows in nothing, is no change either.
    port.enqueue(&job(2)).await;
    port.port.report(&leased.lease, &seen.progress).await.expect("report works");
    port.port.renew(&worker("one"), LEASE).await.expect("renew works");
    assert_eq!(port.changed(&seen, MOMENT).await, Some(seen));
}

pub(super) async fn all_who_follow_one_job_are_woken(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let seen = port.find(job(1).id).await;
    let mut followers = JoinSet::new();
    for _ in 0..100 {
        let (queue, seen) = (port.port.clone(), seen.clone());
        followers.spawn(async move { queue.changed(&seen, LONG).await.expect("changed works") });
    }
    let woken = port.woken_by(&job(1), async { drop(port.start("one").await) }).await;
    let all = timeout(SOON, followers.join_all()).await.expect("all were woken");
    assert_eq!(all, vec![woken; 100]);
}

pub(super) async fn an_end_between_the_look_and_the_wait_is_not_missed(port: Fixture<dyn Queue>) {
    for number in 1..=50 {
        port.enqueue(&job(number)).await;
        let leased = port.start("one").await;
        let seen = port.find(job(number).id).await;
        let (changed, ()) = tokio::join!(port.changed(&seen, LONG), port.finish(&leased.lease, done()));
        assert_eq!(changed.expect("it is known").outcome, Some(done()));
    }
}

pub(super) async fn following_a_job_meets_its_last_state(port: Fixture<dyn Queue>) {
    let tried = JobBuilder::number(1).with_attempts(50).build();
    port.enqueue(&tried).await;
    let mut seen = port.find(tried.id).await;
    let works = async {
        for done in 1..50 {
            let leased = port.start("one").await;
            let progress = Progress { done, ..Progress::default() };
            port.port.report(&leased.lease, &progress).await.expect("report works");
            port.settle(&leased.lease, retry_after(Duration::ZERO)).await;
        }
        let leased = port.start("one").await;
        port.finish(&leased.lease, done()).await;
    };
    let follows = async {
        while !seen.state.is_terminal() {
            let changed = port.changed(&seen, LONG).await.expect("it is known");
            assert!(changed != seen, "it was woken for a change");
            seen = changed;
        }
        seen
    };
    let (last, ()) =
        timeout(LONG, async { tokio::join!(follows, works) }).await.expect("the end is heard of");
    assert_eq!((last.attempts, last.outcome), (50, Some(done())));
}
