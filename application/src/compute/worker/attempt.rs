//! One try of one job: from its start on a thread for tasks to what is to be said of it.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portwright_domain::job::{Lease, LeasedJob, QueueName, TaskName};
use portwright_domain::ports::job_queue::{Settlement, Verdict};
use portwright_domain::ports::{Event, JobSource, Observer};
use portwright_domain::trace::Sampler;
use portwright_domain::{ErrorKind, Timestamp, TraceContext};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinError};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::authority::Authority;
use super::span;
use super::verdict::{End, Reason, judge};
use crate::compute::context::{Start, TaskContext};
use crate::compute::envelope::{Envelope, Meta, PayloadInvalid};
use crate::compute::registry::{Served, TaskRegistry};
use crate::compute::task::TaskEnd;
use crate::jitter::random_share;
use crate::trace::begin;

/// How often progress is passed on.
const REPORT_EVERY: Duration = Duration::from_millis(500);
/// What passing it on may take.
const REPORT_PATIENCE: Duration = Duration::from_secs(1);

/// Asks a try to stop, and keeps why.
#[derive(Debug, Default)]
pub(super) struct Stop {
    token: CancellationToken,
    reason: OnceLock<Reason>,
}

impl Stop {
    /// The first reason counts.
    pub(super) fn ask(&self, reason: Reason) {
        self.reason.get_or_init(|| reason);
        self.token.cancel();
    }
}

/// A try that is to be made.
pub(super) struct Attempt {
    pub(super) leased: LeasedJob,
    pub(super) stop: Arc<Stop>,
    pub(super) tools: Arc<Tools>,
}

/// What all tries of a worker share.
pub(super) struct Tools {
    pub(super) registry: Arc<TaskRegistry>,
    pub(super) source: Arc<dyn JobSource>,
    pub(super) authority: Arc<Authority>,
    pub(super) draining: CancellationToken,
    pub(super) handlers: Handle,
    pub(super) grace: Duration,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) sampler: Sampler,
}

/// What is to be settled of a job, as far as the worker is concerned.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) settlement: Settlement,
    /// What it ran, unless it goes back untouched.
    pub(super) ran: Option<Ran>,
    /// Its code still runs, and can only be ended together with the process.
    pub(super) stuck: bool,
}

#[derive(Debug)]
pub(super) struct Ran {
    pub(super) task: TaskName,
    pub(super) queue: QueueName,
    pub(super) took: Duration,
}

impl Done {
    /// A job that goes back untouched.
    pub(super) const fn release(lease: Lease) -> Self {
        Self { settlement: Settlement { lease, verdict: Verdict::Release }, ran: None, stuck: false }
    }
}

impl Attempt {
    pub(super) async fn make(self) -> Done {
        let envelope = Envelope::open(&self.leased.job.payload);
        let meta = envelope.as_ref().ok().map(|envelope| &envelope.meta);
        let parent = meta.and_then(Meta::parent);
        let trace = begin(self.tools.sampler, parent.as_ref());
        let span = span::of_try(&self.leased, meta, &trace, parent.as_ref());
        self.make_of(envelope, trace).instrument(span).await
    }

    async fn make_of(self, envelope: Result<Envelope, PayloadInvalid>, trace: TraceContext) -> Done {
        let started = Instant::now();
        let end = self.end(envelope, trace, started).await;
        let took = started.elapsed();
        let stuck = end == End::Stuck;
        let verdict = judge(end, self.stop.reason.get().copied(), &self.leased, random_share());
        let LeasedJob { lease, job, .. } = self.leased;
        span::end(&verdict, took);
        let settlement = Settlement { lease, verdict };
        let ran = Ran { task: job.task, queue: job.queue, took };
        Done { settlement, ran: Some(ran), stuck }
    }

    /// Later tries wait for other reasons, and nobody knows here since when.
    fn observe_start(&self, enqueued_at: Timestamp) {
        let LeasedJob { job, attempt: 1, .. } = &self.leased else { return };
        let due = job.scheduled_for.map_or(enqueued_at, |time| time.max(enqueued_at));
        let (queue, task) = (job.queue.as_str(), job.task.as_str());
        self.tools.observer.observe(&Event::JobStarted { queue, task, due });
    }

    async fn end(
        &self,
        envelope: Result<Envelope, PayloadInvalid>,
        trace: TraceContext,
        started: Instant,
    ) -> End {
        let job = &self.leased.job;
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(invalid) => return End::Ended(TaskEnd::PayloadInvalid(invalid)),
        };
        self.observe_start(envelope.meta.enqueued_at);
        let Some(served) = self.tools.registry.find(job.task.as_str()) else {
            // A source that keeps its promise never leases it to this worker.
            return End::Ended(TaskEnd::PayloadInvalid(envelope.args.refused()));
        };
        let deadline = started + job.timeout;
        let context = TaskContext::new(Start {
            leased: &self.leased,
            meta: envelope.meta,
            trace,
            deadline,
            stop: self.stop.token.clone(),
            draining: self.tools.draining.clone(),
            authority: self.tools.authority.clone(),
        });
        let work = served.run(envelope.args, context.clone()).in_current_span();
        let handle = AbortOnDropHandle::new(self.tools.handlers.spawn(work));
        self.watch(handle, served, &context, deadline).await
    }

    /// Waits for the end of the code, and makes it stop when it should.
    async fn watch(
        &self,
        handle: AbortOnDropHandle<TaskEnd>,
        served: &Served,
        context: &TaskContext,
        deadline: Instant,
    ) -> End {
        let abort = handle.abort_handle();
        let mut ended = pin!(async {
            let end = handle.await;
            context.blocking_work_ended().await;
            end.map_or_else(not_by_itself, End::Ended)
        });
        let reported = AtomicU64::new(0);
        let end = tokio::select! {
            biased;
            end = &mut ended => Some(end),
            () = self.stop.token.cancelled() => None,
            () = sleep_until(deadline) => None,
            never = self.pass_progress_on(context, &reported) => match never {},
        };
        let end = match end {
            Some(end) => end,
            None => self.make_stop(ended, &abort, served.spec.takes_context).await,
        };
        self.pass_last_progress_on(context, &reported).await;
        end
    }

    /// Asks the code to stop if it can be asked, then drops it where it waits.
    async fn make_stop(
        &self,
        mut ended: Pin<&mut impl Future<Output = End>>,
        abort: &AbortHandle,
        can_be_asked: bool,
    ) -> End {
        // Unless somebody has asked: then it was for that.
        self.stop.ask(Reason::TimedOut);
        let until = Instant::now() + self.tools.grace;
        if can_be_asked {
            // The last of the grace is for dropping it.
            if let Ok(end) = timeout_at(until - self.tools.grace / 10, &mut ended).await {
                return end;
            }
        }
        abort.abort();
        timeout_at(until, ended).await.unwrap_or(End::Stuck)
    }

    async fn pass_progress_on(&self, context: &TaskContext, reported: &AtomicU64) -> Infallible {
        loop {
            let (number, progress) = context.next_report(reported.load(Ordering::Relaxed)).await;
            let answer = timeout(REPORT_PATIENCE, self.tools.source.report(self.lease(), &progress)).await;
            match answer {
                Ok(Ok(())) => reported.store(number, Ordering::Relaxed),
                Ok(Err(error)) if error.kind() == ErrorKind::LeaseLost => self.stop.ask(Reason::LeaseLost),
                // The next one says the same and more.
                Ok(Err(_)) | Err(_) => {}
            }
            sleep(REPORT_EVERY).await;
        }
    }

    /// So that a job that ended does not look unfinished.
    async fn pass_last_progress_on(&self, context: &TaskContext, reported: &AtomicU64) {
        if let Some((_, progress)) = context.newest_report(reported.load(Ordering::Relaxed)) {
            let report = self.tools.source.report(self.lease(), &progress);
            // If it fails, the outcome says what matters.
            drop(timeout(REPORT_PATIENCE, report).await);
        }
    }

    const fn lease(&self) -> &Lease {
        &self.leased.lease
    }
}

fn not_by_itself(error: JoinError) -> End {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            End::Panicked(text.unwrap_or_else(|| "without a message".to_owned()))
        }
        Err(_) => End::Dropped,
    }
}
