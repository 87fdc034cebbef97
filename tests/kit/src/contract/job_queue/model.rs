//! A queue against a model of it: whatever is asked of them, both answer the same.

use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::job::{
    CauseOfDeath, Death, Job, Lease, NewJob, Outcome, Progress, QueueName, Unwatched, WorkerId,
};
use portwright_domain::ports::Clock;
use portwright_domain::ports::job_queue::{LeaseRequest, Limits, Retention, Settlement, Verdict};
use proptest::prelude::*;

use super::Queue;
use crate::ManualClock;
use crate::builders::JobBuilder;

/// The limits of both: small enough to meet.
pub const LIMITS: Limits = Limits {
    waiting: 8,
    succeeded: Retention { jobs: 3, age: Duration::from_mins(10) },
    unsuccessful: Retention { jobs: 2, age: Duration::from_hours(1) },
};

/// Jobs, workers and leases are known by small numbers, so that steps meet.
#[derive(Debug, Clone)]
enum Step {
    Enqueue { number: u32, priority: u8, delay: u64, unique: bool, queue: bool },
    Lease { worker: u8, max: u32 },
    Settle { lease: usize, how: u8 },
    Report { lease: usize, done: u64 },
    Renew { worker: u8 },
    Bury { worker: u8 },
    Reclaim,
    Cancel { number: u32 },
    Retry { number: u32 },
    Pause { paused: bool },
    Advance { seconds: u64, watched: bool },
}

/// What is asked, one after the other.
#[derive(Debug, Clone)]
pub struct Steps(Vec<Step>);

/// Any steps that may be taken.
pub fn steps() -> impl Strategy<Value = Steps> {
    prop::collection::vec(step(), 1..60).prop_map(Steps)
}

fn step() -> impl Strategy<Value = Step> {
    let (number, worker, lease) = (1..12_u32, 0..3_u8, 0..6_usize);
    prop_oneof![
        6 => (number.clone(), 0..16_u8, prop_oneof![3 => Just(0), 1 => 1..90_u64], any::<bool>(), any::<bool>()).prop_map(
            |(number, priority, delay, unique, queue)| Step::Enqueue { number, priority, delay, unique, queue }
        ),
        6 => (worker.clone(), 1..4_u32).prop_map(|(worker, max)| Step::Lease { worker, max }),
        6 => (lease.clone(), 0..8_u8).prop_map(|(lease, how)| Step::Settle { lease, how }),
        1 => (lease, 0..9_u64).prop_map(|(lease, done)| Step::Report { lease, done }),
        1 => worker.clone().prop_map(|worker| Step::Renew { worker }),
        2 => worker.prop_map(|worker| Step::Bury { worker }),
        2 => Just(Step::Reclaim),
        1 => number.clone().prop_map(|number| Step::Cancel { number }),
        2 => number.prop_map(|number| Step::Retry { number }),
        1 => any::<bool>().prop_map(|paused| Step::Pause { paused }),
        2 => (1..50_u64, prop::bool::weighted(0.7)).prop_map(|(seconds, watched)| Step::Advance { seconds, watched }),
    ]
}

fn worker(number: u8) -> WorkerId {
    WorkerId::parse(&format!("worker-{number}")).expect("a name")
}

fn want(number: u8, max: u32) -> LeaseRequest {
    LeaseRequest {
        worker: worker(number),
        tasks: vec![(JobBuilder::number(1).build().task, 1)],
        queues: Vec::new(),
        max,
        lease: Duration::from_secs(30),
        wait: Duration::ZERO,
    }
}

fn verdict(how: u8) -> Verdict {
    let death = Death { cause: CauseOfDeath::TimedOut, detail: "on cue".to_owned() };
    match how {
        0 | 1 => Verdict::Finish(Outcome::Succeeded("result".into())),
        2 => Verdict::Finish(Outcome::Failed("error".into())),
        3 => Verdict::Finish(Outcome::Dead(death)),
        4 => Verdict::Finish(Outcome::Cancelled),
        5 => Verdict::Retry { delay: Duration::ZERO, death },
        6 => Verdict::Retry { delay: Duration::from_secs(20), death },
        _ => Verdict::Release,
    }
}

fn job(step: &Step, now: Timestamp) -> NewJob {
    let &Step::Enqueue { number, priority, delay, unique, queue } = step else {
        unreachable!("only this step has a job");
    };
    let mut job = JobBuilder::number(number).with_priority(priority).with_attempts(2);
    if delay > 0 {
        job = job.scheduled_for(now.plus(Duration::from_secs(delay)));
    }
    if unique {
        job = job.unique_by("key");
    }
    if queue {
        job = job.in_queue("other");
    }
    job.build()
}

/// What a queue answers to a step, in words; leases that it gives go to the end of the list, which keeps the last few.
async fn take(queue: &dyn Queue, step: &Step, known: &mut Vec<Lease>, now: Timestamp) -> String {
    let lease_at = |index: usize| known.get(index).cloned();
    match *step {
        Step::Enqueue { .. } => {
            let answer = queue.enqueue(&[job(step, now)]).await;
            format!("{:?}", answer.map_err(|error| error.kind()))
        }
        Step::Lease { worker, max } => {
            let leased = queue.exchange(&[], &want(worker, max)).await.expect("exchange works").leased;
            known.splice(0..0, leased.iter().map(|leased| leased.lease.clone()));
            known.truncate(6);
            format!("{leased:?}")
        }
        Step::Settle { lease, how } => {
            let Some(lease) = lease_at(lease) else { return String::new() };
            let settle = [Settlement { lease, verdict: verdict(how) }];
            format!("{:?}", queue.exchange(&settle, &want(0, 0)).await.expect("exchange works").settled)
        }
        Step::Report { lease, done } => {
            let Some(lease) = lease_at(lease) else { return String::new() };
            let report = queue.report(&lease, &Progress { done, ..Progress::default() }).await;
            format!("{:?}", report.map_err(|error| error.kind()))
        }
        Step::Renew { worker: number } => {
            let mut renewal =
                queue.renew(&worker(number), Duration::from_secs(30)).await.expect("renew works");
            renewal.held.sort_by_key(|lease| lease.job);
            renewal.cancelled.sort();
            format!("{renewal:?}")
        }
        Step::Bury { worker: number } => {
            format!("{:?}", queue.bury(&worker(number)).await.expect("bury works"))
        }
        Step::Reclaim => format!("{:?}", queue.reclaim().await.expect("reclaim works")),
        Step::Cancel { number } => {
            let id = JobBuilder::number(number).build().id;
            format!("{:?}", queue.cancel(id).await.expect("cancel works"))
        }
        Step::Retry { number } => {
            let id = JobBuilder::number(number).build().id;
            format!("{:?}", queue.retry(id).await.map_err(|error| error.kind()))
        }
        Step::Pause { paused } => {
            let other = QueueName::parse("other").expect("a name");
            format!("{:?}", queue.set_paused(&other, paused).await.expect("set_paused works"))
        }
        Step::Advance { .. } => String::new(),
    }
}

/// Everything that the queue shows.
async fn picture(queue: &dyn Queue) -> (Vec<Option<Job>>, String) {
    let (mut jobs, mut removed) = (Vec::new(), Vec::new());
    for number in 1..12 {
        let id = JobBuilder::number(number).build().id;
        jobs.push(queue.find(id).await.expect("find works"));
        removed.push(queue.removed(id).await.expect("removed works"));
    }
    let mut queues = queue.queues().await.expect("queues works");
    queues.sort_by(|a, b| a.name.cmp(&b.name));
    (jobs, format!("{queues:?} {removed:?}"))
}

/// Takes these steps with a queue and with a model of it, both of which go by this clock; panics where they differ.
/// After each step, `check` may look at the queue.
pub async fn compare(
    queue: &dyn Queue,
    model: &dyn Queue,
    clock: &ManualClock,
    steps: &Steps,
    mut check: impl FnMut(),
) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (place, step) in steps.0.iter().enumerate() {
        if let &Step::Advance { seconds, watched } = step {
            let (mut left, whole) = (Duration::from_secs(seconds), Duration::from_secs(seconds));
            while !left.is_zero() {
                let step = left.min(if watched { Unwatched::LONGEST_BLINK } else { whole });
                clock.advance(step);
                left -= step;
                // Until something is asked of it, a queue need not notice.
                for queue in [queue, model] {
                    queue.reclaim().await.expect("reclaim works");
                }
            }
        }
        // No two steps happen at the same time, so that there is one order in which jobs ended.
        clock.advance(Duration::from_micros(1));
        let now = clock.now();
        let answer = take(queue, step, &mut ours, now).await;
        assert_eq!(answer, take(model, step, &mut theirs, now).await, "step {place}: {step:?}");
        assert_eq!(picture(queue).await, picture(model).await, "after step {place}: {step:?}");
        check();
    }
}
