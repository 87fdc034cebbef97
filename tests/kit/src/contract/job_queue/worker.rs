//! The worker's half: how jobs are leased and settled.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use portwright_domain::ErrorKind;
use portwright_domain::job::{CauseOfDeath, JobId, JobState, Lease, NewJob, Outcome, Progress, Run};
use portwright_domain::ports::job_queue::{AGEING, LeaseRequest, Settled, Settlement, Verdict};
use tokio::task::JoinSet;

use super::{
    LONG, Queue, SOON, begin_to_wait, death, done, ids, job, queue, retry_after, task, want, worker,
};
use crate::builders::{JobBuilder, a_job, jobs};
use crate::contract::Fixture;

pub(super) async fn a_job_is_leased_as_it_was_asked_for(port: Fixture<dyn Queue>) {
    let asked = a_job().with_payload((0..=255).collect::<Vec<u8>>()).unique_by("key").build();
    port.enqueue(&asked).await;
    let leased = port.start("one").await;
    assert_eq!(leased.job, asked);
    assert_eq!((leased.lease.job, &leased.lease.worker), (asked.id, &worker("one")));
    assert_eq!((leased.attempt, leased.suspect), (1, false));
    let known = port.find(asked.id).await;
    assert_eq!((known.state, known.attempts), (JobState::Running, 1));
    assert!(known.started_at.is_some());
}

pub(super) async fn a_leased_job_is_not_leased_again(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    port.start("one").await;
    for name in ["one", "two"] {
        assert!(port.lease(&want(name, 1)).await.is_empty());
    }
}

pub(super) async fn many_workers_at_once_never_share_a_job(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(200)).await.expect("enqueue works");
    let mut workers = JoinSet::new();
    for number in 0..8 {
        let source = port.port.clone();
        workers.spawn(async move {
            let want = want(&format!("worker-{number}"), 3);
            let mut started: Vec<JobId> = Vec::new();
            loop {
                let leased = source.exchange(&[], &want).await.expect("exchange works").leased;
                if leased.is_empty() {
                    return started;
                }
                started.extend(ids(&leased));
            }
        });
    }
    let started = workers.join_all().await.concat();
    let different: HashSet<JobId> = started.iter().copied().collect();
    assert_eq!((started.len(), different.len()), (200, 200));
}

pub(super) async fn the_highest_priority_comes_first_then_the_oldest(port: Fixture<dyn Queue>) {
    for (number, priority) in [(1, 0), (2, 5), (3, 15), (4, 5), (5, 15), (6, 10)] {
        let queue = if number % 2 == 0 { "default" } else { "cpu" };
        port.enqueue(&JobBuilder::number(number).with_priority(priority).in_queue(queue).build()).await;
        port.advance(Duration::from_millis(1)).await;
    }
    let expected = [3, 5, 6, 2, 4, 1].map(|number| job(number).id);
    assert_eq!(ids(&port.lease(&want("one", 4)).await), expected[..4]);
    assert_eq!(ids(&port.lease(&want("two", 4)).await), expected[4..]);
}

pub(super) async fn a_low_priority_is_not_passed_over_for_ever(port: Fixture<dyn Queue>) {
    let low = JobBuilder::number(1).with_priority(0).build();
    port.enqueue(&low).await;
    let enough = u32::try_from(AGEING).expect("a small number");
    for number in 2..=enough + 2 {
        port.advance(Duration::from_millis(1)).await;
        port.enqueue(&JobBuilder::number(number).with_priority(15).build()).await;
        let leased = port.start("one").await;
        port.finish(&leased.lease, done()).await;
        if leased.lease.job == low.id {
            assert!(number > 2, "priority counts");
            return;
        }
    }
    panic!("it was passed over {enough} times");
}

pub(super) async fn only_wanted_tasks_are_leased(port: Fixture<dyn Queue>) {
    let other = JobBuilder::number(2).of_task("test.other").build();
    port.enqueue(&job(1)).await;
    port.enqueue(&other).await;
    let only_other = LeaseRequest { tasks: vec![(task("test.other"), 1)], ..want("one", 2) };
    assert_eq!(ids(&port.lease(&only_other).await), [other.id]);
    let none = LeaseRequest { tasks: Vec::new(), ..want("one", 2) };
    assert!(port.lease(&none).await.is_empty());
    assert_eq!(port.state(&job(1)).await, JobState::Ready);
}

pub(super) async fn only_readable_versions_are_leased(port: Fixture<dyn Queue>) {
    for version in 1..=3 {
        port.enqueue(&JobBuilder::number(version).at_version(version).build()).await;
    }
    let up_to = |version| LeaseRequest { tasks: vec![(task("test.echo"), version)], ..want("one", 3) };
    assert_eq!(ids(&port.lease(&up_to(2)).await), [job(1).id, job(2).id]);
    assert_eq!(ids(&port.lease(&up_to(3)).await), [job(3).id]);
}

pub(super) async fn only_served_queues_are_leased_from(port: Fixture<dyn Queue>) {
    for (number, name) in [(1, "cpu"), (2, "mail"), (3, "default")] {
        port.enqueue(&JobBuilder::number(number).in_queue(name).build()).await;
    }
    let two_queues = LeaseRequest { queues: vec![queue("mail"), queue("cpu")], ..want("one", 3) };
    assert_eq!(ids(&port.lease(&two_queues).await), [job(1).id, job(2).id]);
    assert_eq!(ids(&port.lease(&want("one", 3)).await), [job(3).id], "no queue named is every queue");
}

pub(super) async fn no_more_than_the_free_places_are_leased(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(5)).await.expect("enqueue works");
    assert_eq!(port.lease(&want("one", 2)).await.len(), 2);
    assert_eq!(port.lease(&want("one", 2)).await.len(), 2);
    assert_eq!(port.lease(&want("one", 2)).await.len(), 1);
}

pub(super) async fn a_scheduled_job_waits_for_its_time(port: Fixture<dyn Queue>) {
    const HOUR: Duration = Duration::from_hours(1);
    let later = a_job().scheduled_for(port.now().plus(HOUR)).build();
    let past = JobBuilder::number(2).scheduled_for(port.now().minus(HOUR)).build();
    port.enqueue(&later).await;
    port.enqueue(&past).await;
    assert_eq!(ids(&port.lease(&want("one", 2)).await), [past.id], "a time that is over is at once");
    port.advance(HOUR / 2).await;
    assert!(port.lease(&want("one", 1)).await.is_empty());
    port.advance(HOUR / 2).await;
    assert_eq!(port.start("one").await.lease.job, later.id);
}

pub(super) async fn whoever_waits_for_a_job_is_woken_by_it(port: Fixture<dyn Queue>) {
    let want = LeaseRequest { wait: LONG, ..want("one", 5) };
    let mut waiting = pin!(port.port.exchange(&[], &want));
    begin_to_wait(waiting.as_mut()).await;
    port.enqueue(&JobBuilder::number(2).of_task("test.unknown").build()).await;
    port.enqueue(&job(1)).await;
    let exchange = tokio::time::timeout(SOON, waiting).await.expect("it was woken");
    assert_eq!(ids(&exchange.expect("exchange works").leased), [job(1).id]);
}

pub(super) async fn waiting_for_a_job_comes_to_an_end(port: Fixture<dyn Queue>) {
    for wait in [Duration::ZERO, Duration::from_millis(20)] {
        assert!(port.lease(&LeaseRequest { wait, ..want("one", 1) }).await.is_empty());
    }
}

pub(super) async fn without_free_places_an_exchange_only_settles(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(2)).await.expect("enqueue works");
    let leased = port.start("one").await;
    let settlement = Settlement { lease: leased.lease, verdict: Verdict::Finish(done()) };
    let exchange = port.port.exchange(&[settlement], &want("one", 0)).await.expect("exchange works");
    assert_eq!(exchange.settled, [Settled::Accepted]);
    assert!(exchange.leased.is_empty());
    let patient = LeaseRequest { wait: LONG, ..want("one", 0) };
    let nothing = tokio::time::timeout(SOON, port.port.exchange(&[], &patient)).await;
    assert!(nothing.expect("there is nothing to wait for").expect("exchange works").leased.is_empty());
}

pub(super) async fn an_exchange_settles_before_it_leases(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let leased = port.start("one").await;
    let settlement = Settlement { lease: leased.lease, verdict: retry_after(Duration::ZERO) };
    let exchange = port.port.exchange(&[settlement], &want("one", 1)).await.expect("exchange works");
    assert_eq!(exchange.settled, [Settled::Accepted]);
    assert_eq!(ids(&exchange.leased), [job(1).id], "what was given back is leased in the same exchange");
}

pub(super) async fn a_settlement_with_nothing_ready_is_answered_at_once(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let leased = port.start("one").await;
    let settlement = Settlement { lease: leased.lease, verdict: Verdict::Finish(done()) };
    let patient = LeaseRequest { wait: LONG, ..want("one", 1) };
    let settled = [settlement];
    let exchange = tokio::time::timeout(SOON, port.port.exchange(&settled, &patient)).await;
    assert_eq!(exchange.expect("at once").expect("exchange works").settled, [Settled::Accepted]);
}

pub(super) async fn every_outcome_is_recorded_as_given(port: Fixture<dyn Queue>) {
    let every_byte = Bytes::from((0..=255).collect::<Vec<u8>>());
    let outcomes = [
        Outcome::Succeeded(every_byte.clone()),
        Outcome::Succeeded(Bytes::new()),
        Outcome::Failed(every_byte),
        Outcome::Dead(death("the payload could not be read: ü")),
        Outcome::Cancelled,
    ];
    for (job, outcome) in jobs(5).iter().zip(outcomes) {
        port.enqueue(job).await;
        let leased = port.start("one").await;
        port.finish(&leased.lease, outcome.clone()).await;
        let known = port.find(job.id).await;
        assert_eq!((known.state, known.outcome.as_ref()), (outcome.state(), Some(&outcome)));
        assert!(known.finished_at.is_some());
        let waited = port.port.outcome(job.id, Duration::ZERO).await.expect("outcome works");
        assert_eq!(waited, Some(outcome));
    }
}

pub(super) async fn a_result_that_is_too_large_is_a_death(port: Fixture<dyn Queue>) {
    let bytes = |length| Bytes::from(vec![7; length]);
    let largest = Outcome::Succeeded(bytes(Outcome::MAX_RESULT));
    let larger = bytes(Outcome::MAX_RESULT + 1);
    for (number, outcome, state) in [
        (1, largest, JobState::Succeeded),
        (2, Outcome::Succeeded(larger.clone()), JobState::Dead),
        (3, Outcome::Failed(larger), JobState::Dead),
    ] {
        port.enqueue(&job(number)).await;
        let leased = port.start("one").await;
        port.finish(&leased.lease, outcome).await;
        let known = port.find(job(number).id).await;
        assert_eq!(known.state, state, "job {number}");
        if let Some(Outcome::Dead(death)) = known.outcome {
            assert_eq!(death.cause, CauseOfDeath::ResultTooLarge);
        }
    }
}

pub(super) async fn settlements_are_answered_in_order(port: Fixture<dyn Queue>) {
    port.port.enqueue(&jobs(2)).await.expect("enqueue works");
    let leased = port.lease(&want("one", 2)).await;
    let finish = |lease: &_| Settlement { lease: Clone::clone(lease), verdict: Verdict::Finish(done()) };
    let mut lost = leased[0].lease.clone();
    lost.run.0 += 1;
    let settle = [finish(&lost), finish(&leased[1].lease), finish(&leased[0].lease)];
    let exchange = port.port.exchange(&settle, &want("one", 0)).await.expect("exchange works");
    assert_eq!(exchange.settled, [Settled::LeaseLost, Settled::Accepted, Settled::Accepted]);
}

pub(super) async fn settling_again_is_accepted_again(port: Fixture<dyn Queue>) {
    for (number, verdict) in [
        (1, Verdict::Finish(done())),
        (2, retry_after(Duration::from_hours(1))),
        (3, retry_after(Duration::ZERO)),
        (4, Verdict::Release),
    ] {
        port.enqueue(&job(number)).await;
        let lease = port.start("one").await.lease;
        assert_eq!(port.settle(&lease, verdict.clone()).await, Settled::Accepted);
        let before = port.find(job(number).id).await;
        assert_eq!(port.settle(&lease, verdict.clone()).await, Settled::Accepted, "{verdict:?}");
        assert_eq!(port.find(job(number).id).await, before, "{verdict:?} changes nothing again");
        // Makes room for the next one.
        port.port.cancel(job(number).id).await.expect("cancel works");
    }
}

pub(super) async fn every_lease_has_a_higher_run(port: Fixture<dyn Queue>) {
    port.enqueue(&a_job().with_attempts(10).build()).await;
    let mut runs = Vec::new();
    for verdict in [retry_after(Duration::ZERO), Verdict::Release, retry_after(Duration::ZERO)] {
        let leased = port.start("one").await;
        runs.push(leased.lease.run);
        port.settle(&leased.lease, verdict).await;
    }
    runs.push(port.start("two").await.lease.run);
    port.all_workers_die().await;
    runs.push(port.start("one").await.lease.run);
    assert!(runs.is_sorted_by(|a, b| a < b), "{runs:?}");
}

pub(super) async fn a_lost_lease_settles_nothing(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let old = port.start("one").await.lease;
    port.all_workers_die().await;
    let new = port.start("two").await.lease;
    let before = port.find(job(1).id).await;
    for verdict in [Verdict::Finish(done()), retry_after(Duration::ZERO), Verdict::Release] {
        assert_eq!(port.settle(&old, verdict.clone()).await, Settled::LeaseLost, "{verdict:?}");
        assert_eq!(port.find(job(1).id).await, before);
    }
    port.finish(&new, Outcome::Failed(Bytes::new())).await;
    assert_eq!(port.settle(&old, Verdict::Finish(done())).await, Settled::LeaseLost);
    assert_eq!(port.state(&job(1)).await, JobState::Failed, "the late result does not overwrite");
}

pub(super) async fn a_late_failure_does_not_overwrite_a_success(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let old = port.start("one").await.lease;
    port.all_workers_die().await;
    let new = port.start("two").await.lease;
    port.finish(&new, done()).await;
    let before = port.find(job(1).id).await;
    let late =
        [Verdict::Finish(Outcome::Failed(Bytes::new())), retry_after(Duration::ZERO), Verdict::Release];
    for verdict in late {
        assert_eq!(port.settle(&old, verdict.clone()).await, Settled::LeaseLost, "{verdict:?}");
        assert_eq!(port.find(job(1).id).await, before);
    }
}

pub(super) async fn nobody_settles_the_lease_of_another(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let lease = port.start("one").await.lease;
    let stolen = Lease { worker: worker("two"), ..lease.clone() };
    let guessed = Lease { run: Run(lease.run.0 + 1), ..lease.clone() };
    for wrong in [stolen, guessed] {
        assert_eq!(port.settle(&wrong, Verdict::Finish(done())).await, Settled::LeaseLost);
        assert!(port.port.report(&wrong, &Progress::default()).await.is_err());
    }
    port.finish(&lease, done()).await;
    assert!(port.port.report(&lease, &Progress::default()).await.is_err(), "a lease is over when it settles");
}

pub(super) async fn a_job_to_be_tried_again_waits_for_its_delay(port: Fixture<dyn Queue>) {
    const MINUTE: Duration = Duration::from_mins(1);
    port.enqueue(&job(1)).await;
    let first = port.start("one").await;
    assert_eq!(port.settle(&first.lease, retry_after(MINUTE)).await, Settled::Accepted);
    assert_eq!(port.state(&job(1)).await, JobState::Scheduled);
    port.advance(MINUTE / 2).await;
    assert!(port.lease(&want("one", 1)).await.is_empty());
    port.advance(MINUTE / 2).await;
    let second = port.start("two").await;
    assert_eq!((second.attempt, second.suspect), (2, false));
}

pub(super) async fn a_job_without_attempts_left_is_dead_of_its_last_try(port: Fixture<dyn Queue>) {
    let twice: NewJob = a_job().with_attempts(2).build();
    port.enqueue(&twice).await;
    for attempt in 1..=2 {
        let leased = port.start("one").await;
        assert_eq!(leased.attempt, attempt);
        let verdict = Verdict::Retry { delay: Duration::ZERO, death: death(&format!("try {attempt}")) };
        assert_eq!(port.settle(&leased.lease, verdict).await, Settled::Accepted);
    }
    let known = port.find(twice.id).await;
    assert_eq!(known.outcome, Some(Outcome::Dead(death("try 2"))));
    assert_eq!((known.state, known.attempts), (JobState::Dead, 2));
    assert!(port.lease(&want("one", 1)).await.is_empty());
}

pub(super) async fn a_released_job_is_first_and_its_start_does_not_count(port: Fixture<dyn Queue>) {
    const MOMENT: Duration = Duration::from_secs(5);
    let older = JobBuilder::number(2).scheduled_for(port.now().plus(MOMENT)).build();
    port.enqueue(&older).await;
    port.enqueue(&JobBuilder::number(1).with_attempts(1).build()).await;
    let leased = port.start("one").await;
    port.advance(MOMENT).await;
    assert_eq!(port.state(&older).await, JobState::Ready);
    assert_eq!(port.settle(&leased.lease, Verdict::Release).await, Settled::Accepted);
    let known = port.find(job(1).id).await;
    assert_eq!((known.state, known.attempts), (JobState::Ready, 0));
    let again = port.start("two").await;
    assert_eq!((again.lease.job, again.attempt, again.suspect), (job(1).id, 1, false));
}

pub(super) async fn progress_is_recorded(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let lease = port.start("one").await.lease;
    let full = Progress { done: 3, total: Some(10), message: Some("dritte Zeile".to_owned()) };
    for progress in [full, Progress { done: u64::from(u32::MAX) + 1, total: None, message: None }] {
        port.port.report(&lease, &progress).await.expect("the lease is the newest");
        assert_eq!(port.find(job(1).id).await.progress, progress);
    }
}

pub(super) async fn progress_under_a_lost_lease_is_refused(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let old = port.start("one").await.lease;
    port.all_workers_die().await;
    port.start("two").await;
    let progress = Progress { done: 9, ..Progress::default() };
    let refused = port.port.report(&old, &progress).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::LeaseLost);
    assert_eq!(port.find(job(1).id).await.progress, Progress::default());
}
