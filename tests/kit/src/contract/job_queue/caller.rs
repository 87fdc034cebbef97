//! The caller's half.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use portwright_domain::ErrorKind;
use portwright_domain::job::{Backoff, Enqueued, JobId, JobState, NewJob, Outcome};
use portwright_domain::page::{Limit, PageRequest, Rest};
use portwright_domain::ports::job_queue::{Cancelled, JobFilter, QueueStatus, Settled, Verdict};
use portwright_domain::user::UserId;
use uuid::Uuid;

use super::{LONG, Queue, SOON, begin_to_wait, death, done, job, queue, retry_after, want, worker};
use crate::builders::{JobBuilder, a_job, a_user, jobs};
use crate::contract::Fixture;

pub(super) async fn a_job_is_known_as_it_was_asked_for(port: Fixture<dyn Queue>) {
    let user: UserId = a_user().build().id;
    let asked = a_job()
        .at_version(7)
        .in_queue("cpu")
        .with_priority(9)
        .with_payload((0..=255).collect::<Vec<u8>>())
        .with_attempts(4)
        .with_backoff(Backoff::Exponential {
            base: Duration::from_millis(1_500),
            cap: Duration::from_mins(5),
        })
        .with_timeout(Duration::from_millis(2_500))
        .scheduled_for(port.now().plus(Duration::from_hours(1)))
        .unique_by("key")
        .created_by(user)
        .with_trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .build();
    assert_eq!(port.enqueue(&asked).await, Enqueued::New);
    let known = port.find(asked.id).await;
    assert_eq!(known.spec, asked);
    assert_eq!((known.state, known.attempts), (JobState::Scheduled, 0));
    assert_eq!((known.outcome, known.started_at, known.finished_at), (None, None, None));

    port.enqueue(&job(2)).await;
    assert_eq!(port.find(job(2).id).await.spec, job(2));
    assert_eq!(port.state(&job(2)).await, JobState::Ready);
}

pub(super) async fn nothing_is_known_of_a_job_that_never_was(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    assert_eq!(port.port.find(job(2).id).await.expect("find works"), None);
}

pub(super) async fn enqueuing_an_id_again_changes_nothing(port: Fixture<dyn Queue>) {
    let first = a_job().with_payload("first").build();
    let again = a_job().with_payload("again").with_priority(15).build();
    assert_eq!(port.enqueue(&first).await, Enqueued::New);
    assert_eq!(port.enqueue(&again).await, Enqueued::Known);
    assert_eq!(port.find(first.id).await.spec, first);

    let leased = port.start("one").await;
    assert_eq!(port.enqueue(&again).await, Enqueued::Known);
    port.finish(&leased.lease, done()).await;
    assert_eq!(port.enqueue(&again).await, Enqueued::Known);
    assert!(port.lease(&want("one", 1)).await.is_empty(), "it ran once");
}

pub(super) async fn each_job_of_a_batch_is_answered_in_order(port: Fixture<dyn Queue>) {
    port.enqueue(&job(2)).await;
    let holder = JobBuilder::number(3).unique_by("key").build();
    let other = JobBuilder::number(4).unique_by("key").build();
    let batch = [job(1), job(2), job(1), holder.clone(), other.clone()];
    let answers = port.port.enqueue(&batch).await.expect("enqueue works");
    let expected =
        [Enqueued::New, Enqueued::Known, Enqueued::Known, Enqueued::New, Enqueued::Held(holder.id)];
    assert_eq!(answers, expected);
    assert_eq!(port.port.find(other.id).await.expect("find works"), None);
    assert!(port.port.enqueue(&[]).await.expect("an empty batch is fine").is_empty());
}

pub(super) async fn a_batch_is_taken_whole_or_not_at_all(port: Fixture<dyn Queue>) {
    let too_large = JobBuilder::number(2).with_payload(vec![0; NewJob::MAX_PAYLOAD + 1]).build();
    let refused = port.port.enqueue(&[job(1), too_large, job(3)]).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    for number in 1..=3 {
        assert_eq!(port.port.find(job(number).id).await.expect("find works"), None);
    }
    assert!(port.lease(&want("one", 3)).await.is_empty());
}

pub(super) async fn the_largest_payload_is_taken(port: Fixture<dyn Queue>) {
    let largest = a_job().with_payload(vec![7; NewJob::MAX_PAYLOAD]).build();
    assert_eq!(port.enqueue(&largest).await, Enqueued::New);
    assert!(port.start("one").await.job.payload == largest.payload, "it comes back whole");
}

pub(super) async fn a_larger_payload_is_unsupported(port: Fixture<dyn Queue>) {
    let larger = a_job().with_payload(vec![7; NewJob::MAX_PAYLOAD + 1]).build();
    let refused = port.port.enqueue(&[larger]).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}

pub(super) async fn an_unfinished_job_holds_its_unique_key(port: Fixture<dyn Queue>) {
    let holder = JobBuilder::number(1).unique_by("key").build();
    let other = JobBuilder::number(2).unique_by("key").build();
    assert_eq!(port.enqueue(&holder).await, Enqueued::New);
    assert_eq!(port.enqueue(&other).await, Enqueued::Held(holder.id));
    let leased = port.start("one").await;
    assert_eq!(port.enqueue(&other).await, Enqueued::Held(holder.id));
    port.settle(&leased.lease, retry_after(Duration::from_mins(1))).await;
    assert_eq!(port.enqueue(&other).await, Enqueued::Held(holder.id));
    assert_eq!(port.port.find(other.id).await.expect("find works"), None);
}

pub(super) async fn a_finished_job_gives_its_unique_key_back(port: Fixture<dyn Queue>) {
    let unique = |number| JobBuilder::number(number).unique_by("key").build();
    port.enqueue(&unique(1)).await;
    let leased = port.start("one").await;
    port.finish(&leased.lease, done()).await;
    assert_eq!(port.enqueue(&unique(2)).await, Enqueued::New);
    port.port.cancel(unique(2).id).await.expect("cancel works");
    assert_eq!(port.enqueue(&unique(3)).await, Enqueued::New);
}

pub(super) async fn a_unique_key_counts_within_its_task(port: Fixture<dyn Queue>) {
    let here = JobBuilder::number(1).unique_by("key").build();
    let elsewhere = JobBuilder::number(2).of_task("test.other").unique_by("key").build();
    assert_eq!(port.enqueue(&here).await, Enqueued::New);
    assert_eq!(port.enqueue(&elsewhere).await, Enqueued::New);
}

pub(super) async fn an_outcome_is_answered_at_once_when_it_is_there(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let leased = port.start("one").await;
    port.finish(&leased.lease, done()).await;
    for wait in [Duration::ZERO, LONG] {
        let outcome = tokio::time::timeout(SOON, port.port.outcome(job(1).id, wait)).await;
        assert_eq!(outcome.expect("at once").expect("outcome works"), Some(done()));
    }
}

pub(super) async fn whoever_waits_for_an_outcome_is_woken_by_it(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let leased = port.start("one").await;
    let mut first = pin!(port.port.outcome(job(1).id, LONG));
    let mut second = pin!(port.port.outcome(job(1).id, LONG));
    begin_to_wait(first.as_mut()).await;
    begin_to_wait(second.as_mut()).await;
    port.finish(&leased.lease, done()).await;
    for waiting in [first, second] {
        let outcome = tokio::time::timeout(SOON, waiting).await.expect("it was woken");
        assert_eq!(outcome.expect("outcome works"), Some(done()));
    }
}

pub(super) async fn waiting_for_an_outcome_comes_to_an_end(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    for wait in [Duration::ZERO, Duration::from_millis(20)] {
        assert_eq!(port.port.outcome(job(1).id, wait).await.expect("outcome works"), None);
    }
}

pub(super) async fn an_unknown_job_has_no_outcome(port: Fixture<dyn Queue>) {
    let wait = Duration::from_millis(20);
    assert_eq!(port.port.outcome(job(1).id, wait).await.expect("outcome works"), None);
}

/// Five jobs, one a second: the last is the newest.
async fn five_jobs(port: &Fixture<dyn Queue>) -> Vec<JobId> {
    for job in jobs(5) {
        port.enqueue(&job).await;
        port.advance(Duration::from_secs(1)).await;
    }
    jobs(5).iter().rev().map(|job| job.id).collect()
}

fn numbered(page: u32, rows: u64) -> PageRequest {
    PageRequest::Numbered { page, limit: Limit::parse(rows).expect("within bounds") }
}

async fn listed(port: &Fixture<dyn Queue>, filter: &JobFilter) -> HashSet<JobId> {
    let page = port.port.list(filter, &numbered(1, 100)).await.expect("list works");
    page.rows.into_iter().map(|job| job.spec.id).collect()
}

pub(super) async fn a_list_is_newest_first(port: Fixture<dyn Queue>) {
    let newest_first = five_jobs(&port).await;
    for (number, expected) in
        [(1, &newest_first[..2]), (2, &newest_first[2..4]), (3, &newest_first[4..]), (4, &[])]
    {
        let page = port.port.list(&JobFilter::default(), &numbered(number, 2)).await.expect("list works");
        let ids: Vec<JobId> = page.rows.iter().map(|job| job.spec.id).collect();
        assert_eq!(ids, expected, "page {number}");
        assert_eq!(page.rest, Rest::Total(5));
    }
}

pub(super) async fn a_list_shows_jobs_that_meet_every_condition(port: Fixture<dyn Queue>) {
    let (plain, other) = (job(1), JobBuilder::number(2).of_task("test.other").build());
    let elsewhere = JobBuilder::number(3).in_queue("cpu").build();
    let running = JobBuilder::number(4).with_priority(15).build();
    for job in [&plain, &other, &elsewhere, &running] {
        port.enqueue(job).await;
    }
    port.start("one").await;

    let state = |state| JobFilter { state: Some(state), ..JobFilter::default() };
    let all = HashSet::from([plain.id, other.id, elsewhere.id, running.id]);
    assert_eq!(listed(&port, &JobFilter::default()).await, all);
    assert_eq!(listed(&port, &state(JobState::Running)).await, HashSet::from([running.id]));
    assert!(listed(&port, &state(JobState::Dead)).await.is_empty());
    let of_task = JobFilter { task: Some(other.task.clone()), ..JobFilter::default() };
    assert_eq!(listed(&port, &of_task).await, HashSet::from([other.id]));
    let in_queue = JobFilter { queue: Some(queue("cpu")), ..JobFilter::default() };
    assert_eq!(listed(&port, &in_queue).await, HashSet::from([elsewhere.id]));
    let both = JobFilter { task: Some(other.task.clone()), queue: Some(queue("cpu")), state: None };
    assert!(listed(&port, &both).await.is_empty());
}

pub(super) async fn a_walk_meets_every_job_exactly_once(port: Fixture<dyn Queue>) {
    let newest_first = five_jobs(&port).await;
    let (mut walked, mut after) = (Vec::new(), None);
    loop {
        let page = PageRequest::Walk { after, limit: Limit::parse(2).expect("within bounds") };
        let page = port.port.list(&JobFilter::default(), &page).await.expect("list works");
        walked.extend(page.rows.iter().map(|job| job.spec.id));
        // What comes meanwhile is newer than the start of the walk.
        port.enqueue(&JobBuilder::number(100 + u32::try_from(walked.len()).expect("few")).build()).await;
        match page.rest {
            Rest::Next(Some(next)) => after = Some(next),
            Rest::Next(None) => break,
            Rest::Total(_) => panic!("a walk has no total"),
        }
    }
    assert_eq!(walked, newest_first);
}

pub(super) async fn a_cancelled_job_that_waits_never_starts(port: Fixture<dyn Queue>) {
    let minute = Duration::from_mins(1);
    let scheduled = JobBuilder::number(2).scheduled_for(port.now().plus(minute)).build();
    for job in [&job(1), &scheduled] {
        port.enqueue(job).await;
        assert_eq!(port.port.cancel(job.id).await.expect("cancel works"), Cancelled::Prevented);
        assert_eq!(port.state(job).await, JobState::Cancelled);
        let outcome = port.port.outcome(job.id, Duration::ZERO).await.expect("outcome works");
        assert_eq!(outcome, Some(Outcome::Cancelled));
    }
    port.advance(minute).await;
    assert!(port.lease(&want("one", 2)).await.is_empty());
}

pub(super) async fn a_cancelled_job_that_runs_is_told_and_ends_cancelled(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let leased = port.start("one").await;
    for _ in 0..2 {
        assert_eq!(port.port.cancel(job(1).id).await.expect("cancel works"), Cancelled::Requested);
    }
    assert_eq!(port.state(&job(1)).await, JobState::Running);
    let renewal = port.port.renew(&worker("one"), super::LEASE).await.expect("renew works");
    assert_eq!(renewal.cancelled, [job(1).id]);
    port.finish(&leased.lease, Outcome::Cancelled).await;
    assert_eq!(port.state(&job(1)).await, JobState::Cancelled);
}

pub(super) async fn a_cancelled_job_that_finishes_first_has_finished(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let leased = port.start("one").await;
    port.port.cancel(job(1).id).await.expect("cancel works");
    port.finish(&leased.lease, done()).await;
    assert_eq!(port.find(job(1).id).await.outcome, Some(done()));
}

pub(super) async fn a_cancelled_job_is_not_run_again(port: Fixture<dyn Queue>) {
    for (number, verdict) in [(1, retry_after(Duration::ZERO)), (2, Verdict::Release)] {
        port.enqueue(&job(number)).await;
        let leased = port.start("one").await;
        port.port.cancel(job(number).id).await.expect("cancel works");
        assert_eq!(port.settle(&leased.lease, verdict).await, Settled::Accepted);
        assert_eq!(port.state(&job(number)).await, JobState::Cancelled);
    }
    port.enqueue(&job(3)).await;
    port.start("one").await;
    port.port.cancel(job(3).id).await.expect("cancel works");
    port.all_workers_die().await;
    assert_eq!(port.state(&job(3)).await, JobState::Cancelled);
    assert!(port.lease(&want("one", 3)).await.is_empty());
}

pub(super) async fn cancelling_what_has_ended_is_too_late(port: Fixture<dyn Queue>) {
    port.enqueue(&job(1)).await;
    let leased = port.start("one").await;
    port.finish(&leased.lease, done()).await;
    assert_eq!(port.port.cancel(job(1).id).await.expect("cancel works"), Cancelled::TooLate);
    assert_eq!(port.find(job(1).id).await.outcome, Some(done()));
}

pub(super) async fn cancelling_what_is_unknown_says_so(port: Fixture<dyn Queue>) {
    let unknown = JobId(Uuid::nil());
    assert_eq!(port.port.cancel(unknown).await.expect("cancel works"), Cancelled::Unknown);
}

pub(super) async fn a_retried_job_is_ready_with_all_its_attempts(port: Fixture<dyn Queue>) {
    let endings =
        [Outcome::Failed(Bytes::from_static(b"no")), Outcome::Dead(death("no")), Outcome::Cancelled];
    for (number, ending) in (1..).zip(endings) {
        let once = JobBuilder::number(number).with_attempts(1).build();
        port.enqueue(&once).await;
        let leased = port.start("one").await;
        port.finish(&leased.lease, ending).await;

        assert!(port.port.retry(once.id).await.expect("retry works"));
        let known = port.find(once.id).await;
        assert_eq!((known.state, known.outcome, known.finished_at), (JobState::Ready, None, None));
        assert_eq!(port.port.outcome(once.id, Duration::ZERO).await.expect("outcome works"), None);
        let again = port.start("one").await;
        assert_eq!((again.lease.job, again.attempt), (once.id, 1));
        assert!(again.lease.run > leased.lease.run, "the fencing token only goes up");
        port.finish(&again.lease, done()).await;
    }
}

pub(super) async fn only_a_failed_dead_or_cancelled_job_is_retried(port: Fixture<dyn Queue>) {
    assert!(!port.port.retry(job(1).id).await.expect("retry works"), "unknown");
    port.enqueue(&job(1)).await;
    assert!(!port.port.retry(job(1).id).await.expect("retry works"), "ready");
    let leased = port.start("one").await;
    assert!(!port.port.retry(job(1).id).await.expect("retry works"), "running");
    port.finish(&leased.lease, done()).await;
    assert!(!port.port.retry(job(1).id).await.expect("retry works"), "succeeded");
    assert_eq!(port.find(job(1).id).await.outcome, Some(done()));
}

pub(super) async fn a_job_whose_unique_key_is_held_by_another_is_not_retried(port: Fixture<dyn Queue>) {
    let unique = |number| JobBuilder::number(number).unique_by("key").build();
    port.enqueue(&unique(1)).await;
    port.port.cancel(unique(1).id).await.expect("cancel works");
    port.enqueue(&unique(2)).await;
    let refused = port.port.retry(unique(1).id).await.expect_err("the key is held");
    assert!(refused.conflicts_on("jobs.unique"), "{refused}");
    port.port.cancel(unique(2).id).await.expect("cancel works");
    assert!(port.port.retry(unique(1).id).await.expect("the key is free"));
    assert_eq!(port.enqueue(&unique(3)).await, Enqueued::Held(unique(1).id));
}

async fn status(port: &Fixture<dyn Queue>, name: &str) -> Option<QueueStatus> {
    let queues = port.port.queues().await.expect("queues works");
    queues.into_iter().find(|status| status.name == queue(name))
}

pub(super) async fn every_queue_with_a_job_or_paused_is_seen(port: Fixture<dyn Queue>) {
    assert!(port.port.queues().await.expect("queues works").is_empty());
    port.enqueue(&a_job().in_queue("cpu").build()).await;
    port.port.set_paused(&queue("mail"), true).await.expect("set_paused works");
    let queues = port.port.queues().await.expect("queues works");
    let seen: HashSet<(String, bool)> =
        queues.into_iter().map(|status| (status.name.as_str().to_owned(), status.paused)).collect();
    assert_eq!(seen, HashSet::from([("cpu".to_owned(), false), ("mail".to_owned(), true)]));
}

pub(super) async fn a_queue_counts_jobs_by_where_they_stand(port: Fixture<dyn Queue>) {
    for job in jobs(5) {
        port.enqueue(&job).await;
    }
    let later = JobBuilder::number(6).scheduled_for(port.now().plus(Duration::from_hours(1))).build();
    port.enqueue(&later).await;
    let leased = port.lease(&want("one", 3)).await;
    port.finish(&leased[0].lease, Outcome::Dead(death("no"))).await;
    port.finish(&leased[1].lease, done()).await;
    port.advance(Duration::from_mins(1)).await;

    let status = status(&port, "default").await.expect("it has jobs");
    let counts = (status.scheduled, status.ready, status.running, status.dead);
    assert_eq!(counts, (1, 2, 1, 1));
    let oldest = status.oldest_ready.expect("jobs are ready");
    assert!(oldest >= Duration::from_mins(1) && oldest < Duration::from_mins(2), "{oldest:?}");
}

pub(super) async fn a_paused_queue_takes_jobs_and_starts_none(port: Fixture<dyn Queue>) {
    let elsewhere = JobBuilder::number(2).in_queue("cpu").build();
    for _ in 0..2 {
        port.port.set_paused(&queue("default"), true).await.expect("set_paused works");
    }
    assert_eq!(port.enqueue(&job(1)).await, Enqueued::New);
    port.enqueue(&elsewhere).await;
    assert_eq!(super::ids(&port.lease(&want("one", 2)).await), [elsewhere.id]);
    assert!(status(&port, "default").await.expect("it is paused").paused);

    for _ in 0..2 {
        port.port.set_paused(&queue("default"), false).await.expect("set_paused works");
    }
    assert_eq!(port.start("two").await.lease.job, job(1).id);
}
