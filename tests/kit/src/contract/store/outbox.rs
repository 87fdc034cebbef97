//! The outbox: a job waits in it if and only if its transaction was committed.

use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::job::{Backoff, JobId, NewJob};
use portwright_domain::ports::Store;
use uuid::Uuid;

use super::commit;
use crate::builders::{JobBuilder, a_job, a_user, jobs};
use crate::contract::Fixture;

impl Fixture<dyn Store> {
    /// Records these jobs, and commits.
    async fn record_jobs(&self, jobs: &[NewJob]) {
        let mut unit = self.begin().await;
        for job in jobs {
            unit.outbox().enqueue(job).await.expect("enqueue works");
        }
        commit(unit).await;
    }

    async fn pending(&self, max: u32) -> Vec<NewJob> {
        self.begin().await.outbox().pending(max).await.expect("pending works")
    }

    async fn handed_over(&self, after: Option<JobId>, max: u32) -> Vec<NewJob> {
        self.begin().await.outbox().handed_over(after, max).await.expect("handed_over works")
    }
}

pub(super) async fn every_field_of_a_job_is_stored_exactly(store: Fixture<dyn Store>) {
    let long = "n".repeat(100);
    let year = Duration::from_hours(365 * 24);
    let jobs = [
        a_job().build(),
        JobBuilder::number(2)
            .with_id(JobId(Uuid::nil()))
            .of_task(&long)
            .in_queue("a.b_c-0")
            .with_priority(0)
            .with_payload("")
            .with_attempts(0)
            .at_version(0)
            .with_backoff(Backoff::Exponential { base: Duration::ZERO, cap: Duration::ZERO })
            .with_timeout(Duration::ZERO)
            .scheduled_for(Timestamp::from_unix_micros(i64::MIN))
            .build(),
        JobBuilder::number(3)
            .with_id(JobId(Uuid::max()))
            .in_queue(&long)
            .with_priority(15)
            .with_payload((0..=250).cycle().take(NewJob::MAX_PAYLOAD).collect::<Vec<u8>>())
            .with_attempts(u32::MAX)
            .at_version(u32::MAX)
            .with_backoff(Backoff::Exponential { base: Duration::from_nanos(1), cap: year })
            .with_timeout(year)
            .scheduled_for(Timestamp::from_unix_micros(i64::MAX))
            .unique_by(&long)
            .created_by(a_user().build().id)
            .with_trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .build(),
        JobBuilder::number(4).with_backoff(Backoff::Fixed(Duration::new(90, 999_999_999))).build(),
    ];
    store.record_jobs(&jobs).await;
    assert_eq!(store.pending(10).await, jobs);
}

pub(super) async fn a_job_is_pending_if_and_only_if_its_transaction_commits(store: Fixture<dyn Store>) {
    let [kept, rolled_back, dropped] = [1, 2, 3].map(|n| JobBuilder::number(n).build());
    let mut unit = store.begin().await;
    unit.outbox().enqueue(&rolled_back).await.expect("enqueue works");
    unit.rollback().await.expect("rollback works");
    let mut unit = store.begin().await;
    unit.outbox().enqueue(&dropped).await.expect("enqueue works");
    drop(unit);
    assert_eq!(store.pending(10).await, []);
    store.record_jobs(std::slice::from_ref(&kept)).await;
    assert_eq!(store.pending(10).await, [kept]);
}

pub(super) async fn jobs_are_pending_in_the_order_of_their_recording(store: Fixture<dyn Store>) {
    let mut jobs = jobs(30);
    // Neither by id nor by priority nor by time.
    jobs.rotate_left(11);
    jobs.swap(3, 20);
    for some in jobs.chunks(4) {
        store.record_jobs(some).await;
    }
    assert_eq!(store.pending(100).await, jobs);
    assert_eq!(store.pending(7).await, jobs[..7]);
    assert_eq!(store.pending(0).await, []);
}

pub(super) async fn recording_one_job_twice_keeps_the_first(store: Fixture<dyn Store>) {
    let first = a_job().build();
    let second = a_job().with_payload("another").build();
    let third = JobBuilder::number(3).build();
    store.record_jobs(&[first.clone(), second.clone()]).await;
    store.record_jobs(&[second, third.clone()]).await;
    assert_eq!(store.pending(10).await, [first, third]);
}

pub(super) async fn removed_jobs_are_no_longer_pending(store: Fixture<dyn Store>) {
    let jobs = jobs(4);
    store.record_jobs(&jobs).await;
    let unknown = JobBuilder::number(9).build().id;
    let mut unit = store.begin().await;
    unit.outbox().remove(&[jobs[0].id, unknown, jobs[2].id]).await.expect("unknown ids are fine");
    unit.outbox().remove(&[]).await.expect("no ids are fine");
    commit(unit).await;
    assert_eq!(store.pending(10).await, [jobs[1].clone(), jobs[3].clone()]);

    let again = [JobBuilder::number(5).build()];
    store.record_jobs(&again).await;
    assert_eq!(store.pending(10).await.last(), again.last(), "what comes later stands behind");
}

pub(super) async fn jobs_that_were_handed_over_are_kept_and_not_pending(store: Fixture<dyn Store>) {
    let jobs = jobs(4);
    store.record_jobs(&jobs).await;
    let unknown = JobBuilder::number(9).build().id;
    let mut unit = store.begin().await;
    unit.outbox().hand_over(&[jobs[1].id, unknown]).await.expect("unknown ids are fine");
    unit.outbox().hand_over(&[jobs[1].id]).await.expect("once more is fine");
    unit.outbox().hand_over(&[]).await.expect("no ids are fine");
    commit(unit).await;
    assert_eq!(store.pending(10).await, [jobs[0].clone(), jobs[2].clone(), jobs[3].clone()]);
    assert_eq!(store.handed_over(None, 10).await, [jobs[1].clone()]);

    store.record_jobs(&jobs[1..2]).await;
    assert_eq!(store.handed_over(None, 10).await, [jobs[1].clone()], "recording it again changes nothing");

    let mut unit = store.begin().await;
    unit.outbox().remove(&[jobs[1].id, jobs[2].id]).await.expect("remove works");
    commit(unit).await;
    assert_eq!(store.handed_over(None, 10).await, []);
    assert_eq!(store.pending(10).await, [jobs[0].clone(), jobs[3].clone()]);
}

pub(super) async fn jobs_that_were_handed_over_are_listed_by_their_ids(store: Fixture<dyn Store>) {
    let jobs = jobs(9);
    let mut recorded = jobs.clone();
    recorded.rotate_left(4);
    store.record_jobs(&recorded).await;
    let mut unit = store.begin().await;
    let ids: Vec<JobId> = jobs[..8].iter().map(|job| job.id).collect();
    unit.outbox().hand_over(&ids).await.expect("hand_over works");
    commit(unit).await;
    assert_eq!(store.handed_over(None, 3).await, jobs[..3]);
    assert_eq!(store.handed_over(Some(jobs[2].id), 3).await, jobs[3..6]);
    assert_eq!(store.handed_over(Some(jobs[5].id), 3).await, jobs[6..8]);
    assert_eq!(store.handed_over(Some(jobs[7].id), 3).await, []);
    assert_eq!(store.handed_over(None, 0).await, []);
}
