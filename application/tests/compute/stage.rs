//! [`Stage`]: a service, a queue and workers, in one time that a test moves.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portwright_application::compute::envelope::{Envelope, Meta};
use portwright_application::compute::{Compute, Defaults, TaskRegistry, Worker, WorkerOptions};
use portwright_domain::Timestamp;
use portwright_domain::job::{Backoff, Job, JobId, NewJob, WorkerId};
use portwright_domain::ports::{Clock, JobQueue, JobSource};
use portwright_memory::MemoryJobQueue;
use portwright_testkit::builders::JobBuilder;
use portwright_testkit::{ManualClock, SequentialIds};
use tokio::time::Instant;

use super::works::Works;
use crate::world::Recorder;

/// The leases of all workers here.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// The time of the runtime, which stands still or flies while a test waits.
pub(super) struct TokioClock(Instant);

impl Default for TokioClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        ManualClock::START.plus(self.0.elapsed())
    }
}

pub(super) struct Stage {
    pub(super) queue: Arc<MemoryJobQueue>,
    pub(super) clock: Arc<TokioClock>,
    pub(super) works: Arc<Works>,
    pub(super) registry: Arc<TaskRegistry>,
    pub(super) events: Arc<Recorder>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let clock = Arc::new(TokioClock::default());
        let queue = Arc::new(MemoryJobQueue::new(clock.clone()));
        let events = Arc::new(Recorder::default());
        let ids = Arc::new(SequentialIds::new(clock.clone()));
        let defaults = Defaults { backoff: Backoff::Fixed(Duration::ZERO), ..Defaults::default() };
        let compute = Compute::new(queue.clone(), clock.clone(), ids, events.clone(), defaults);
        let works = Arc::new(Works::new(compute.clone()));
        let registry = Arc::new(TaskRegistry::default().serve(&works));
        compute.seal(registry.keys());
        Self { queue, clock, works, registry, events }
    }

    pub(super) fn worker(&self, name: &str) -> Worker {
        self.worker_on(self.queue.clone(), name, |_| {})
    }

    pub(super) fn worker_on(
        &self,
        source: Arc<dyn JobSource>,
        name: &str,
        change: impl FnOnce(&mut WorkerOptions),
    ) -> Worker {
        let mut options = WorkerOptions::new(WorkerId::parse(name).expect("a valid name"));
        options.lease = LEASE;
        change(&mut options);
        Worker::new(source, self.registry.clone(), self.events.clone(), options)
    }

    /// Runs whatever is ready; returns how many tries that took.
    pub(super) async fn drain(&self) -> u64 {
        self.worker("drain").drain().await.expect("the queue is there")
    }

    /// How long it has been there.
    pub(super) fn clock_age(&self) -> Duration {
        self.clock.now().since(ManualClock::START)
    }

    pub(super) async fn job(&self, id: JobId) -> Job {
        self.queue.find(id).await.expect("find works").expect("the job is known")
    }

    /// Enqueues a job of this task whose payload nobody has checked.
    pub(super) async fn enqueue(&self, task: &str, version: u32, payload: &str) -> JobId {
        let job = NewJob {
            payload: Bytes::from(payload.to_owned()),
            ..JobBuilder::number(7).of_task(task).at_version(version).build()
        };
        self.queue.enqueue(std::slice::from_ref(&job)).await.expect("enqueue works");
        job.id
    }
}

/// The payload of this version with these arguments.
pub(super) fn payload(task: &str, version: u32, args: &str) -> String {
    let args = serde_json::from_str(args).expect("JSON");
    let meta = Meta::new(None, None, ManualClock::START);
    let payload = Envelope::pack(task, version, args, &meta).expect("it is written");
    String::from_utf8(payload.to_vec()).expect("text")
}
