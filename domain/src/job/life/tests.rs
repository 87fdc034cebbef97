//! Every life that a job can have, as far as so many steps lead: what holds in all of them.

use std::collections::HashSet;

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::job::{Backoff, JobId, QueueName, TaskName};

const NOW: Timestamp = Timestamp::from_unix_micros(1_000_000_000);
const MAX_ATTEMPTS: u32 = 2;
/// How many steps from the beginning are tried.
const DEPTH: usize = 12;

#[derive(Debug, Clone)]
enum Step {
    FallDue,
    Start(WorkerId),
    Settle(Lease, Verdict),
    Crash { alone: bool },
    Cancel,
    Retry,
    GiveUp,
}

fn worker(name: &str) -> WorkerId {
    WorkerId::parse(name).expect("a name")
}

fn job() -> NewJob {
    NewJob {
        id: JobId(Uuid::nil()),
        task: TaskName::parse("test.echo").expect("a name"),
        version: 1,
        queue: QueueName::parse("default").expect("a name"),
        priority: Priority::default(),
        payload: Bytes::new(),
        max_attempts: MAX_ATTEMPTS,
        backoff: Backoff::Fixed(Duration::ZERO),
        timeout: Duration::from_secs(1),
        scheduled_for: Some(NOW.plus(Duration::from_secs(1))),
        unique: None,
        created_by: None,
        trace: None,
    }
}

fn verdicts() -> [Verdict; 5] {
    let death = || Death { cause: CauseOfDeath::Error, detail: "on cue".to_owned() };
    [
        Verdict::Finish(Outcome::Succeeded(Bytes::new())),
        Verdict::Finish(Outcome::Failed(Bytes::new())),
        Verdict::Retry { delay: Duration::ZERO, death: death() },
        Verdict::Retry { delay: Duration::from_secs(1), death: death() },
        Verdict::Release,
    ]
}

/// Everything that anybody might do, including those with a lease that is old, stolen or invented.
fn steps(life: &Life) -> Vec<Step> {
    let mut steps = vec![
        Step::FallDue,
        Step::Crash { alone: true },
        Step::Crash { alone: false },
        Step::Cancel,
        Step::Retry,
        Step::GiveUp,
    ];
    for worker in [worker("one"), worker("two")] {
        steps.push(Step::Start(worker.clone()));
        for run in life.run.0.saturating_sub(1)..=life.run.0 + 1 {
            let lease = Lease { job: job().id, run: Run(run), worker: worker.clone() };
            steps.extend(verdicts().map(|verdict| Step::Settle(lease.clone(), verdict)));
        }
    }
    steps
}

/// Takes the step and checks what it did.
fn take(before: &Life, step: &Step) -> Life {
    let mut after = before.clone();
    let later = NOW.plus(Duration::from_secs(1));
    match step {
        Step::FallDue => after.fall_due(later),
        Step::Start(worker) => after.start(worker, NOW),
        Step::Settle(lease, verdict) => {
            let again = before.settled == Some(lease.run);
            let held = before.is_held_by(lease);
            let settled = after.settle(lease, verdict, MAX_ATTEMPTS, NOW);
            assert_eq!(settled == Settled::Accepted, held || again);
            assert_eq!(after != *before, held, "only who holds it changes anything");
            assert_eq!(after.clone().settle(lease, verdict, MAX_ATTEMPTS, NOW), settled, "again is the same");
        }
        Step::Crash { alone } => after.crash(*alone, NOW),
        Step::Cancel => assert_eq!(after.cancel(NOW) == Cancelled::TooLate, before.state().is_terminal()),
        Step::Retry => assert_eq!(after.retry(NOW), after.state() != before.state()),
        Step::GiveUp => after.give_up(NOW),
    }

    let context = || format!("{step:?}\nfrom {before:?}\nto {after:?}");
    let (from, to) = (before.state(), after.state());
    assert!(from == to || from.may_become(to), "{}", context());
    if from.is_terminal() && !matches!(step, Step::Retry) {
        assert_eq!(after, *before, "{}", context());
    }
    let started = matches!(step, Step::Start(_)) && from == JobState::Ready;
    assert_eq!(after.run.0, before.run.0 + u64::from(started), "{}", context());
    assert!(after.settled <= Some(after.run), "{}", context());
    assert!(after.attempts <= MAX_ATTEMPTS, "{}", context());
    if started || !matches!(step, Step::Retry) {
        assert_eq!(after.since, before.since, "it keeps its place: {}", context());
    }
    after
}

#[test]
fn in_every_life_the_run_only_grows_and_only_the_holder_changes_anything() {
    let begin = Life::begin(&job(), NOW);
    let mut seen = HashSet::new();
    let mut reached = HashSet::new();
    let mut edge = vec![begin];
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for life in &edge {
            for step in steps(life) {
                let after = take(life, &step);
                reached.insert(after.state());
                if seen.insert(format!("{after:?}")) {
                    next.push(after);
                }
            }
        }
        edge = next;
    }
    assert_eq!(reached.len(), JobState::ALL.len(), "every state was reached: {reached:?}");
    assert!(seen.len() > 1_000, "{} lives", seen.len());
}

#[test]
fn a_job_that_crashes_alone_is_dead_after_the_third_strike_within_three_days() {
    let ready = || Life::begin(&NewJob { scheduled_for: None, ..job() }, NOW);
    for (pause, dead) in [(Duration::ZERO, true), (STRIKE_COUNTS_FOR, false)] {
        let (mut life, mut now) = (ready(), NOW);
        for _ in 0..STRIKES {
            life.start(&worker("one"), now);
            life.crash(true, now);
            now = now.plus(pause);
        }
        assert_eq!(life.state() == JobState::Dead, dead, "{life:?}");
        assert_eq!(life.attempts, 0, "crashes are counted for themselves");
    }
    let mut life = ready();
    for _ in 0..10 {
        life.start(&worker("one"), NOW);
        life.crash(false, NOW);
    }
    assert_eq!((life.state(), life.strikes), (JobState::Ready, 0), "nobody knows who was to blame");
}

#[test]
fn what_was_handed_back_stands_before_every_priority() {
    let priority = |number| Priority::parse(number).expect("within bounds");
    assert_eq!(Turn::HandedBack.rank(priority(0)), 0);
    assert_eq!(Turn::Usual.rank(Priority::MAX), 1);
    assert_eq!(Turn::Usual.rank(priority(0)), 16);
}
