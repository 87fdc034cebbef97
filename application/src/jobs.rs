//! Jobs as those see them who asked for them, and as admins do: look, follow, stop, run again; and the queues they wait in.
//!
//! A job is its creator's. A hidden job answers like one that does not exist, before and after it was removed.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::access::{Access, Action, Principal, Relation, decide};
use portwright_domain::job::{Job, JobId, QueueName};
use portwright_domain::page::{Page, PageRequest};
use portwright_domain::ports::job_queue::{Cancelled, JobFilter, QueueStatus};
use portwright_domain::ports::{CommitToken, Consistency, JobQueue, Store};
use portwright_domain::user::UserId;
use portwright_domain::{ErrorKind, PortError};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::cached::Cached;
use crate::queue_counts::QueueCounts;

/// What a queue may take beyond the wait before it counts as away.
const SLACK: Duration = Duration::from_secs(5);

/// Between two questions to a queue that answers sooner than it was asked to.
const PAUSE: Duration = Duration::from_millis(250);

/// How long an answer waits for what is only good to have.
const PATIENCE: Duration = Duration::from_millis(250);

/// Why a use case on jobs did not happen.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The caller's role may never do that.
    #[error("the role may not do that")]
    Forbidden,
    /// There is no such job, or the caller may not know of it.
    #[error("no such job")]
    NotFound,
    /// It was the caller's to see, and is past its retention.
    #[error("the job was removed")]
    Removed,
    /// It has come to its end, so nothing is left to stop.
    #[error("the job has come to its end")]
    Finished,
    /// It did not fail, so it is not run again.
    #[error("the job is not failed, dead or cancelled")]
    NotFailed,
    /// Another unfinished job holds its unique key.
    #[error("another job does the same")]
    Held,
    /// The outside world failed.
    #[error(transparent)]
    Port(PortError),
}

impl From<PortError> for JobError {
    fn from(error: PortError) -> Self {
        if error.conflicts_on("jobs.unique") { Self::Held } else { Self::Port(error) }
    }
}

/// The use cases on jobs.
pub struct Jobs {
    queue: Arc<dyn JobQueue>,
    counts: QueueCounts,
    store: Arc<dyn Store>,
}

impl Jobs {
    pub(crate) fn new(queue: Arc<dyn JobQueue>, store: Arc<dyn Store>, cached: Cached) -> Self {
        Self { counts: QueueCounts::new(queue.clone(), cached), queue, store }
    }

    /// One job.
    pub async fn get(&self, caller: Principal, id: JobId) -> Result<Job, JobError> {
        let Some(job) = self.queue.find(id).await? else { return Err(self.missing(caller, id).await) };
        authorize(caller, Action::ReadJob, relation(caller, job.spec.created_by))?;
        Ok(job)
    }

    /// Waits up to `wait` until a job is not as it was `seen`, and answers as it is then; as it was seen if nothing
    /// changed. States in between may be missed, the last one is not.
    pub async fn follow(&self, caller: Principal, seen: &Job, wait: Duration) -> Result<Job, JobError> {
        authorize(caller, Action::ReadJob, relation(caller, seen.spec.created_by))?;
        let id = seen.spec.id;
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let changed = timeout(left + SLACK, self.queue.changed(seen, left)).await;
            let changed = changed.unwrap_or_else(|_| {
                Err(PortError::new(ErrorKind::Unavailable, "jobs.changed", "no answer beyond the wait"))
            });
            match changed? {
                None => return Err(self.missing(caller, id).await),
                Some(job) if job != *seen || Instant::now() >= until => return Ok(job),
                Some(_) => sleep(PAUSE.min(left)).await,
            }
        }
    }

    /// A page of jobs, newest first.
    pub async fn list(
        &self,
        caller: Principal,
        filter: &JobFilter,
        page: &PageRequest,
    ) -> Result<Page<Job>, JobError> {
        authorize(caller, Action::OperateJobs, Relation::Others)?;
        Ok(self.queue.list(filter, page).await?)
    }

    /// Stops a job: one that waits never starts; one that runs is told to stop, and ends cancelled unless it finishes
    /// first.
    pub async fn cancel(&self, caller: Principal, id: JobId) -> Result<(), JobError> {
        self.get(caller, id).await?;
        match self.queue.cancel(id).await? {
            Cancelled::Prevented | Cancelled::Requested => Ok(()),
            Cancelled::TooLate => Err(JobError::Finished),
            Cancelled::Unknown => Err(self.missing(caller, id).await),
        }
    }

    /// Makes a job that ended without success ready again, with all its attempts; the job as it is then.
    pub async fn retry(&self, caller: Principal, id: JobId) -> Result<Job, JobError> {
        authorize(caller, Action::OperateJobs, Relation::Others)?;
        let retried = self.queue.retry(id).await?;
        let job = self.get(caller, id).await?;
        if retried { Ok(job) } else { Err(JobError::NotFailed) }
    }

    /// Every queue that has a job or is paused, as it was within the last second.
    pub async fn queues(&self, caller: Principal) -> Result<Vec<QueueStatus>, JobError> {
        authorize(caller, Action::OperateJobs, Relation::Others)?;
        Ok(self.counts.all().await?)
    }

    /// Lets a queue start no more jobs, although it takes them. Doing so again changes nothing.
    pub async fn pause(&self, caller: Principal, queue: &QueueName) -> Result<(), JobError> {
        authorize(caller, Action::OperateJobs, Relation::Others)?;
        Ok(self.counts.set_paused(queue, true).await?)
    }

    /// Lets a queue start jobs again. Doing so again changes nothing.
    pub async fn resume(&self, caller: Principal, queue: &QueueName) -> Result<(), JobError> {
        authorize(caller, Action::OperateJobs, Relation::Others)?;
        Ok(self.counts.set_paused(queue, false).await?)
    }

    /// The newest commit of the store: whoever waited for a job, or changed one, reads at least what it wrote so far. `None`
    /// if the store does not say so at once, as when others write.
    pub async fn newest_commit(&self) -> Option<CommitToken> {
        let commit = async { self.store.begin().await?.commit().await };
        timeout(PATIENCE, commit).await.ok()?.ok()
    }

    /// A token of the newest state of the store, for whoever sees what others wrote, such as the end of a job. `None` if no
    /// read is ever older than another, or if the store does not say so at once.
    pub async fn newest_state(&self) -> Option<CommitToken> {
        // A state comes with an answer, even with one that finds nobody.
        let nobody = self.store.user(UserId(Uuid::nil()), Consistency::Strong);
        timeout(PATIENCE, nobody).await.ok()?.ok()?.token
    }

    /// Why there is no such job: only whoever could have seen it is told that it was there.
    async fn missing(&self, caller: Principal, id: JobId) -> JobError {
        match self.queue.removed(id).await {
            Ok(Some(removed)) => {
                let seen = authorize(caller, Action::ReadJob, relation(caller, removed.created_by));
                seen.err().unwrap_or(JobError::Removed)
            }
            Ok(None) => JobError::NotFound,
            Err(error) => error.into(),
        }
    }
}

/// What nobody asked for is somebody else's to everyone.
fn relation(caller: Principal, created_by: Option<UserId>) -> Relation {
    created_by.map_or(Relation::Others, |owner| caller.relation_to(owner))
}

fn authorize(caller: Principal, action: Action, relation: Relation) -> Result<(), JobError> {
    match decide(caller.role, action, relation) {
        Access::Granted => Ok(()),
        Access::Forbidden => Err(JobError::Forbidden),
        Access::Hidden => Err(JobError::NotFound),
    }
}
