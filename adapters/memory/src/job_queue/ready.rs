//! [`Ready`]: the jobs that wait for a worker, in the order in which they start.
//!
//! One lane per queue, task and version, so that a worker never wades through jobs that it cannot run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use portwright_domain::job::{JobId, NewJob, Priority, QueueName, TaskName};
use portwright_domain::ports::job_queue::LeaseRequest;

/// Where a ready job stands among all: the smallest starts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Jobs that were handed back untouched come before all others.
    turn: Turn,
    priority: Reverse<Priority>,
    /// The number of the job, which is its age: the lower the older.
    number: u64,
    job: JobId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    HandedBack,
    Usual,
}

impl Place {
    pub(super) const fn new(turn: Turn, spec: &NewJob, number: u64) -> Self {
        Self { turn, priority: Reverse(spec.priority), number, job: spec.id }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lane {
    queue: QueueName,
    task: TaskName,
    version: u32,
}

impl Lane {
    fn of(spec: &NewJob) -> Self {
        Self { queue: spec.queue.clone(), task: spec.task.clone(), version: spec.version }
    }

    fn is_served(&self, want: &LeaseRequest, paused: &BTreeSet<QueueName>) -> bool {
        let queue_wanted = want.queues.is_empty() || want.queues.contains(&self.queue);
        let readable = |(task, newest): &(TaskName, u32)| *task == self.task && self.version <= *newest;
        queue_wanted && !paused.contains(&self.queue) && want.tasks.iter().any(readable)
    }
}

#[derive(Debug, Default)]
pub(super) struct Ready {
    lanes: BTreeMap<Lane, BTreeSet<Place>>,
}

impl Ready {
    pub(super) fn insert(&mut self, spec: &NewJob, place: Place) {
        self.lanes.entry(Lane::of(spec)).or_default().insert(place);
    }

    pub(super) fn remove(&mut self, spec: &NewJob, place: Place) {
        let lane = Lane::of(spec);
        if let Some(places) = self.lanes.get_mut(&lane) {
            places.remove(&place);
            if places.is_empty() {
                self.lanes.remove(&lane);
            }
        }
    }

    /// The job that starts next of those that the worker can run.
    pub(super) fn first(&self, want: &LeaseRequest, paused: &BTreeSet<QueueName>) -> Option<JobId> {
        let served = self.lanes.iter().filter(|(lane, _)| lane.is_served(want, paused));
        served.filter_map(|(_, places)| places.first()).min().map(|place| place.job)
    }
}
