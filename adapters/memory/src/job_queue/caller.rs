//! The caller's half of [`MemoryJobQueue`].

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::job::{Enqueued, Job, JobId, JobState, NewJob, Outcome, QueueName};
use portwright_domain::page::{Page, PageRequest, Position, Rest};
use portwright_domain::ports::JobQueue;
use portwright_domain::ports::job_queue::{Cancelled, JobFilter, QueueStatus};
use portwright_domain::user::SortKey;

use super::MemoryJobQueue;

#[async_trait]
impl JobQueue for MemoryJobQueue {
    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, PortError> {
        self.step(|state, now| state.enqueue(jobs, now, self.limits))
    }

    async fn find(&self, id: JobId) -> Result<Option<Job>, PortError> {
        Ok(self.step(|state, _| state.find(id).map(|record| record.job.clone())))
    }

    async fn call(&self, job: &NewJob, wait: Duration) -> Result<Option<Outcome>, PortError> {
        let awaited = match self.enqueue(std::slice::from_ref(job)).await?.first() {
            Some(Enqueued::Held(holder)) => *holder,
            _ => job.id,
        };
        self.outcome(awaited, wait).await
    }

    async fn outcome(&self, id: JobId, wait: Duration) -> Result<Option<Outcome>, PortError> {
        let ended = async {
            loop {
                // The wake-up is asked for under the lock, so an end between the look and the wait is not missed.
                let look = self.step(|state, _| {
                    let record = state.find(id)?;
                    Some((record.job.outcome.clone(), record.ended.clone().notified_owned()))
                });
                match look {
                    None => return None,
                    Some((Some(outcome), _)) => return Some(outcome),
                    Some((None, end)) => end.await,
                }
            }
        };
        Ok(tokio::time::timeout(wait, ended).await.unwrap_or(None))
    }

    async fn list(&self, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, PortError> {
        let mut found: Vec<Job> = self.step(|state, _| {
            state.records().map(|record| &record.job).filter(|job| matches(filter, job)).cloned().collect()
        });
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
                let name = &record.job.spec.queue;
                let queue = queues.entry(name.clone()).or_insert_with(|| empty(name));
                match record.job.state {
                    JobState::Scheduled => queue.scheduled += 1,
                    JobState::Ready => {
                        queue.ready += 1;
                        let waited = record.ready_since.map(|since| now.since(since));
                        queue.oldest_ready = queue.oldest_ready.max(waited);
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
