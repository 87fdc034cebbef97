//! [`State`]: all jobs, and every step from one state to the next.

mod leases;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::Arc;

use portwright_domain::job::{
    Enqueued, Job, JobId, JobState, Lease, NewJob, Outcome, Progress, QueueName, Run, TaskName, UniqueKey,
    WorkerId,
};
use portwright_domain::ports::job_queue::Cancelled;
use portwright_domain::{ErrorKind, PortError, Timestamp};
use tokio::sync::Notify;

use super::Limits;
use super::ready::{Place, Ready, Turn};

#[derive(Debug, Default)]
pub(super) struct State {
    jobs: HashMap<JobId, Record>,
    ready: Ready,
    scheduled: BTreeSet<(Timestamp, JobId)>,
    /// In the order in which they ended; a job that was made ready again since is passed over.
    finished: VecDeque<(Timestamp, JobId)>,
    /// The unfinished holder of each key.
    unique: HashMap<(TaskName, UniqueKey), JobId>,
    pub(super) paused: BTreeSet<QueueName>,
    /// Those that hold a job.
    workers: HashMap<WorkerId, Worker>,
    waiting: usize,
    enqueued: u64,
    /// Whether a worker that found nothing might find something now.
    stir: bool,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) job: Job,
    pub(super) ready_since: Option<Timestamp>,
    /// Wakes whoever waits for the outcome.
    pub(super) ended: Arc<Notify>,
    /// Counts jobs in the order in which they came.
    number: u64,
    stands: Stands,
    run: Run,
    /// The newest run that settled, so that settling again is recognised.
    settled: Option<Run>,
    cancel: bool,
    suspect: bool,
    strikes: u32,
}

/// In which index a job is found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stands {
    Scheduled(Timestamp),
    Ready(Place),
    Held(WorkerId),
    Nowhere,
}

#[derive(Debug)]
struct Worker {
    lease_ends: Timestamp,
    jobs: BTreeSet<JobId>,
}

impl Record {
    fn new(spec: &NewJob, number: u64, now: Timestamp) -> Self {
        let job = Job {
            spec: spec.clone(),
            state: JobState::Scheduled,
            attempts: 0,
            progress: Progress::default(),
            outcome: None,
            created_at: now,
            started_at: None,
            finished_at: None,
        };
        Self {
            job,
            ready_since: None,
            ended: Arc::default(),
            number,
            stands: Stands::Nowhere,
            run: Run(0),
            settled: None,
            cancel: false,
            suspect: false,
            strikes: 0,
        }
    }

    fn is_held_by(&self, lease: &Lease) -> bool {
        self.run == lease.run && self.stands == Stands::Held(lease.worker.clone())
    }
}

/// What anybody may see.
impl State {
    pub(super) fn find(&self, id: JobId) -> Option<&Record> {
        self.jobs.get(&id)
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
    pub(super) fn pass_time(&mut self, now: Timestamp, limits: Limits) {
        while let Some(&(due, id)) = self.scheduled.first()
            && due <= now
        {
            self.make_ready(id, Turn::Usual, now);
        }
        while let Some(&(ended_at, id)) = self.finished.front() {
            if self.finished.len() <= limits.finished && now < ended_at.plus(limits.retention) {
                break;
            }
            self.finished.pop_front();
            if self.jobs.get(&id).is_some_and(|record| record.job.finished_at == Some(ended_at)) {
                self.jobs.remove(&id);
            }
        }
    }
}

/// What the caller's half does.
impl State {
    pub(super) fn enqueue(
        &mut self,
        jobs: &[NewJob],
        now: Timestamp,
        limits: Limits,
    ) -> Result<Vec<Enqueued>, PortError> {
        const OPERATION: &str = "jobs.enqueue";
        if jobs.iter().any(|job| job.payload.len() > NewJob::MAX_PAYLOAD) {
            return Err(PortError::new(ErrorKind::Unsupported, OPERATION, "a payload is too large"));
        }
        let answers = self.answers_to(jobs);
        let taken = || answers.iter().zip(jobs).filter(|(answer, _)| **answer == Enqueued::New);
        if self.waiting + taken().count() > limits.waiting {
            return Err(PortError::new(ErrorKind::Unavailable, OPERATION, "the queue is full"));
        }
        for (_, job) in taken() {
            self.enqueued += 1;
            self.jobs.insert(job.id, Record::new(job, self.enqueued, now));
            if let Some(key) = &job.unique {
                self.unique.insert((job.task.clone(), key.clone()), job.id);
            }
            match job.scheduled_for.filter(|due| *due > now) {
                Some(due) => self.schedule(job.id, due),
                None => self.make_ready(job.id, Turn::Usual, now),
            }
        }
        Ok(answers)
    }

    /// What comes of each job of a batch, which is judged as if its jobs came one after another.
    fn answers_to(&self, jobs: &[NewJob]) -> Vec<Enqueued> {
        let mut ids = HashSet::new();
        let mut keys = HashMap::new();
        let answer = |job: &NewJob| {
            if self.jobs.contains_key(&job.id) || ids.contains(&job.id) {
                return Enqueued::Known;
            }
            if let Some(key) = &job.unique {
                let key = (job.task.clone(), key.clone());
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
        let Some(record) = self.jobs.get_mut(&id) else {
            return Cancelled::Unknown;
        };
        match record.stands {
            Stands::Held(_) => {
                record.cancel = true;
                Cancelled::Requested
            }
            Stands::Scheduled(_) | Stands::Ready(_) => {
                self.end(id, Outcome::Cancelled, now);
                Cancelled::Prevented
            }
            Stands::Nowhere => Cancelled::TooLate,
        }
    }

    pub(super) fn retry(&mut self, id: JobId, now: Timestamp) -> Result<bool, PortError> {
        let record = self
            .jobs
            .get_mut(&id)
            .filter(|record| record.job.state.is_terminal() && record.job.state.may_become(JobState::Ready));
        let Some(record) = record else {
            return Ok(false);
        };
        if let Some(key) = &record.job.spec.unique {
            let key = (record.job.spec.task.clone(), key.clone());
            if self.unique.contains_key(&key) {
                return Err(PortError::conflict("jobs.retry", "jobs.unique"));
            }
            self.unique.insert(key, id);
        }
        record.job.attempts = 0;
        record.job.progress = Progress::default();
        record.job.outcome = None;
        record.job.finished_at = None;
        (record.cancel, record.suspect, record.strikes) = (false, false, 0);
        self.make_ready(id, Turn::Usual, now);
        Ok(true)
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
    fn schedule(&mut self, id: JobId, due: Timestamp) {
        self.enter(id, Stands::Scheduled(due));
        if let Some(record) = self.jobs.get_mut(&id) {
            record.job.state = JobState::Scheduled;
        }
    }

    fn make_ready(&mut self, id: JobId, turn: Turn, now: Timestamp) {
        let Some(record) = self.jobs.get_mut(&id) else {
            return;
        };
        record.job.state = JobState::Ready;
        record.ready_since = Some(now);
        let place = Place::new(turn, &record.job.spec, record.number);
        self.enter(id, Stands::Ready(place));
    }

    fn end(&mut self, id: JobId, outcome: Outcome, now: Timestamp) {
        self.enter(id, Stands::Nowhere);
        let Some(record) = self.jobs.get_mut(&id) else {
            return;
        };
        record.job.state = outcome.state();
        record.job.outcome = Some(outcome);
        record.job.finished_at = Some(now);
        if let Some(key) = &record.job.spec.unique {
            self.unique.remove(&(record.job.spec.task.clone(), key.clone()));
        }
        record.ended.notify_waiters();
        self.finished.push_back((now, id));
    }

    /// Takes a job out of the index where it is, and puts it into another.
    fn enter(&mut self, id: JobId, next: Stands) {
        let Some(record) = self.jobs.get_mut(&id) else {
            return;
        };
        let spec = &record.job.spec;
        match &next {
            Stands::Scheduled(due) => drop(self.scheduled.insert((*due, id))),
            Stands::Ready(place) => self.ready.insert(spec, *place),
            Stands::Held(worker) => {
                let fresh = Worker { lease_ends: Timestamp::UNIX_EPOCH, jobs: BTreeSet::new() };
                self.workers.entry(worker.clone()).or_insert(fresh).jobs.insert(id);
            }
            Stands::Nowhere => {}
        }
        let waits = |stands: &Stands| matches!(stands, Stands::Scheduled(_) | Stands::Ready(_));
        self.stir |= waits(&next);
        self.waiting += usize::from(waits(&next));
        let before = mem::replace(&mut record.stands, next);
        self.waiting -= usize::from(waits(&before));
        match before {
            Stands::Scheduled(due) => drop(self.scheduled.remove(&(due, id))),
            Stands::Ready(place) => self.ready.remove(spec, place),
            Stands::Held(worker) => {
                if let Some(holder) = self.workers.get_mut(&worker) {
                    holder.jobs.remove(&id);
                    if holder.jobs.is_empty() {
                        self.workers.remove(&worker);
                    }
                }
            }
            Stands::Nowhere => {}
        }
    }
}
