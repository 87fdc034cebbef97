//! [`State`]: all jobs, and in which index each is found. The rules are the domain's [`Life`].

mod leases;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::mem;

use portwright_domain::job::{
    Enqueued, Job, JobId, JobState, Life, NewJob, Outcome, Progress, QueueName, Stands, TaskName, UniqueKey,
    WorkerId,
};
use portwright_domain::ports::job_queue::{Cancelled, Limits, REMEMBERED, Removed};
use portwright_domain::{ErrorKind, PortError, Timestamp};
use tokio::sync::watch;

use super::ready::{Place, Ready};

/// So many removed jobs are remembered.
const REMEMBERED_AT_MOST: usize = 1_000_000;

#[derive(Debug, Default)]
pub(super) struct State {
    jobs: HashMap<JobId, Record>,
    ready: Ready,
    scheduled: BTreeSet<(Timestamp, JobId)>,
    /// By state, in the order in which they ended; a job that was made ready again since is passed over.
    ended: HashMap<JobState, VecDeque<(Timestamp, JobId)>>,
    /// What is left of those that were removed, and the order in which they were.
    removed: HashMap<JobId, Removed>,
    forgotten_next: VecDeque<JobId>,
    /// The unfinished holder of each key.
    unique: HashMap<(TaskName, UniqueKey), JobId>,
    pub(super) paused: BTreeSet<QueueName>,
    /// Those that hold a job.
    workers: HashMap<WorkerId, Worker>,
    /// When leases were last looked for that had ended, and jobs that nobody serves.
    looked_at: Option<Timestamp>,
    waiting: u64,
    enqueued: u64,
    /// Of all workers, for ageing.
    starts: u64,
    /// Whether a worker that found nothing might find something now.
    stir: bool,
}

#[derive(Debug)]
pub(super) struct Record {
    spec: NewJob,
    pub(super) life: Life,
    progress: Progress,
    created_at: Timestamp,
    /// Counts jobs in the order in which they came.
    number: u64,
    /// Tells whoever waits for the outcome, and whoever follows the job of every other change, too.
    pub(super) outcome: watch::Sender<Option<Outcome>>,
}

#[derive(Debug)]
struct Worker {
    lease_ends: Timestamp,
    jobs: BTreeSet<JobId>,
}

impl Record {
    pub(super) fn job(&self) -> Job {
        Job {
            spec: self.spec.clone(),
            state: self.life.state(),
            attempts: self.life.attempts,
            progress: self.progress.clone(),
            outcome: self.life.outcome().cloned(),
            created_at: self.created_at,
            started_at: self.life.started_at,
            finished_at: self.life.finished_at(),
        }
    }

    fn set_progress(&mut self, progress: Progress) {
        self.progress = progress;
        self.tell_followers();
    }

    fn tell_followers(&self) {
        self.outcome.send_modify(|_| {});
    }

    fn unique_key(&self) -> Option<(TaskName, UniqueKey)> {
        unique_key(&self.spec)
    }
}

fn unique_key(job: &NewJob) -> Option<(TaskName, UniqueKey)> {
    job.unique.as_ref().map(|key| (job.task.clone(), key.clone()))
}

/// What anybody may see.
impl State {
    pub(super) fn find(&self, id: JobId) -> Option<&Record> {
        self.jobs.get(&id)
    }

    pub(super) fn removed(&self, id: JobId) -> Option<Removed> {
        self.removed.get(&id).copied()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.jobs.values()
    }

    /// When the next scheduled job becomes ready.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.scheduled.first().map(|(due, _)| *due)
    }

    pub(super) fn take_stir(&mut self) -> bool {
        mem::take(&mut self.stir)
    }
}

/// What time does.
impl State {
    pub(super) fn pass_time(&mut self, now: Timestamp, limits: &Limits) {
        self.remove_old(now, limits);
        while let Some(&(due, id)) = self.scheduled.first()
            && due <= now
        {
            self.step(id, now, |life| life.fall_due(now));
        }
    }

    /// Removes finished jobs that are too many or too old.
    pub(super) fn remove_old(&mut self, now: Timestamp, limits: &Limits) {
        for (state, ended) in &mut self.ended {
            let retention = limits.retention(*state);
            while let Some(&(ended_at, id)) = ended.front() {
                let surplus = ended.len() as u64 > retention.jobs;
                if !surplus && now < ended_at.plus(retention.age) {
                    break;
                }
                ended.pop_front();
                if let Some(record) = self.jobs.remove(&id) {
                    self.removed.insert(id, Removed { created_by: record.spec.created_by, at: now });
                    self.forgotten_next.push_back(id);
                }
            }
        }
        while let Some(id) = self.forgotten_next.front() {
            let old = self.removed.get(id).is_none_or(|removed| removed.at.plus(REMEMBERED) <= now);
            if !old && self.forgotten_next.len() <= REMEMBERED_AT_MOST {
                break;
            }
            self.removed.remove(id);
            self.forgotten_next.pop_front();
        }
    }
}

/// What the caller's half does.
impl State {
    pub(super) fn enqueue(
        &mut self,
        jobs: &[NewJob],
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Vec<Enqueued>, PortError> {
        const OPERATION: &str = "jobs.enqueue";
        if jobs.iter().any(|job| job.payload.len() > NewJob::MAX_PAYLOAD) {
            return Err(PortError::new(ErrorKind::Unsupported, OPERATION, "a payload is too large"));
        }
        let answers = self.answers_to(jobs);
        let taken =
            || answers.iter().zip(jobs).filter(|(answer, _)| **answer == Enqueued::New).map(|(_, job)| job);
        let more = taken().count() as u64;
        if more > 0 && self.waiting + more > limits.room_for(taken()) {
            return Err(PortError::new(ErrorKind::Unavailable, OPERATION, Limits::FULL));
        }
        for job in taken() {
            self.enqueued += 1;
            let record = Record {
                spec: job.clone(),
                life: Life::begin(job, now),
                progress: Progress::default(),
                created_at: now,
                number: self.enqueued,
                outcome: watch::Sender::new(None),
            };
            if let Some(key) = record.unique_key() {
                self.unique.insert(key, job.id);
            }
            self.jobs.insert(job.id, record);
            self.enter(job.id, now);
        }
        Ok(answers)
    }

    /// What comes of each job of a batch, which is judged as if its jobs came one after another.
    fn answers_to(&self, jobs: &[NewJob]) -> Vec<Enqueued> {
        let mut ids = HashSet::new();
        let mut keys = HashMap::new();
        let answer = |job: &NewJob| {
            let known = self.jobs.contains_key(&job.id) || self.removed.contains_key(&job.id);
            if known || ids.contains(&job.id) {
                return Enqueued::Known;
            }
            if let Some(key) = unique_key(job) {
                if let Some(holder) = self.unique.get(&key).or_else(|| keys.get(&key)) {
                    return Enqueued::Held(*holder);
                }
                keys.insert(key, job.id);
            }
            ids.insert(job.id);
            Enqueued::New
        };
        jobs.iter().map(answer).collect()
    }

    pub(super) fn cancel(&mut self, id: JobId, now: Timestamp) -> Cancelled {
        self.step(id, now, |life| life.cancel(now)).unwrap_or(Cancelled::Unknown)
    }

    pub(super) fn retry(&mut self, id: JobId, now: Timestamp) -> Result<bool, PortError> {
        let may_be = |record: &&Record| record.life.clone().retry(now);
        let key = self.jobs.get(&id).filter(may_be).and_then(Record::unique_key);
        if key.as_ref().is_some_and(|key| self.unique.contains_key(key)) {
            return Err(PortError::conflict("jobs.retry", "jobs.unique"));
        }
        let retried = self.step(id, now, |life| life.retry(now)).unwrap_or(false);
        if retried && let Some(record) = self.jobs.get_mut(&id) {
            record.outcome.send_replace(None);
            record.set_progress(Progress::default());
            self.unique.extend(key.map(|key| (key, id)));
        }
        Ok(retried)
    }

    pub(super) fn set_paused(&mut self, queue: &QueueName, paused: bool) {
        if paused {
            self.paused.insert(queue.clone());
        } else {
            self.stir |= self.paused.remove(queue);
        }
    }
}

/// The steps themselves.
impl State {
    /// Lets one job take a step, and moves it from index to index; `None` if it is unknown.
    fn step<T>(&mut self, id: JobId, now: Timestamp, step: impl FnOnce(&mut Life) -> T) -> Option<T> {
        let mut life = self.jobs.get(&id)?.life.clone();
        let answer = step(&mut life);
        let moves = self.jobs.get(&id).is_some_and(|record| record.life.stands != life.stands);
        if moves {
            self.leave(id);
        }
        if let Some(record) = self.jobs.get_mut(&id) {
            record.life = life;
            record.tell_followers();
        }
        if moves {
            self.enter(id, now);
        }
        Some(answer)
    }

    /// Takes a job out of the index where it is.
    fn leave(&mut self, id: JobId) {
        let Some(record) = self.jobs.get(&id) else {
            return;
        };
        match &record.life.stands {
            Stands::Scheduled(due) => drop(self.scheduled.remove(&(*due, id))),
            Stands::Ready(turn) => {
                let place = Place::new(*turn, &record.spec, record.life.since, record.number);
                self.ready.remove(&record.spec, place);
            }
            Stands::Running(worker) => {
                if let Some(holder) = self.workers.get_mut(worker) {
                    holder.jobs.remove(&id);
                }
            }
            Stands::Ended(outcome, _) => {
                self.ended.entry(outcome.state()).or_default().retain(|(_, ended)| *ended != id);
            }
        }
        self.waiting -= u64::from(waits(&record.life));
    }

    /// Puts it into the one where it belongs.
    fn enter(&mut self, id: JobId, now: Timestamp) {
        let Some(record) = self.jobs.get(&id) else {
            return;
        };
        // A job that is ready, or a worker that no longer holds one, may let a suspect start.
        self.stir |= record.life.state() != JobState::Running;
        self.waiting += u64::from(waits(&record.life));
        match &record.life.stands {
            Stands::Scheduled(due) => drop(self.scheduled.insert((*due, id))),
            Stands::Ready(turn) => {
                let place = Place::new(*turn, &record.spec, record.life.since, record.number);
                self.ready.insert(&record.spec, place, now);
            }
            Stands::Running(worker) => {
                let fresh = Worker { lease_ends: Timestamp::UNIX_EPOCH, jobs: BTreeSet::new() };
                self.workers.entry(worker.clone()).or_insert(fresh).jobs.insert(id);
            }
            Stands::Ended(outcome, at) => {
                if let Some(key) = record.unique_key().filter(|key| self.unique.get(key) == Some(&id)) {
                    self.unique.remove(&key);
                }
                record.outcome.send_replace(Some(outcome.clone()));
                self.ended.entry(outcome.state()).or_default().push_back((*at, id));
            }
        }
    }
}

fn waits(life: &Life) -> bool {
    matches!(life.stands, Stands::Scheduled(_) | Stands::Ready(_))
}
