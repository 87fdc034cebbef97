//! The caller's half of the queue behind its guard. What is asked to wait has its wait, and the deadline on top.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::job::{Enqueued, Job, JobId, NewJob, Outcome, QueueName};
use portwright_domain::page::{Page, PageRequest};
use portwright_domain::ports::JobQueue;
use portwright_domain::ports::job_queue::{Cancelled, JobFilter, QueueStatus, Removed};

use crate::guard::Guard;

pub(crate) struct GuardedJobQueue {
    pub(crate) queue: Arc<dyn JobQueue>,
    pub(crate) guard: Guard,
}

#[async_trait]
impl JobQueue for GuardedJobQueue {
    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, PortError> {
        self.guard.call("job_queue.enqueue", self.queue.enqueue(jobs)).await
    }

    async fn find(&self, id: JobId) -> Result<Option<Job>, PortError> {
        self.guard.call("job_queue.find", self.queue.find(id)).await
    }

    async fn removed(&self, id: JobId) -> Result<Option<Removed>, PortError> {
        self.guard.call("job_queue.removed", self.queue.removed(id)).await
    }

    async fn call(&self, job: &NewJob, wait: Duration) -> Result<Option<Outcome>, PortError> {
        self.guard.waiting("job_queue.call", wait, self.queue.call(job, wait)).await
    }

    async fn outcome(&self, id: JobId, wait: Duration) -> Result<Option<Outcome>, PortError> {
        self.guard.waiting("job_queue.outcome", wait, self.queue.outcome(id, wait)).await
    }

    async fn changed(&self, seen: &Job, wait: Duration) -> Result<Option<Job>, PortError> {
        self.guard.waiting("job_queue.changed", wait, self.queue.changed(seen, wait)).await
    }

    async fn list(&self, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, PortError> {
        self.guard.call("job_queue.list", self.queue.list(filter, page)).await
    }

    async fn cancel(&self, id: JobId) -> Result<Cancelled, PortError> {
        self.guard.call("job_queue.cancel", self.queue.cancel(id)).await
    }

    async fn retry(&self, id: JobId) -> Result<bool, PortError> {
        self.guard.call("job_queue.retry", self.queue.retry(id)).await
    }

    async fn queues(&self) -> Result<Vec<QueueStatus>, PortError> {
        self.guard.call("job_queue.queues", self.queue.queues()).await
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<(), PortError> {
        self.guard.call("job_queue.set_paused", self.queue.set_paused(queue, paused)).await
    }
}
