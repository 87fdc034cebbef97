//! [`RedisJobQueue`]: both halves of the queue, for any number of processes.
//!
//! Everything that changes a job is one script, `lua/*.lua`, which runs at once and alone: what `lua/life.lua` does is
//! what the domain's [`Life`](portwright_domain::job::Life) says.
//!
//! - `wire` sends what is asked to the script, many questions together (group commit); `ask` is one of them.
//! - `codec` is jobs as bytes, as the script keeps them, made by `packing`; `ending` the deaths that it decides by itself.
//! - `exchange` is settling, leasing and waiting for a job; `hand_back` for jobs that were leased to nobody.
//! - `listener` hears what this process is told, `waiters` are those who wait for it, `vigil` is waiting for an end.
//! - `listing` is lists; `open` what is looked at before a queue is trusted to a Redis.

mod ask;
mod codec;
mod ending;
mod exchange;
mod hand_back;
mod listener;
mod listing;
mod open;
mod packing;
mod vigil;
mod waiters;
mod wire;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::job::{
    Enqueued, Job, JobId, Lease, NewJob, Outcome, Progress, QueueName, Run, WorkerId,
};
use portwright_domain::page::{Page, PageRequest};
use portwright_domain::ports::job_queue::{
    Cancelled, Exchange, JobFilter, LeaseRequest, Limits, QueueStatus, Removed, Renewal, Settlement,
};
use portwright_domain::ports::{Clock, JobQueue, JobSource};
use portwright_domain::{ErrorKind, PortError};
use redis::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use self::ask::{Answer, Arguments, array, bytes, corrupt, count, number, time, values};
use self::listener::{Ears, Listener};
use self::vigil::{ASK_AGAIN, Ended, ended};
use self::wire::Wire;
use crate::RedisConfig;
use crate::connection::Connection;

/// What the script answers where it is not the thing that was asked for; see `tick.lua`.
const IS_NEW: i64 = 0;
const IS_KNOWN: i64 = 1;

/// The queue in a Redis, which any number of processes share.
pub struct RedisJobQueue {
    wire: Wire,
    limits: Limits,
    /// The name under which this one is told of what it waits for.
    process: String,
    tickets: AtomicU64,
    ears: Ears,
    connections: watch::Sender<u64>,
    _listener: JoinSet<()>,
}

impl RedisJobQueue {
    /// Connects, and checks that the jobs are safe there. Leases, delays and retention go by the time of the server. Each
    /// process keeps to the limits it is given, so they should be the same everywhere.
    ///
    /// # Errors
    /// `Misconfigured` if the server refuses the user or something that the queue does, is too old, holds something else
    /// under our keys, or may lose jobs (see [`RedisConfig::may_lose_jobs`]); `Unavailable` if no server takes writes.
    pub async fn init(config: &RedisConfig, limits: Limits) -> Result<Self, PortError> {
        Self::begin(config, limits, None).await
    }

    /// The same, but leases, delays and retention go by this clock, so that a test can move time.
    pub async fn init_with_clock(
        config: &RedisConfig,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PortError> {
        Self::begin(config, limits, Some(clock)).await
    }

    async fn begin(
        config: &RedisConfig,
        limits: Limits,
        clock: Option<Arc<dyn Clock>>,
    ) -> Result<Self, PortError> {
        let connection = Connection::open(config, "jobs.init").await?;
        open::check(&connection, config).await?;
        let process = format!("{:016x}", RandomState::new().hash_one(&config.namespace));
        let (heard, heard_by) = watch::channel(String::new());
        let (connections, mut connected) = watch::channel(0);
        let wire = Wire::begin(connection.clone(), config, &limits, clock, process.clone(), heard_by);
        let ears = Ears::default();
        let mut listener = JoinSet::new();
        listener.spawn(
            Listener {
                connection,
                key: config.key(&format!("told:{process}")),
                response: config.response,
                ears: ears.clone(),
                wire: wire.clone(),
                heard,
                connections: connections.clone(),
            }
            .run(),
        );
        // The first one is no reason to ask again.
        drop(timeout(config.connect, connected.changed()).await);
        Ok(Self { wire, limits, process, tickets: AtomicU64::new(0), ears, connections, _listener: listener })
    }

    /// A name for a wait, which no other has.
    fn ticket(&self) -> String {
        format!("{}{:x}", self.process, self.tickets.fetch_add(1, Ordering::Relaxed))
    }

    /// What the script answers to a question about one job.
    async fn ask_of<T>(
        &self,
        operation: &'static str,
        name: &str,
        job: JobId,
        read: impl FnOnce(Answer) -> Option<T>,
    ) -> Result<T, PortError> {
        let arguments = Arguments::of(name).with(job.0.as_bytes());
        let answer = self.wire.ask(operation, arguments, vec![job]).await?;
        read(answer).ok_or_else(|| corrupt(operation))
    }
}

fn refuse_large(operation: &'static str, jobs: &[NewJob]) -> Result<(), PortError> {
    if jobs.iter().any(|job| job.payload.len() > NewJob::MAX_PAYLOAD) {
        return Err(PortError::new(ErrorKind::Unsupported, operation, "a payload is too large"));
    }
    Ok(())
}

fn full(operation: &'static str) -> PortError {
    PortError::new(ErrorKind::Unavailable, operation, Limits::FULL)
}

fn put_job(arguments: &mut Arguments, job: &NewJob) {
    arguments.add(job.id.0.as_bytes());
    arguments.add(codec::kind(job));
    let (made, spec) = codec::made(job);
    arguments.add(made);
    if let Some(spec) = spec {
        arguments.add(spec);
    }
}

fn enqueued(answer: &Value) -> Option<Enqueued> {
    match answer {
        Value::Int(IS_NEW) => Some(Enqueued::New),
        Value::Int(IS_KNOWN) => Some(Enqueued::Known),
        Value::BulkString(holder) => codec::id(holder).map(Enqueued::Held),
        _ => None,
    }
}

#[async_trait]
impl JobQueue for RedisJobQueue {
    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, PortError> {
        const OPERATION: &str = "jobs.enqueue";
        refuse_large(OPERATION, jobs)?;
        let mut asked = Arguments::of("enqueue").with_number(self.limits.room_for(jobs));
        asked.add_number(jobs.len() as u64);
        for job in jobs {
            put_job(&mut asked, job);
        }
        let answer = self.wire.ask(OPERATION, asked, jobs.iter().map(|job| job.id).collect()).await?;
        if number(&answer.value).is_some() {
            return Err(full(OPERATION));
        }
        let answers = array(answer.value).and_then(|answers| answers.iter().map(enqueued).collect());
        answers.ok_or_else(|| corrupt(OPERATION))
    }

    async fn call(&self, job: &NewJob, wait: Duration) -> Result<Option<Outcome>, PortError> {
        const OPERATION: &str = "jobs.call";
        let only = std::slice::from_ref(job);
        refuse_large(OPERATION, only)?;
        let mut vigil = self.wait_for(job.id, wait);
        let mut asked = Arguments::of("call").with(&self.process).with_number(self.limits.room_for(only));
        put_job(&mut asked, job);
        let answer = self.wire.ask(OPERATION, asked, vec![job.id]).await?;
        if number(&answer.value).is_some() {
            return Err(full(OPERATION));
        }
        let read = || {
            let [id, answer] = values(answer.value)?;
            Some((codec::id(&bytes(id)?)?, ended(answer)?))
        };
        let (id, answer) = read().ok_or_else(|| corrupt(OPERATION))?;
        match answer {
            Ended::Unknown => return Ok(None),
            Ended::With(outcome) => return Ok(Some(outcome)),
            Ended::NotYet => {}
        }
        if id != job.id {
            return self.wait_for(id, vigil.left()).end().await;
        }
        match vigil.is_told().await {
            Some(outcome) => Ok(Some(outcome)),
            None if vigil.left().is_zero() => Ok(None),
            None => vigil.end().await,
        }
    }

    async fn find(&self, id: JobId) -> Result<Option<Job>, PortError> {
        self.ask_of("jobs.find", "find", id, found).await
    }

    async fn removed(&self, id: JobId) -> Result<Option<Removed>, PortError> {
        let read = |answer: Answer| match answer.value {
            Value::Nil => Some(None),
            value => {
                let [at, created_by] = values(value)?;
                Some(Some(Removed { created_by: codec::user(&bytes(created_by)?)?, at: time(&at)?? }))
            }
        };
        self.ask_of("jobs.removed", "removed", id, read).await
    }

    async fn outcome(&self, id: JobId, wait: Duration) -> Result<Option<Outcome>, PortError> {
        self.wait_for(id, wait).end().await
    }

    async fn changed(&self, seen: &Job, wait: Duration) -> Result<Option<Job>, PortError> {
        const OPERATION: &str = "jobs.changed";
        let id = seen.spec.id;
        let deadline = Instant::now() + wait;
        let mut connections = self.connections.subscribe();
        loop {
            connections.mark_unchanged();
            let mut listening = self.ears.changes.listen(id);
            let asked = Arguments::of("follow").with(id.0.as_bytes()).with(&self.process);
            let answer = self.wire.ask(OPERATION, asked, vec![id]).await?;
            let job = found(answer).ok_or_else(|| corrupt(OPERATION))?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || job.as_ref() != Some(seen) {
                return Ok(job);
            }
            tokio::select! {
                _ = timeout(left.min(ASK_AGAIN), &mut listening.told) => {}
                _ = connections.changed() => {}
            }
        }
    }

    async fn list(&self, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, PortError> {
        self.look_through(filter, page).await
    }

    async fn cancel(&self, id: JobId) -> Result<Cancelled, PortError> {
        let read = |answer: Answer| match bytes(answer.value)?.as_slice() {
            b"prevented" => Some(Cancelled::Prevented),
            b"requested" => Some(Cancelled::Requested),
            b"too late" => Some(Cancelled::TooLate),
            _ => Some(Cancelled::Unknown),
        };
        self.ask_of("jobs.cancel", "cancel", id, read).await
    }

    async fn retry(&self, id: JobId) -> Result<bool, PortError> {
        const OPERATION: &str = "jobs.retry";
        let retried = self.ask_of(OPERATION, "retry", id, |answer| Some(number(&answer.value))).await?;
        retried.map(|retried| retried == 1).ok_or_else(|| PortError::conflict(OPERATION, "jobs.unique"))
    }

    async fn queues(&self) -> Result<Vec<QueueStatus>, PortError> {
        const OPERATION: &str = "jobs.queues";
        let Answer { value, now, .. } = self.wire.ask(OPERATION, Arguments::of("queues"), Vec::new()).await?;
        let read = |status| {
            let [name, paused, scheduled, ready, running, dead, since] = values(status)?;
            Some(QueueStatus {
                name: QueueName::parse(std::str::from_utf8(&bytes(name)?).ok()?).ok()?,
                paused: number(&paused)? == 1,
                scheduled: count(&scheduled)?,
                ready: count(&ready)?,
                running: count(&running)?,
                dead: count(&dead)?,
                oldest_ready: time(&since)?.map(|since| now.since(since)),
            })
        };
        let statuses = array(value).and_then(|statuses| statuses.into_iter().map(read).collect());
        statuses.ok_or_else(|| corrupt(OPERATION))
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<(), PortError> {
        let asked = Arguments::of("pause").with(queue.as_str()).with(if paused { "1" } else { "0" });
        self.wire.ask("jobs.set_paused", asked, Vec::new()).await.map(drop)
    }
}

/// A job, if it was found.
#[expect(clippy::option_option, reason = "the outer one is whether it could be read")]
fn found(Answer { value, now, .. }: Answer) -> Option<Option<Job>> {
    match value {
        Value::Nil => Some(None),
        value => listing::job(value, now).map(Some),
    }
}

#[async_trait]
impl JobSource for RedisJobQueue {
    async fn exchange(&self, settle: &[Settlement], want: &LeaseRequest) -> Result<Exchange, PortError> {
        if settle.is_empty() && want.max > 0 && !want.wait.is_zero() {
            return self.wait_for_jobs(want).await;
        }
        self.settle(settle, want).await
    }

    async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<Renewal, PortError> {
        const OPERATION: &str = "jobs.renew";
        let mut asked = Arguments::of("renew").with(worker.as_str());
        asked.add_duration(lease);
        let answer = self.wire.ask(OPERATION, asked, Vec::new()).await?;
        let mut renewal = Renewal::default();
        for held in array(answer.value).ok_or_else(|| corrupt(OPERATION))? {
            let read = || {
                let [id, run, cancelled] = values(held)?;
                Some((codec::id(&bytes(id)?)?, Run(count(&run)?), number(&cancelled)? == 1))
            };
            let (job, run, is_cancelled) = read().ok_or_else(|| corrupt(OPERATION))?;
            if is_cancelled {
                renewal.cancelled.push(job);
            }
            renewal.held.push(Lease { job, run, worker: worker.clone() });
        }
        Ok(renewal)
    }

    async fn report(&self, lease: &Lease, progress: &Progress) -> Result<(), PortError> {
        const OPERATION: &str = "jobs.report";
        let asked = Arguments::of("report").with(lease.job.0.as_bytes()).with_number(lease.run.0);
        let asked = asked.with(lease.worker.as_str()).with(codec::progress(progress));
        let answer = self.wire.ask(OPERATION, asked, vec![lease.job]).await?;
        match number(&answer.value) {
            Some(1) => Ok(()),
            _ => Err(PortError::new(ErrorKind::LeaseLost, OPERATION, "another lease of that job came later")),
        }
    }

    async fn bury(&self, worker: &WorkerId) -> Result<u64, PortError> {
        const OPERATION: &str = "jobs.bury";
        let asked = Arguments::of("bury").with(worker.as_str());
        let answer = self.wire.ask(OPERATION, asked, Vec::new()).await?;
        count(&answer.value).ok_or_else(|| corrupt(OPERATION))
    }

    async fn reclaim(&self) -> Result<u64, PortError> {
        const OPERATION: &str = "jobs.reclaim";
        let answer = self.wire.ask(OPERATION, Arguments::of("reclaim"), Vec::new()).await?;
        count(&answer.value).ok_or_else(|| corrupt(OPERATION))
    }
}

impl fmt::Debug for RedisJobQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisJobQueue").field("process", &self.process).finish_non_exhaustive()
    }
}
