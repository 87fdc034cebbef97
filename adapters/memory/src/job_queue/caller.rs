//! The caller's half of [`MemoryJobQueue`].

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::job::{Enqueued, Job, JobId, JobState, NewJob, Outcome, QueueName};
use portwright_domain::page::{Page, PageRequest, Position, Rest};
use portwright_domain::ports::JobQueue;
use portwright_domain::ports::job_queue::{Cancelled, JobFilter, QueueStatus, Removed};
use portwright_domain::user::SortKey;
use tokio::sync::watch;
use tokio::time::timeout;

use super::MemoryJobQueue;
use super::state::Record;

#[async_trait]
impl JobQueue for MemoryJobQueue {
    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, PortError> {
        self.step(|state, now| state.enqueue(jobs, now, &self.limits))
    }

    async fn find(&self, id: JobId) -> Result<Option<Job>, PortError> {
        Ok(self.step(|state, _| state.find(id).map(Record::job)))
    }

    async fn removed(&self, id: JobId) -> Result<Option<Removed>, PortError> {
        Ok(self.step(|state, _| state.removed(id)))
    }

    async fn call(&self, job: &NewJob, wait: Duration) -> Result<Option<Outcome>, PortError> {
        // In one step, so that the end is heard of even if nothing is kept of it.
        let told = self.step(|state, now| {
            let enqueued = state.enqueue(std::slice::from_ref(job), now, &self.limits)?;
            let awaited = match enqueued.first() {
                Some(Enqueued::Held(holder)) => *holder,
                _ => job.id,
            };
            Ok(state.find(awaited).map(|record| record.outcome.subscribe()))
        });
        Ok(end(told?, wait).await)
    }

    async fn outcome(&self, id: JobId, wait: Duration) -> Result<Option<Outcome>, PortError> {
        let told = self.step(|state, _| state.find(id).map(|record| record.outcome.subscribe()));
        Ok(end(told, wait).await)
    }

    async fn changed(&self, seen: &Job, wait: Duration) -> Result<Option<Job>, PortError> {
        Ok(timeout(wait, self.no_longer(seen)).await.unwrap_or_else(|_elapsed| Some(seen.clone())))
    }

    async fn list(&self, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, PortError> {
        let mut found: Vec<Job> = self
            .step(|state, _| state.records().map(Record::job).filter(|job| matches(filter, job)).collect());
        found.sort_by_key(|job| Reverse(position(job)));

        let total = found.len();
        let limit = page.limit().get() as usize;
        let skipped = match page {
            PageRequest::Numbered { page, .. } => (*page as usize).saturating_sub(1).saturating_mul(limit),
            PageRequest::Walk { after, .. } => {
                let behind = |after: &Position| found.partition_point(|job| position(job) >= *after);
                after.as_ref().map_or(0, behind)
            }
        };
        let rows: Vec<Job> = found.into_iter().skip(skipped).take(limit).collect();
        let rest = match page {
            PageRequest::Numbered { .. } => Rest::Total(total as u64),
            PageRequest::Walk { .. } => {
                Rest::Next(rows.last().filter(|_| skipped + rows.len() < total).map(position))
            }
        };
        Ok(Page { rows, rest })
    }

    async fn cancel(&self, id: JobId) -> Result<Cancelled, PortError> {
        Ok(self.step(|state, now| state.cancel(id, now)))
    }

    async fn retry(&self, id: JobId) -> Result<bool, PortError> {
        self.step(|state, now| state.retry(id, now))
    }

    async fn queues(&self) -> Result<Vec<QueueStatus>, PortError> {
        let queues = self.step(|state, now| {
            let mut queues: BTreeMap<QueueName, QueueStatus> = BTreeMap::new();
            for name in &state.paused {
                queues.insert(name.clone(), QueueStatus { paused: true, ..empty(name) });
            }
            for record in state.records() {
                let job = record.job();
                let name = &job.spec.queue;
                let queue = queues.entry(name.clone()).or_insert_with(|| empty(name));
                match job.state {
                    JobState::Scheduled => queue.scheduled += 1,
                    JobState::Ready => {
                        queue.ready += 1;
                        queue.oldest_ready = queue.oldest_ready.max(Some(now.since(record.life.since)));
                    }
                    JobState::Running => queue.running += 1,
                    JobState::Dead => queue.dead += 1,
                    JobState::Succeeded | JobState::Failed | JobState::Cancelled => {}
                }
            }
            queues
        });
        Ok(queues.into_values().collect())
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<(), PortError> {
        self.step(|state, _| state.set_paused(queue, paused));
        Ok(())
    }
}

impl MemoryJobQueue {
    /// The job as it is when it is no longer like this.
    async fn no_longer(&self, seen: &Job) -> Option<Job> {
        loop {
            // Subscribed to in the same step as the look, so what happens between the look and the wait is not missed.
            let (found, next_due) = self.step(|state, now| {
                let found = state.find(seen.spec.id).map(|record| (record.job(), record.outcome.subscribe()));
                (found, state.next_due().map(|due| due.since(now)))
            });
            let mut told = match found {
                Some((job, told)) if job == *seen => told,
                other => return other.map(|(job, _)| job),
            };
            // An error is the removal of the job.
            match next_due {
                Some(due) => drop(timeout(due, told.changed()).await),
                None => drop(told.changed().await),
            }
        }
    }
}

/// What is told within the time; the last word is, even if the job is removed with it.
async fn end(told: Option<watch::Receiver<Option<Outcome>>>, wait: Duration) -> Option<Outcome> {
    let mut told = told?;
    let outcome = timeout(wait, told.wait_for(Option::is_some)).await.ok()?.ok()?;
    outcome.clone()
}

fn matches(filter: &JobFilter, job: &Job) -> bool {
    filter.state.is_none_or(|state| job.state == state)
        && filter.task.as_ref().is_none_or(|task| job.spec.task == *task)
        && filter.queue.as_ref().is_none_or(|queue| job.spec.queue == *queue)
}

fn position(job: &Job) -> Position {
    Position { key: SortKey::Time(job.created_at), id: job.spec.id.0 }
}

fn empty(name: &QueueName) -> QueueStatus {
    QueueStatus {
        name: name.clone(),
        paused: false,
        scheduled: 0,
        ready: 0,
        running: 0,
        dead: 0,
        oldest_ready: None,
    }
}
