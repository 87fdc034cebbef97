//! What every queue promises: both halves, since one is worth nothing without the other.
//!
//! - `caller`: what whoever wants work done may rely on.
//! - `worker`: how jobs are leased and settled.
//! - `waiting`: for an end, for a job, and giving it up; and asking at the same time.
//! - `following`: a job, change by change.
//! - `recovery`: what becomes of the jobs of a worker that is gone.
//! - `limits`: what a queue takes, and what it keeps; a suite of its own, on a queue with small [`limits::LIMITS`].
//! - `model`: any steps at all, compared with those of another queue.

mod caller;
mod following;
pub mod limits;
pub mod model;
mod recovery;
mod waiting;
mod worker;

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use portwright_domain::job::{
    CauseOfDeath, Death, Enqueued, Job, JobId, JobState, Lease, LeasedJob, NewJob, Outcome, QueueName,
    TaskName, Unwatched, WorkerId,
};
use portwright_domain::ports::job_queue::{LeaseRequest, Settled, Settlement, Verdict};
use portwright_domain::ports::{JobQueue, JobSource};

use crate::builders::JobBuilder;
use crate::contract::Fixture;

/// Both halves of a queue.
pub trait Queue: JobQueue + JobSource {}

impl<Q: JobQueue + JobSource> Queue for Q {}

contract! {
    /// Every promise of [`JobQueue`](portwright_domain::ports::JobQueue) and
    /// [`JobSource`](portwright_domain::ports::JobSource), as a test of its own, given an async function that makes a
    /// `Fixture<dyn Queue>` with a clock.
    job_queue_contract => job_queue::PROMISES: Fixture<dyn Queue> {
        caller::{
            a_job_is_known_as_it_was_asked_for,
            nothing_is_known_of_a_job_that_never_was,
            enqueuing_an_id_again_changes_nothing,
            each_job_of_a_batch_is_answered_in_order,
            a_batch_is_taken_whole_or_not_at_all,
            the_largest_payload_is_taken,
            a_larger_payload_is_unsupported,
            an_unfinished_job_holds_its_unique_key,
            a_finished_job_gives_its_unique_key_back,
            a_unique_key_counts_within_its_task,
            an_outcome_is_answered_at_once_when_it_is_there,
            whoever_waits_for_an_outcome_is_woken_by_it,
            waiting_for_an_outcome_comes_to_an_end,
            an_unknown_job_has_no_outcome,
            a_list_is_newest_first,
            a_list_shows_jobs_that_meet_every_condition,
            a_walk_meets_every_job_exactly_once,
            a_cancelled_job_that_waits_never_starts,
            a_cancelled_job_that_runs_is_told_and_ends_cancelled,
            a_cancelled_job_that_finishes_first_has_finished,
            a_cancelled_job_is_not_run_again,
            cancelling_what_has_ended_is_too_late,
            cancelling_what_is_unknown_says_so,
            a_retried_job_is_ready_with_all_its_attempts,
            only_a_failed_dead_or_cancelled_job_is_retried,
            a_job_whose_unique_key_is_held_by_another_is_not_retried,
            every_queue_with_a_job_or_paused_is_seen,
            a_queue_counts_jobs_by_where_they_stand,
            a_paused_queue_takes_jobs_and_starts_none,
        },
        worker::{
            a_job_is_leased_as_it_was_asked_for,
            a_leased_job_is_not_leased_again,
            many_workers_at_once_never_share_a_job,
            the_highest_priority_comes_first_then_the_oldest,
            a_low_priority_is_not_passed_over_for_ever,
            only_wanted_tasks_are_leased,
            only_readable_versions_are_leased,
            only_served_queues_are_leased_from,
            no_more_than_the_free_places_are_leased,
            a_scheduled_job_waits_for_its_time,
            whoever_waits_for_a_job_is_woken_by_it,
            waiting_for_a_job_comes_to_an_end,
            without_free_places_an_exchange_only_settles,
            an_exchange_settles_before_it_leases,
            a_settlement_with_nothing_ready_is_answered_at_once,
            every_outcome_is_recorded_as_given,
            a_result_that_is_too_large_is_a_death,
            settlements_are_answered_in_order,
            settling_again_is_accepted_again,
            every_lease_has_a_higher_run,
            a_lost_lease_settles_nothing,
            a_late_failure_does_not_overwrite_a_success,
            nobody_settles_the_lease_of_another,
            a_job_to_be_tried_again_waits_for_its_delay,
            a_job_without_attempts_left_is_dead_of_its_last_try,
            a_released_job_is_first_and_its_start_does_not_count,
            progress_is_recorded,
            progress_under_a_lost_lease_is_refused,
        },
        waiting::{
            a_call_is_answered_with_the_outcome,
            a_call_that_takes_too_long_leaves_its_job,
            a_call_of_a_known_job_waits_for_that_job,
            a_call_waits_for_the_holder_of_its_unique_key,
            many_calls_at_once_are_each_told_their_own_outcome,
            enqueuing_one_id_a_thousand_times_at_once_is_one_job,
            of_a_cancelling_and_an_end_at_once_one_wins,
            whoever_waits_for_a_job_is_woken_by_all_that_makes_one_ready,
            a_job_for_a_worker_that_went_away_is_for_another,
        },
        following::{
            a_job_that_differs_already_is_answered_at_once,
            whoever_follows_a_job_is_woken_by_its_start,
            whoever_follows_a_job_is_woken_by_its_progress,
            whoever_follows_a_job_is_woken_by_every_end,
            whoever_follows_a_job_is_woken_when_it_is_tried_again,
            whoever_follows_a_job_is_woken_by_its_cancelling,
            whoever_follows_a_job_is_woken_when_its_worker_is_gone,
            a_job_of_which_nothing_is_known_any_more_is_none,
            a_job_that_does_not_change_is_answered_as_it_was_seen,
            all_who_follow_one_job_are_woken,
            an_end_between_the_look_and_the_wait_is_not_missed,
            following_a_job_meets_its_last_state,
        },
        recovery::{
            a_renewed_lease_keeps_all_jobs_of_its_worker,
            an_exchange_renews_the_lease,
            a_renewal_tells_what_is_held_and_what_was_cancelled,
            an_unknown_worker_holds_nothing,
            a_lease_that_has_not_ended_is_not_reclaimed,
            an_ended_lease_is_reclaimed_and_its_jobs_are_suspect,
            no_lease_ends_in_time_that_nobody_watched,
            a_worker_that_does_not_come_back_loses_its_jobs_soon,
            an_outage_of_the_queue_is_nobodys_crash,
            a_suspect_is_leased_alone,
            a_buried_worker_gives_back_its_own_jobs_at_once,
            a_reclaimed_job_is_lost_to_its_worker,
            a_job_that_crashes_alone_is_dead_after_the_third_time,
            strikes_are_forgotten_after_three_days,
            who_crashed_among_others_is_not_to_blame,
            reclaiming_twice_at_once_gives_back_each_job_once,
            a_job_that_no_worker_serves_is_dead_after_a_day,
            a_clock_that_jumps_ends_no_job_that_waits,
            a_job_that_is_served_waits_as_long_as_it_takes,
        },
    }
}

contract! {
    /// What a queue with the [`LIMITS`](crate::contract::job_queue::limits::LIMITS) of this suite takes and keeps, given
    /// an async function that makes a `Fixture<dyn Queue>` with a clock.
    job_queue_limits_contract => job_queue::LIMIT_PROMISES: Fixture<dyn Queue> {
        limits::{
            a_full_queue_takes_no_more_and_loses_nothing,
            scheduled_jobs_take_room_too,
            the_last_places_are_for_urgent_jobs,
            what_was_taken_is_never_refused_later,
            finished_jobs_are_kept_by_number_each_end_for_itself,
            finished_jobs_are_kept_by_age,
            a_removed_job_is_remembered_for_a_day,
            a_job_that_is_tried_again_is_kept,
            whoever_waits_is_told_even_if_nothing_is_kept,
            whoever_follows_a_job_is_woken_by_its_removal,
        },
    }
}

/// How long leases last here.
const LEASE: Duration = Duration::from_secs(30);
/// A wait whose end no check sees, because a wake-up comes before.
const LONG: Duration = Duration::from_secs(20);
/// How soon a wake-up has come, on the slowest machine.
const SOON: Duration = Duration::from_secs(10);

fn worker(name: &str) -> WorkerId {
    WorkerId::parse(name).expect("a valid name")
}

fn queue(name: &str) -> QueueName {
    QueueName::parse(name).expect("a valid name")
}

fn task(name: &str) -> TaskName {
    TaskName::parse(name).expect("a valid name")
}

fn job(number: u32) -> NewJob {
    JobBuilder::number(number).build()
}

fn death(detail: &str) -> Death {
    Death { cause: CauseOfDeath::Error, detail: detail.to_owned() }
}

fn done() -> Outcome {
    Outcome::Succeeded(Bytes::from_static(b"done"))
}

fn retry_after(delay: Duration) -> Verdict {
    Verdict::Retry { delay, death: death("it did not work") }
}

/// What a worker asks for that runs every task of these checks, from all queues, and does not wait.
fn want(name: &str, max: u32) -> LeaseRequest {
    LeaseRequest {
        worker: worker(name),
        tasks: vec![(task("test.echo"), 1), (task("test.other"), 1)],
        queues: Vec::new(),
        max,
        lease: LEASE,
        wait: Duration::ZERO,
    }
}

fn ids(leased: &[LeasedJob]) -> Vec<JobId> {
    leased.iter().map(|leased| leased.lease.job).collect()
}

impl Fixture<dyn Queue> {
    async fn enqueue(&self, job: &NewJob) -> Enqueued {
        self.port.enqueue(std::slice::from_ref(job)).await.expect("enqueue works")[0]
    }

    async fn find(&self, id: JobId) -> Job {
        self.port.find(id).await.expect("find works").expect("the job is known")
    }

    async fn state(&self, job: &NewJob) -> JobState {
        self.find(job.id).await.state
    }

    async fn lease(&self, want: &LeaseRequest) -> Vec<LeasedJob> {
        self.port.exchange(&[], want).await.expect("exchange works").leased
    }

    /// The one job that this worker gets.
    async fn start(&self, name: &str) -> LeasedJob {
        let mut leased = self.lease(&want(name, 1)).await;
        leased.pop().expect("a job is ready")
    }

    async fn settle(&self, lease: &Lease, verdict: Verdict) -> Settled {
        let settlement = Settlement { lease: lease.clone(), verdict };
        let only_settle = want(lease.worker.as_str(), 0);
        self.port.exchange(&[settlement], &only_settle).await.expect("exchange works").settled[0]
    }

    async fn finish(&self, lease: &Lease, outcome: Outcome) {
        assert_eq!(self.settle(lease, Verdict::Finish(outcome)).await, Settled::Accepted);
    }

    /// Time passes in which somebody looks for ended leases; how many jobs were given back.
    async fn watch(&self, time: Duration) -> u64 {
        let (mut given_back, mut left) = (0, time);
        while !left.is_zero() {
            let step = left.min(Unwatched::LONGEST_BLINK);
            self.advance(step).await;
            given_back += self.port.reclaim().await.expect("reclaim works");
            left -= step;
        }
        given_back
    }

    /// The lease of every worker ends that does not renew it, and the sweep finds it.
    async fn all_workers_die(&self) -> u64 {
        self.watch(LEASE).await
    }
}

/// Polls once, so that whatever waits does so from now on.
async fn begin_to_wait<F: Future>(waiting: Pin<&mut F>) {
    let mut waiting = Some(waiting);
    let pending = std::future::poll_fn(|context| {
        let waiting = waiting.as_mut().map(Pin::as_mut);
        Poll::Ready(waiting.is_some_and(|waiting| waiting.poll(context).is_pending()))
    });
    assert!(pending.await, "there is something to wait for");
}
