//! [`Compute`] and [`Call`]: the caller's end of the engine.
//!
//! A call is a value that does nothing by itself. Awaiting it waits for the result, always with a deadline;
//! [`Call::enqueue`] sends it off; [`Call::enqueue_in`] sends it off if and only if a transaction commits.

use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use portwright_domain::job::{
    Backoff, Enqueued, JobId, NewJob, Outcome, Priority, QueueName, TaskName, UniqueKey,
};
use portwright_domain::ports::{Clock, Event, IdGenerator, JobQueue, Observer, UnitOfWork};
use portwright_domain::user::UserId;
use portwright_domain::{ErrorKind, Invalid, PortError, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::envelope::{Envelope, Meta};
use super::error::{ComputeError, TaskError};
use super::relay::Bell;
use super::task::TaskSpec;
use crate::trace::Origin;

/// The longest wait for a result, below what proxies allow.
pub const LONGEST_WAIT: Duration = Duration::from_secs(55);

/// What a queue may take beyond the wait before it counts as away.
const SLACK: Duration = Duration::from_secs(2);

/// What counts for tasks that do not say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// How often a job may start; at least 1.
    pub attempts: u32,
    /// The wait between tries.
    pub backoff: Backoff,
    /// How long one try may take.
    pub timeout: Duration,
    /// How long whoever awaits a call waits for its result.
    pub wait: Duration,
}

impl Default for Defaults {
    fn default() -> Self {
        let backoff = Backoff::Exponential { base: Duration::from_secs(1), cap: Duration::from_mins(1) };
        Self { attempts: 3, backoff, timeout: Duration::from_mins(1), wait: Duration::from_secs(10) }
    }
}

/// Hands calls to the queue. Clones are the same.
#[derive(Clone)]
pub struct Compute(Arc<Caller>);

struct Caller {
    queue: Arc<dyn JobQueue>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
    observer: Arc<dyn Observer>,
    defaults: Defaults,
    bell: Bell,
    served: OnceLock<BTreeSet<&'static str>>,
}

impl Compute {
    /// Calls by way of this queue.
    pub fn new(
        queue: Arc<dyn JobQueue>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGenerator>,
        observer: Arc<dyn Observer>,
        defaults: Defaults,
    ) -> Self {
        let (bell, served) = (Bell::default(), OnceLock::new());
        Self(Arc::new(Caller { queue, clock, ids, observer, defaults, bell, served }))
    }

    /// From now on, a call of any other task is refused at once ([`ComputeError::NotServed`]) instead of waiting for a
    /// worker that does not exist. Called once, with [`TaskRegistry::keys`](super::TaskRegistry::keys), when everything
    /// is wired; later calls change nothing.
    pub fn seal(&self, tasks: impl IntoIterator<Item = &'static str>) {
        // Whoever came first has sealed it.
        let _: Result<(), BTreeSet<&str>> = self.0.served.set(tasks.into_iter().collect());
    }

    /// Tells the relay of jobs that were written in a transaction.
    #[must_use]
    pub fn bell(&self) -> &Bell {
        &self.0.bell
    }

    /// A call of this task. Methods marked with `#[compute]` make theirs by this.
    pub fn call<I: Serialize + ?Sized, T, E>(&self, spec: &'static TaskSpec, input: &I) -> Call<'_, T, E> {
        let id = JobId(self.0.ids.next());
        let draft = serde_json::value::to_raw_value(input)
            .map_err(|error| ComputeError::Unwritable { detail: error.to_string() })
            .and_then(|args| self.0.draft(id, spec, args));
        Call { compute: self, id, draft, wait: self.0.defaults.wait, answer: PhantomData }
    }
}

impl Caller {
    fn draft(&self, id: JobId, spec: &TaskSpec, args: Box<RawValue>) -> Result<Draft, ComputeError> {
        // A registry checks its specifications when it is made, so this fails only for one that is in none.
        let not_served = |_: Invalid| ComputeError::NotServed { task: spec.name.to_owned() };
        let job = NewJob {
            id,
            task: TaskName::parse(spec.name).map_err(not_served)?,
            version: spec.version,
            queue: QueueName::parse(spec.queue).map_err(not_served)?,
            priority: Priority::parse(spec.priority).map_err(not_served)?,
            payload: Bytes::new(),
            max_attempts: spec.attempts.unwrap_or(self.defaults.attempts).max(1),
            backoff: spec.backoff.unwrap_or(self.defaults.backoff),
            timeout: spec.timeout.unwrap_or(self.defaults.timeout),
            scheduled_for: None,
            unique: None,
            created_by: None,
            trace: None,
        };
        Ok(Draft { job, args, origin: None })
    }

    /// The job as the queue takes it.
    fn finish(&self, draft: Draft) -> Result<NewJob, ComputeError> {
        let Draft { mut job, args, origin } = draft;
        if self.served.get().is_some_and(|served| !served.contains(job.task.as_str())) {
            return Err(ComputeError::NotServed { task: job.task.as_str().to_owned() });
        }
        let meta = Meta::new(origin.as_ref(), job.created_by, self.clock.now());
        job.trace.clone_from(&meta.trace);
        job.payload = Envelope::pack(job.task.as_str(), job.version, &args, &meta)
            .map_err(|error| ComputeError::Unwritable { detail: error.to_string() })?;
        if job.payload.len() > NewJob::MAX_PAYLOAD {
            return Err(ComputeError::TooLarge { bytes: job.payload.len() });
        }
        Ok(job)
    }

    /// Enqueues the job and waits for its end.
    async fn ask(&self, job: &NewJob, wait: Duration) -> Result<Option<Outcome>, PortError> {
        self.note(job);
        let answer = timeout(wait + SLACK, self.queue.call(job, wait)).await;
        answer.unwrap_or_else(|_| {
            Err(PortError::new(ErrorKind::Unavailable, "jobs.call", "no answer beyond the wait"))
        })
    }

    fn note(&self, job: &NewJob) {
        let (queue, task) = (job.queue.as_str(), job.task.as_str());
        self.observer.observe(&Event::JobEnqueued { queue, task });
    }
}

/// What was said of a job so far.
struct Draft {
    job: NewJob,
    args: Box<RawValue>,
    origin: Option<Origin>,
}

/// A call that is not made yet: `await` it for the result, or `enqueue` it.
#[must_use = "nothing is called before this is awaited or enqueued"]
pub struct Call<'c, T, E> {
    compute: &'c Compute,
    id: JobId,
    draft: Result<Draft, ComputeError>,
    wait: Duration,
    answer: PhantomData<fn() -> Result<T, E>>,
}

impl<T, E> Call<'_, T, E> {
    /// The identity that the job will have, unless another one holds its unique key.
    #[must_use]
    pub const fn id(&self) -> JobId {
        self.id
    }

    /// Waits this long for the result instead of the default, at most [`LONGEST_WAIT`].
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait.min(LONGEST_WAIT);
        self
    }

    /// 0–15, the higher the sooner; more counts as 15.
    pub fn priority(self, priority: u8) -> Self {
        self.change(|draft| draft.job.priority = Priority::parse(priority).unwrap_or(Priority::MAX))
    }

    /// Not before this time has passed.
    pub fn after(self, delay: Duration) -> Self {
        let due = self.compute.0.clock.now().plus(delay);
        self.at(due)
    }

    /// Not before this moment.
    pub fn at(self, due: Timestamp) -> Self {
        self.change(|draft| draft.job.scheduled_for = Some(due))
    }

    /// While another job of this task with this key is unfinished, the call is that job's: nothing is enqueued, and its
    /// result is waited for.
    pub fn unique(self, key: UniqueKey) -> Self {
        self.change(|draft| draft.job.unique = Some(key))
    }

    /// On behalf of this user, who may then look at the job.
    pub fn created_by(self, user: UserId) -> Self {
        self.change(|draft| draft.job.created_by = Some(user))
    }

    /// Because of this request or job, and so in its trace.
    pub fn caused_by(self, origin: Origin) -> Self {
        self.change(|draft| draft.origin = Some(origin))
    }

    /// As the job of this id. Enqueuing it twice, in whichever process, is one job.
    pub fn with_id(mut self, id: JobId) -> Self {
        self.id = id;
        self.change(|draft| draft.job.id = id)
    }

    fn change(mut self, change: impl FnOnce(&mut Draft)) -> Self {
        if let Ok(draft) = &mut self.draft {
            change(draft);
        }
        self
    }

    /// Sends it off and does not wait for the result. Once this returns, the job is durable.
    ///
    /// Answers the id of the job that will run: of the one that holds the unique key, if there is one.
    pub async fn enqueue(self) -> Result<JobId, ComputeError> {
        let caller = &*self.compute.0;
        let job = caller.finish(self.draft?)?;
        let answer = timeout(SLACK * 2, caller.queue.enqueue(std::slice::from_ref(&job))).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(PortError::new(ErrorKind::Unavailable, "jobs.enqueue", "no answer in 4 s"))
        });
        match answer?.first() {
            Some(Enqueued::Held(holder)) => return Ok(*holder),
            Some(Enqueued::New) => caller.note(&job),
            Some(Enqueued::Known) | None => {}
        }
        Ok(job.id)
    }

    /// Writes it into a transaction: the job becomes runnable if and only if that commits, moments after it does.
    ///
    /// Answers the id of the job, although another one may hold its unique key by then; it never runs in that case.
    pub async fn enqueue_in(self, unit: &mut dyn UnitOfWork) -> Result<JobId, ComputeError> {
        let caller = &*self.compute.0;
        let job = caller.finish(self.draft?)?;
        unit.outbox().enqueue(&job).await?;
        caller.bell.expect_a_commit();
        Ok(job.id)
    }
}

/// The call under way.
pub type Answer<'c, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>;

impl<'c, T, E> IntoFuture for Call<'c, T, E>
where
    T: DeserializeOwned + 'c,
    E: TaskError,
{
    type Output = Result<T, E>;
    type IntoFuture = Answer<'c, T, E>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { compute, id, draft, wait, .. } = self;
        Box::pin(async move {
            let job = draft.and_then(|draft| compute.0.finish(draft))?;
            match compute.0.ask(&job, wait).await.map_err(ComputeError::from)? {
                Some(outcome) => read(id, outcome),
                None => Err(ComputeError::Unfinished { job: id }.into()),
            }
        })
    }
}

/// What an outcome means to whoever asked.
fn read<T: DeserializeOwned, E: TaskError>(job: JobId, outcome: Outcome) -> Result<T, E> {
    let unreadable = |error: serde_json::Error| ComputeError::Unreadable { job, detail: error.to_string() };
    match outcome {
        Outcome::Succeeded(result) => Ok(serde_json::from_slice(&result).map_err(unreadable)?),
        Outcome::Failed(error) => Err(serde_json::from_slice(&error).map_err(unreadable)?),
        Outcome::Dead(death) => Err(ComputeError::Dead { job, cause: death.cause }.into()),
        Outcome::Cancelled => Err(ComputeError::Cancelled { job }.into()),
    }
}

impl fmt::Debug for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compute").field("defaults", &self.0.defaults).finish_non_exhaustive()
    }
}

impl<T, E> fmt::Debug for Call<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("id", &self.id).field("wait", &self.wait).finish_non_exhaustive()
    }
}
