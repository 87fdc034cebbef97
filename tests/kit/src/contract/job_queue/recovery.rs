//! What becomes of the jobs of a worker that is gone.

use std::time::Duration;

use portwright_domain::job::{CauseOfDeath, JobId, JobState, Outcome, Unwatched};
use portwright_domain::ports::job_queue::{Renewal, Settled, UNSERVED, Verdict};
use tokio::task::JoinSet;

use super::{LEASE, Queue, done, ids, job, queue, want, worker};
use crate::builders::{JobBuilder, jobs};
use crate::contract::Fixture;

const ALMOST: Duration = Duration::from_secs(20);

fn all(count: u32) -> Vec<JobId> {
    jobs(count).iter().map(|job| job.id).collect()
}

fn sorted(mut ids: Vec<JobId>) -> Vec<JobId> {
    ids.sort_unstable();
    ids
}

pub(super) async fn a_renewed_lease_keeps_all_jobs_of_its_worker(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(3)).await.expect("enqueue works");
    let leased = port.lease(&want("one", 3)).await;
    for _ in 0..3 {
        port.advance(ALMOST).await;
        let renewal = port.port.renew(&worker("one"), LEASE).await.expect("renew works");
        assert_eq!(renewal.held.len(), 3);
        assert_eq!(port.port.reclaim().await.expect("reclaim works"), 0);
    }
    port.finish(&leased[0].lease, done()).await;
}

pub(super) async fn an_exchange_renews_the_lease(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(2)).await.expect("enqueue works");
    port.start("one").await;
    for max in [1, 0] {
        port.advance(ALMOST).await;
        port.lease(&want("one", max)).await;
    }
    port.advance(ALMOST).await;
    assert_eq!(port.port.reclaim().await.expect("reclaim works"), 0);
}

pub(super) async fn a_renewal_tells_what_is_held_and_what_was_cancelled(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(3)).await.expect("enqueue works");
    let leased = port.lease(&want("one", 3)).await;
    port.finish(&leased[0].lease, done()).await;
    port.port.cancel(job(2).id).await.expect("cancel works");
    let renewal = port.port.renew(&worker("one"), LEASE).await.expect("renew works");
    let held = renewal.held.iter().map(|lease| lease.job).collect();
    assert_eq!(sorted(held), [job(2).id, job(3).id]);
    assert!(renewal.held.iter().all(|held| leased.iter().any(|leased| leased.lease == *held)));
    assert_eq!(renewal.cancelled, [job(2).id]);
}

pub(super) async fn an_unknown_worker_holds_nothing(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    port.start("one").await;
    let renewal = port.port.renew(&worker("two"), LEASE).await.expect("renew works");
    assert_eq!(renewal, Renewal::default());
    assert_eq!(port.port.bury(&worker("two")).await.expect("bury works"), 0);
}

pub(super) async fn a_lease_that_has_not_ended_is_not_reclaimed(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    port.start("one").await;
    port.advance(ALMOST).await;
    assert_eq!(port.port.reclaim().await.expect("reclaim works"), 0);
    assert_eq!(port.state(&job(1)).await, JobState::Running);
}

pub(super) async fn an_ended_lease_is_reclaimed_and_its_jobs_are_suspect(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(3)).await.expect("enqueue works");
    port.lease(&want("one", 2)).await;
    assert_eq!(port.watch(ALMOST).await, 0);
    port.lease(&want("two", 1)).await;
    assert_eq!(port.watch(ALMOST).await, 2, "the jobs of one, not of two");
    assert_eq!(port.port.reclaim().await.expect("reclaim works"), 0);
    for number in [1, 2] {
        assert_eq!(port.state(&job(number)).await, JobState::Ready);
    }
    assert_eq!(port.state(&job(3)).await, JobState::Running);
    assert!(port.start("three").await.suspect);
}

pub(super) async fn no_lease_ends_in_time_that_nobody_watched(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(2)).await.expect("enqueue works");
    let leased = port.lease(&want("one", 2)).await;
    assert_eq!(port.watch(ALMOST / 2).await, 0);
    for outage in [LEASE, LEASE * 100] {
        port.advance(outage).await;
        assert_eq!(port.port.reclaim().await.expect("reclaim works"), 0);
        assert_eq!(port.watch(Unwatched::GRACE / 2).await, 0, "it has a while to come back");
        let renewal = port.port.renew(&worker("one"), LEASE).await.expect("renew works");
        assert_eq!(renewal.held.len(), 2);
        assert_eq!(port.watch(ALMOST / 2).await, 0);
    }
    port.finish(&leased[0].lease, done()).await;
}

pub(super) async fn a_worker_that_does_not_come_back_loses_its_jobs_soon(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(2)).await.expect("enqueue works");
    port.lease(&want("one", 2)).await;
    assert_eq!(port.watch(ALMOST / 2).await, 0);
    port.advance(LEASE * 100).await;
    assert_eq!(port.port.reclaim().await.expect("reclaim works"), 0);
    assert_eq!(port.watch(Unwatched::GRACE).await, 2);
    assert!(port.start("two").await.suspect);
}

pub(super) async fn an_outage_of_the_queue_is_nobodys_crash(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    for outage in 1..=4 {
        let leased = port.start("one").await;
        assert!(!leased.suspect, "before outage {outage}");
        assert_eq!(port.watch(ALMOST / 2).await, 0);
        port.advance(LEASE * 2).await;
        assert_eq!(port.port.reclaim().await.expect("reclaim works"), 0);
        // It stopped in time, since it could not renew its lease, and says so.
        assert_eq!(port.settle(&leased.lease, Verdict::Release).await, Settled::Accepted);
    }
    assert_eq!(port.find(job(1).id).await.attempts, 0);
}

pub(super) async fn a_suspect_is_leased_alone(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(2)).await.expect("enqueue works");
    port.lease(&want("one", 2)).await;
    port.all_workers_die().await;
    port.port.enqueue(&[job(3), job(4)]).await.expect("enqueue works");

    let mut started = Vec::new();
    for _ in 0..2 {
        let leased = port.lease(&want("two", 10)).await;
        assert_eq!(leased.len(), 1, "nothing runs beside a suspect");
        assert!(leased[0].suspect);
        assert!(port.lease(&want("two", 10)).await.is_empty(), "nor is added to it");
        port.finish(&leased[0].lease, done()).await;
        started.extend(ids(&leased));
    }
    assert_eq!(sorted(started), all(2));
    assert_eq!(port.lease(&want("two", 10)).await.len(), 2, "the others run together again");
}

pub(super) async fn a_buried_worker_gives_back_its_own_jobs_at_once(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(3)).await.expect("enqueue works");
    port.lease(&want("one", 2)).await;
    port.lease(&want("two", 1)).await;
    assert_eq!(port.port.bury(&worker("one")).await.expect("bury works"), 2);
    assert_eq!(port.state(&job(3)).await, JobState::Running);
    let again = port.start("three").await;
    assert!(again.suspect);
    assert_eq!(port.port.bury(&worker("one")).await.expect("bury works"), 0);
}

pub(super) async fn a_reclaimed_job_is_lost_to_its_worker(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let lease = port.start("one").await.lease;
    port.all_workers_die().await;
    assert_eq!(port.settle(&lease, Verdict::Finish(done())).await, Settled::LeaseLost);
    assert_eq!(port.state(&job(1)).await, JobState::Ready);
    let renewal = port.port.renew(&worker("one"), LEASE).await.expect("renew works");
    assert!(renewal.held.is_empty(), "it is told that it holds nothing any more");
}

pub(super) async fn a_job_that_crashes_alone_is_dead_after_the_third_time(port: Fixture<dyn Queue>) {
    // A crash is counted for itself, whatever the attempts.
    port.enqueue(&JobBuilder::number(1).with_attempts(1).build()).await;
    for crash in 1..=3 {
        assert_eq!(port.state(&job(1)).await, JobState::Ready, "before crash {crash}");
        port.start("one").await;
        assert_eq!(port.all_workers_die().await, 1);
    }
    let outcome = port.find(job(1).id).await.outcome;
    let Some(Outcome::Dead(death)) = outcome else {
        panic!("it is not dead: {outcome:?}");
    };
    assert_eq!(death.cause, CauseOfDeath::Crashed);
    assert!(port.lease(&want("one", 1)).await.is_empty());
}

pub(super) async fn strikes_are_forgotten_after_three_days(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    for crash in 1..=6 {
        let leased = port.lease(&want("one", 1)).await;
        assert_eq!(ids(&leased), [job(1).id], "before crash {crash}");
        port.port.bury(&worker("one")).await.expect("bury works");
        if crash % 2 == 0 {
            port.advance(Duration::from_hours(72)).await;
        }
    }
    assert_eq!(port.state(&job(1)).await, JobState::Ready);
}

pub(super) async fn who_crashed_among_others_is_not_to_blame(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(5)).await.expect("enqueue works");
    port.lease(&want("one", 5)).await;
    assert_eq!(port.all_workers_die().await, 5);
    // Number 1 is the culprit and crashes again each time; the others prove themselves alone.
    let mut crashes_alone = 0;
    while let Some(leased) = port.lease(&want("one", 5)).await.pop() {
        if leased.lease.job == job(1).id {
            crashes_alone += 1;
            port.port.bury(&worker("one")).await.expect("bury works");
        } else {
            port.finish(&leased.lease, done()).await;
        }
    }
    assert_eq!(port.state(&job(1)).await, JobState::Dead);
    assert_eq!(crashes_alone, 3, "the crash among others counts for nobody");
    for number in 2..=5 {
        assert_eq!(port.state(&job(number)).await, JobState::Succeeded, "job {number}");
    }
}

pub(super) async fn reclaiming_twice_at_once_gives_back_each_job_once(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(50)).await.expect("enqueue works");
    for name in ["one", "two", "three", "four", "five"] {
        port.lease(&want(name, 10)).await;
    }
    assert_eq!(port.watch(LEASE.saturating_sub(Unwatched::LONGEST_BLINK)).await, 0);
    port.advance(Unwatched::LONGEST_BLINK).await;
    let mut reapers = JoinSet::new();
    for _ in 0..8 {
        let source = port.port.clone();
        reapers.spawn(async move { source.reclaim().await.expect("reclaim works") });
    }
    assert_eq!(reapers.join_all().await.into_iter().sum::<u64>(), 50);
}

impl Fixture<dyn Queue> {
    /// With a worker that asks for what it knows, and with regular looks for what nobody serves.
    async fn half_a_day_passes(&self) {
        assert_eq!(self.state(&job(1)).await, JobState::Ready);
        for _ in 0..12 {
            self.advance(UNSERVED / 24).await;
            self.lease(&want("one", 10)).await;
            self.port.reclaim().await.expect("reclaim works");
        }
    }
}

pub(super) async fn a_job_that_no_worker_serves_is_dead_after_a_day(port: Fixture<dyn Queue>) {
    let newer = JobBuilder::number(2).at_version(9).build();
    port.enqueue(&JobBuilder::number(1).of_task("test.unknown").build()).await;
    port.enqueue(&newer).await;
    port.half_a_day_passes().await;
    port.enqueue(&JobBuilder::number(3).of_task("test.unknown").build()).await;
    port.half_a_day_passes().await;
    for unserved in [job(1), newer] {
        let outcome = port.find(unserved.id).await.outcome;
        let Some(Outcome::Dead(death)) = outcome else {
            panic!("it is not dead: {outcome:?}");
        };
        assert_eq!(death.cause, CauseOfDeath::NotServed);
    }
    assert_eq!(port.state(&job(3)).await, JobState::Ready, "it came later");
}

pub(super) async fn a_clock_that_jumps_ends_no_job_that_waits(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    for _ in 0..10 {
        port.port.reclaim().await.expect("reclaim works");
        port.advance(UNSERVED * 2).await;
    }
    assert_eq!(port.state(&job(1)).await, JobState::Ready);
    assert_eq!(port.start("one").await.lease.job, job(1).id);
}

pub(super) async fn a_job_that_is_served_waits_as_long_as_it_takes(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    port.enqueue(&JobBuilder::number(2).in_queue("mail").build()).await;
    port.port.set_paused(&queue("mail"), true).await.expect("set_paused works");
    port.start("one").await;
    for _ in 0..3 {
        // Its only worker is busy, and the other queue is paused; but somebody knows the task.
        port.lease(&want("one", 1)).await;
        port.port.renew(&worker("one"), UNSERVED * 2).await.expect("renew works");
        port.advance(UNSERVED.saturating_sub(Duration::from_secs(1))).await;
        port.port.reclaim().await.expect("reclaim works");
    }
    assert_eq!(port.state(&job(2)).await, JobState::Ready);
}
