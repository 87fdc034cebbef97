//! [`Ready`]: the jobs that wait for a worker, in the order in which they start.
//!
//! One lane per queue, task and version, so that a worker never wades through jobs that it cannot run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::job::{JobId, NewJob, QueueName, TaskName, Turn};
use portwright_domain::ports::job_queue::{LONGEST_LOOK, LeaseRequest, UNSERVED};

/// Where a ready job stands among all: the smallest starts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    rank: u8,
    since: Timestamp,
    /// The number of the job, in the order in which they came.
    number: u64,
    job: JobId,
}

impl Place {
    pub(super) const fn new(turn: Turn, spec: &NewJob, since: Timestamp, number: u64) -> Self {
        Self { rank: turn.rank(spec.priority), since, number, job: spec.id }
    }

    /// The same order with one rank for all, but for what was handed back.
    fn by_age(self) -> Self {
        Self { rank: self.rank.min(1), ..self }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Lane {
    queue: QueueName,
    task: TaskName,
    version: u32,
}

impl Lane {
    fn of(spec: &NewJob) -> Self {
        Self { queue: spec.queue.clone(), task: spec.task.clone(), version: spec.version }
    }

    fn is_wanted(&self, want: &LeaseRequest) -> bool {
        let queue_wanted = want.queues.is_empty() || want.queues.contains(&self.queue);
        let readable = |(task, newest): &(TaskName, u32)| *task == self.task && self.version <= *newest;
        queue_wanted && want.tasks.iter().any(readable)
    }
}

#[derive(Debug)]
struct Jobs {
    places: BTreeSet<Place>,
    /// When a worker last asked for them, or since when one might have.
    asked_at: Timestamp,
}

impl Jobs {
    /// The first of each rank.
    fn heads(&self) -> impl Iterator<Item = Place> {
        let first = self.places.first().copied();
        std::iter::successors(first, |head| {
            // Numbers count from 1, so this is before any.
            let since = Timestamp::from_unix_micros(i64::MIN);
            let next_rank = Place { rank: head.rank + 1, since, number: 0, ..*head };
            self.places.range(next_rank..).next().copied()
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct Ready {
    lanes: BTreeMap<Lane, Jobs>,
}

impl Ready {
    pub(super) fn insert(&mut self, spec: &NewJob, place: Place, now: Timestamp) {
        let empty = || Jobs { places: BTreeSet::new(), asked_at: now };
        self.lanes.entry(Lane::of(spec)).or_insert_with(empty).places.insert(place);
    }

    pub(super) fn remove(&mut self, spec: &NewJob, place: Place) {
        if let Some(jobs) = self.lanes.get_mut(&Lane::of(spec)) {
            jobs.places.remove(&place);
        }
    }

    /// A worker asks for this now.
    pub(super) fn ask(&mut self, want: &LeaseRequest, now: Timestamp) {
        for (lane, jobs) in &mut self.lanes {
            if lane.is_wanted(want) {
                jobs.asked_at = now;
            }
        }
    }

    /// The job that starts next of those that the worker can run: by priority, or else by age.
    pub(super) fn first(
        &self,
        want: &LeaseRequest,
        paused: &BTreeSet<QueueName>,
        by_age: bool,
    ) -> Option<JobId> {
        let served = |lane: &Lane| lane.is_wanted(want) && !paused.contains(&lane.queue);
        let served = self.lanes.iter().filter(|(lane, _)| served(lane)).map(|(_, jobs)| jobs);
        let first = if by_age {
            served.flat_map(Jobs::heads).min_by_key(|head| head.by_age())
        } else {
            served.filter_map(|jobs| jobs.places.first().copied()).min()
        };
        first.map(|place| place.job)
    }

    /// The jobs that have been ready for too long, while no worker asked for them, and that were last looked for so long
    /// ago.
    pub(super) fn not_served(&mut self, now: Timestamp, passed: Duration) -> Vec<JobId> {
        let uncounted = passed.saturating_sub(LONGEST_LOOK);
        for jobs in self.lanes.values_mut() {
            jobs.asked_at = jobs.asked_at.plus(uncounted);
        }
        let moment = now.minus(UNSERVED);
        let not_served = self.lanes.values().filter(|jobs| jobs.asked_at <= moment);
        let places = not_served.flat_map(|jobs| &jobs.places).filter(|place| place.since <= moment);
        places.map(|place| place.job).collect()
    }
}
