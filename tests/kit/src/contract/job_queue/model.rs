//! A queue against a model of it: whatever is asked of them, both answer the same.

use std::future::poll_fn;
use std::task::Poll;
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
    Outcome { number: u32 },
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
        2 => number.clone().prop_map(|number| Step::Retry { number }),
        1 => number.prop_map(|number| Step::Outcome { number }),
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

/// The leases that a queue gave, of which the latest few count, the last one first.
type Leases = Vec<Lease>;

fn learn(known: &mut Leases, given: Leases) {
    known.splice(0..0, given);
    known.truncate(6);
}

/// What a queue answers to a step, in words, and the leases that it gives.
async fn take(queue: &dyn Queue, step: &Step, known: &Leases, now: Timestamp) -> (String, Leases) {
    let mut given = Vec::new();
    let lease_at = |index: usize| known.get(index).cloned();
    let answer = match *step {
        Step::Enqueue { .. } => {
            let answer = queue.enqueue(&[job(step, now)]).await;
            format!("{:?}", answer.map_err(|error| error.kind()))
        }
        Step::Lease { worker, max } => {
            let leased = queue.exchange(&[], &want(worker, max)).await.expect("exchange works").leased;
            given = leased.iter().map(|leased| leased.lease.clone()).collect();
            format!("{leased:?}")
        }
        Step::Settle { lease, how } => {
            let Some(lease) = lease_at(lease) else { return <(String, Leases)>::default() };
            let settle = [Settlement { lease, verdict: verdict(how) }];
            format!("{:?}", queue.exchange(&settle, &want(0, 0)).await.expect("exchange works").settled)
        }
        Step::Report { lease, done } => {
            let Some(lease) = lease_at(lease) else { return <(String, Leases)>::default() };
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
        Step::Outcome { number } => {
            let id = JobBuilder::number(number).build().id;
            format!("{:?}", queue.outcome(id, Duration::ZERO).await.expect("outcome works"))
        }
        Step::Advance { .. } => String::new(),
    };
    (answer, given)
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

/// Lets as much time pass for both, whether somebody looks after them meanwhile or not.
async fn advance(queue: &dyn Queue, model: &dyn Queue, clock: &ManualClock, step: &Step) {
    let &Step::Advance { seconds, watched } = step else { return };
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

/// Takes these steps with a queue and with a model of it, both of which go by this clock; panics where they differ.
/// After each step, `check` may look at the queue.
pub async fn compare(
    queue: &dyn Queue,
    model: &dyn Queue,
    clock: &ManualClock,
    steps: &Steps,
    mut check: impl FnMut(),
) {
    let mut known = Leases::new();
    for (place, step) in steps.0.iter().enumerate() {
        advance(queue, model, clock, step).await;
        // No two steps happen at the same time, so that there is one order in which jobs ended.
        clock.advance(Duration::from_micros(1));
        let now = clock.now();
        let (answer, given) = take(queue, step, &known, now).await;
        let (expected, _) = take(model, step, &known, now).await;
        assert_eq!(answer, expected, "step {place}: {step:?}");
        learn(&mut known, given);
        assert_eq!(picture(queue).await, picture(model).await, "after step {place}: {step:?}");
        check();
    }
}

/// The same, but whatever comes between two steps that let time pass is asked of the queue at once, in its order, and of
/// the model one by one. For limits that are not met: of what ends at the same time, either may be removed first.
pub async fn compare_at_once(
    queue: &dyn Queue,
    model: &dyn Queue,
    clock: &ManualClock,
    steps: &Steps,
    mut check: impl FnMut(),
) {
    let mut known = Leases::new();
    for together in steps.0.chunk_by(|_, next| !matches!(next, Step::Advance { .. })) {
        advance(queue, model, clock, &together[0]).await;
        let together = &in_order(together);
        clock.advance(Duration::from_micros(1));
        let now = clock.now();
        let answers = at_once(together.iter().map(|step| take(queue, step, &known, now))).await;
        let mut given = Leases::new();
        for (step, (answer, leases)) in together.iter().zip(answers) {
            assert_eq!(answer, take(model, step, &known, now).await.0, "{step:?} of {together:#?}");
            learn(&mut given, leases);
        }
        learn(&mut known, given);
        assert_eq!(picture(queue).await, picture(model).await, "after {together:#?}");
        check();
    }
}

/// The same steps without those that leave open which of two jobs, ready since the same time, is first: new jobs come in
/// the order of their ids, and none beside one that is tried again.
fn in_order(steps: &[Step]) -> Vec<Step> {
    let number_of = |step: &Step| match *step {
        Step::Enqueue { number, .. } => Some(number),
        _ => None,
    };
    let mut new: Vec<&Step> = steps.iter().filter(|step| number_of(step).is_some()).collect();
    new.sort_by_key(|step| number_of(step));
    let mut new = new.into_iter();
    let first_retry = steps.iter().position(|step| matches!(step, Step::Retry { .. }));
    let next = |(place, step): (usize, &Step)| match step {
        Step::Enqueue { .. } => new.next().filter(|_| first_retry.is_none()).cloned(),
        Step::Retry { .. } => (Some(place) == first_retry).then(|| step.clone()),
        _ => Some(step.clone()),
    };
    steps.iter().enumerate().filter_map(next).collect()
}

/// What all of these answer, each of which asks when it is first polled.
async fn at_once<T>(asks: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut asks: Vec<_> = asks.map(|ask| (Box::pin(ask), None)).collect();
    poll_fn(|context| {
        for (ask, answer) in &mut asks {
            if answer.is_none()
                && let Poll::Ready(ready) = ask.as_mut().poll(context)
            {
                *answer = Some(ready);
            }
        }
        if asks.iter().all(|(_, answer)| answer.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    asks.into_iter().filter_map(|(_, answer)| answer).collect()
}
