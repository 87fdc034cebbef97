//! Workers in the process of the test, and what they make of a job when the test says so.

use std::sync::Arc;
use std::time::Duration;

use portwright::serve::Jobs;
use portwright_application::compute::{Worker, WorkerOptions};
use portwright_domain::job::{JobId, Lease, Outcome, Progress, TaskName, WorkerId};
use portwright_domain::ports::Unobserved;
use portwright_domain::ports::job_queue::{LeaseRequest, Settlement, Verdict};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// A worker at work; it stops when this is dropped.
pub struct AtWork {
    _stop: DropGuard,
    _worker: JoinHandle<()>,
}

impl AtWork {
    pub(crate) fn begin(worker: Worker) -> Self {
        let stop = CancellationToken::new();
        let told = stop.clone();
        #[expect(clippy::disallowed_methods, reason = "the guard stops it")]
        let worker = tokio::spawn(async move {
            worker.run(told.clone(), told).await;
        });
        Self { _stop: stop.drop_guard(), _worker: worker }
    }
}

/// A worker that nobody has heard of yet.
pub(crate) fn worker(jobs: &Jobs) -> Worker {
    let options = WorkerOptions::new(someone());
    Worker::new(jobs.source.clone(), jobs.tasks.clone(), Arc::new(Unobserved), options)
}

fn someone() -> WorkerId {
    WorkerId::parse(&format!("test-{}", Uuid::new_v4())).expect("a valid name")
}

/// A job in the hands of the test, which does what a worker would.
pub struct InHand {
    jobs: Jobs,
    lease: Lease,
}

impl InHand {
    /// Takes the job that is to be started next, once there is one.
    pub async fn next(jobs: &Jobs) -> Self {
        let want = LeaseRequest { max: 1, wait: Duration::from_secs(20), ..nothing(jobs, someone()) };
        let leased = jobs.source.exchange(&[], &want).await.expect("the queue is there").leased;
        let lease = leased.into_iter().next().expect("a job is ready within 20 s").lease;
        Self { jobs: jobs.clone(), lease }
    }

    /// Which job it is.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.lease.job
    }

    /// Says how far it is.
    pub async fn report(&self, done: u64, total: u64) {
        let progress = Progress { done, total: Some(total), message: Some("halfway".to_owned()) };
        self.jobs.source.report(&self.lease, &progress).await.expect("the queue is there");
    }

    /// Ends it.
    pub async fn end(self, outcome: Outcome) {
        let settlement = Settlement { verdict: Verdict::Finish(outcome), lease: self.lease.clone() };
        let want = nothing(&self.jobs, self.lease.worker.clone());
        self.jobs.source.exchange(&[settlement], &want).await.expect("the queue is there");
    }
}

fn nothing(jobs: &Jobs, worker: WorkerId) -> LeaseRequest {
    let tasks = jobs.tasks.describe();
    let name = |name| TaskName::parse(name).expect("a valid name");
    let tasks = tasks.map(|task| (name(task.name), task.version)).collect();
    LeaseRequest {
        worker,
        tasks,
        queues: Vec::new(),
        max: 0,
        lease: Duration::from_mins(5),
        wait: Duration::ZERO,
    }
}
