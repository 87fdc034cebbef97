//! [`SqliteJobQueue`]: both halves of the queue in one file of their own; decision record 7 says why.
//!
//! - `writer` is the thread that owns the file: it takes what it is asked into transactions (group commit), and lets
//!   workers wait without polling.
//! - `tick` and `leases` are what may be asked of a transaction; the rules themselves are the domain's
//!   [`Life`](portwright_domain::job::Life).
//! - `record`, `columns` and `memo` are jobs as rows, and what need not be read again each time.
//! - `ready` is the order in which jobs start.
//! - `hand_back` is for jobs that were leased to nobody.
//! - `disk` says when a commit can no longer be lost, `log` keeps the write-ahead log small.
//! - `reads` are questions that change nothing, `waiters` those who wait for an outcome, `followers` those who want to
//!   hear of every change.

mod columns;
mod disk;
pub(crate) mod export;
mod followers;
mod hand_back;
mod leases;
mod log;
mod memo;
mod open;
mod reads;
mod ready;
mod record;
mod tick;
mod waiters;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::job::{Enqueued, Job, JobId, Lease, NewJob, Outcome, Progress, QueueName, WorkerId};
use portwright_domain::page::{Page, PageRequest};
use portwright_domain::ports::job_queue::{
    Cancelled, Exchange, JobFilter, LeaseRequest, Limits, QueueStatus, Removed, Renewal, Settlement,
};
use portwright_domain::ports::{Clock, JobQueue, JobSource};
use portwright_domain::{ErrorKind, PortError};
use sqlx::Connection as _;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::{Instant, timeout};

use self::disk::Disk;
use self::followers::Followers;
use self::hand_back::{Unread, leases};
use self::log::Log;
use self::memo::Memo;
use self::reads::Readers;
use self::tick::Tick;
use self::waiters::Waiters;
use self::writer::{Failure, Inbox, Message, Parked, Question, Writer};
use crate::{SqliteConfig, migrate};

/// So many calls may wait for the writer at once; more wait for a place.
const CALLS: usize = 4_096;

/// The queue in this process. One process owns the file; others ask it.
pub struct SqliteJobQueue {
    inbox: Inbox,
    places: Semaphore,
    readers: Readers,
    waiters: Arc<Waiters>,
    followers: Arc<Followers>,
    disk: Arc<Disk>,
    clock: Arc<dyn Clock>,
    /// Bounds the wait for the writer, a reader and the disk, each.
    wait: Duration,
    path: PathBuf,
}

impl SqliteJobQueue {
    /// Opens the file, makes it if it is missing, checks it, and brings its tables up to date. Leases, delays and
    /// retention go by this clock. Only one process at a time may do so, which the caller ensures.
    ///
    /// # Errors
    /// `Misconfigured` if the file cannot be opened or written, or if its migrations are not this program's; `Corrupt`
    /// if it is damaged or no database; `Contended` if another process held it for too long. The file is left as it was.
    pub async fn init(
        config: &SqliteConfig,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PortError> {
        const OPERATION: &str = "jobs.init";
        let mut first = crate::open::first(config).await?;
        migrate::apply(&mut first, &migrate::QUEUE).await?;

        let failed = |error: rusqlite::Error| Failure::of(&error).during(OPERATION);
        let connection = open::writer(&config.path).map_err(failed)?;
        let memo = Memo::read(&connection, clock.now()).map_err(failed)?;
        // After the writer's is open, so that the log stays.
        first.close().await.map_err(|error| crate::error::port_error(OPERATION, error))?;

        let unusable = |error: std::io::Error| {
            let detail = format!("{}: the log cannot be watched", config.path.display());
            PortError::new(ErrorKind::Misconfigured, OPERATION, detail).with_source(error)
        };
        let disk = Disk::of(&config.path).map_err(unusable)?;
        let (waiters, followers) = (Arc::new(Waiters::default()), Arc::new(Followers::default()));
        let (inbox, messages) = channel();
        let writer = Writer {
            connection,
            memo,
            limits,
            clock: clock.clone(),
            inbox: messages,
            waiters: waiters.clone(),
            followers: followers.clone(),
            disk: disk.clone(),
            log: Log::of(&config.path).map_err(unusable)?,
            parked: Vec::new(),
            next_due: Some(clock.now()),
        };
        let thread = std::thread::Builder::new().name("queue-writer".to_owned());
        thread.spawn(move || writer.run()).map_err(unusable)?;
        Ok(Self {
            inbox,
            places: Semaphore::new(CALLS),
            readers: Readers::new(config.path.clone(), config.readers, config.wait),
            waiters,
            followers,
            disk,
            clock,
            wait: config.wait,
            path: config.path.clone(),
        })
    }

    /// Finishes what was asked before, and closes the file; whatever is asked from now on is `Unavailable`.
    pub async fn close(&self) {
        let (closed, closing) = oneshot::channel();
        if self.inbox.send(Message::Close(closed)).is_ok() {
            drop(timeout(self.wait, closing).await);
        }
        self.readers.close();
    }

    /// Every worker that holds a job, whether it lives or not.
    ///
    /// # Errors
    /// `Unavailable` if the queue is busy or closed.
    pub async fn holders(&self) -> Result<Vec<WorkerId>, PortError> {
        self.readers.ask("jobs.holders", reads::holders).await
    }

    /// What the writer answers, and the number of the commit with which it came true.
    async fn ask<T: Send + 'static>(
        &self,
        operation: &'static str,
        run: impl FnMut(&mut Tick<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<(T, u64), PortError> {
        let (reply, answered) = oneshot::channel();
        let _place = self.tell(operation, Question::ask(operation, run, reply, |_| Vec::new())).await?;
        let answer = timeout(self.wait, answered).await.map_err(|_elapsed| too_slow(operation))?;
        answer.map_err(|_| closed(operation))?
    }

    /// Sends this to the writer; keep the place until it has answered.
    async fn tell(
        &self,
        operation: &'static str,
        message: Message,
    ) -> Result<SemaphorePermit<'_>, PortError> {
        let place =
            timeout(self.wait, self.places.acquire()).await.map_err(|_elapsed| too_slow(operation))?;
        let place = place.map_err(|_| closed(operation))?;
        self.inbox.send(message).map_err(|_| closed(operation))?;
        Ok(place)
    }

    /// The same, answered when it is on the disk.
    async fn ask_durably<T: Send + 'static>(
        &self,
        operation: &'static str,
        run: impl FnMut(&mut Tick<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        let (answer, commit) = self.ask(operation, run).await?;
        self.disk.reached(commit, self.wait).await?;
        Ok(answer)
    }
}

fn too_slow(operation: &'static str) -> PortError {
    PortError::new(ErrorKind::Unavailable, operation, "the queue did not answer in time")
}

fn closed(operation: &'static str) -> PortError {
    PortError::new(ErrorKind::Unavailable, operation, "the queue is closed")
}

fn refuse_large(operation: &'static str, jobs: &[NewJob]) -> Result<(), PortError> {
    if jobs.iter().any(|job| job.payload.len() > NewJob::MAX_PAYLOAD) {
        return Err(PortError::new(ErrorKind::Unsupported, operation, "a payload is too large"));
    }
    Ok(())
}

#[async_trait]
impl JobQueue for SqliteJobQueue {
    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, PortError> {
        refuse_large("jobs.enqueue", jobs)?;
        let jobs = jobs.to_vec();
        self.ask_durably("jobs.enqueue", move |tick| tick.enqueue(&jobs)).await?
    }

    async fn call(&self, job: &NewJob, wait: Duration) -> Result<Option<Outcome>, PortError> {
        refuse_large("jobs.call", std::slice::from_ref(job))?;
        let deadline = Instant::now() + wait;
        let listening = self.waiters.listen(job.id);
        let jobs = [job.clone()];
        let (enqueued, commit) = self.ask("jobs.call", move |tick| tick.enqueue(&jobs)).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        let outcome = match enqueued?.first() {
            Some(Enqueued::Known) => self.outcome(job.id, left).await?,
            Some(Enqueued::Held(holder)) => self.outcome(*holder, left).await?,
            Some(Enqueued::New) | None => listening.end(left).await,
        };
        if outcome.is_none() {
            self.disk.reached(commit, self.wait).await?;
        }
        Ok(outcome)
    }

    async fn find(&self, id: JobId) -> Result<Option<Job>, PortError> {
        let now = self.clock.now();
        self.readers.ask("jobs.find", move |connection| reads::find(connection, id, now)).await
    }

    async fn removed(&self, id: JobId) -> Result<Option<Removed>, PortError> {
        let now = self.clock.now();
        self.readers.ask("jobs.removed", move |connection| reads::removed(connection, id, now)).await
    }

    async fn outcome(&self, id: JobId, wait: Duration) -> Result<Option<Outcome>, PortError> {
        // Before the look, so that an end between the look and the wait is not missed.
        let listening = self.waiters.listen(id);
        match self.find(id).await? {
            None => Ok(None),
            Some(Job { outcome: Some(outcome), .. }) => Ok(Some(outcome)),
            Some(_) => Ok(listening.end(wait).await),
        }
    }

    async fn changed(&self, seen: &Job, wait: Duration) -> Result<Option<Job>, PortError> {
        let deadline = Instant::now() + wait;
        // Before the look, so that a change between the look and the wait is not missed.
        let mut following = self.followers.follow(seen.spec.id);
        loop {
            let job = self.find(seen.spec.id).await?;
            if job.as_ref() != Some(seen) || !following.told_before(deadline).await {
                return Ok(job);
            }
        }
    }

    async fn list(&self, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, PortError> {
        let (filter, page, now) = (filter.clone(), page.clone(), self.clock.now());
        self.readers.ask("jobs.list", move |connection| reads::list(connection, &filter, &page, now)).await
    }

    async fn cancel(&self, id: JobId) -> Result<Cancelled, PortError> {
        self.ask_durably("jobs.cancel", move |tick| tick.cancel(id)).await
    }

    async fn retry(&self, id: JobId) -> Result<bool, PortError> {
        self.ask_durably("jobs.retry", move |tick| tick.retry(id)).await?
    }

    async fn queues(&self) -> Result<Vec<QueueStatus>, PortError> {
        let now = self.clock.now();
        self.readers.ask("jobs.queues", move |connection| reads::queues(connection, now)).await
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<(), PortError> {
        let queue = queue.clone();
        self.ask_durably("jobs.set_paused", move |tick| tick.set_paused(&queue, paused)).await
    }
}

#[async_trait]
impl JobSource for SqliteJobQueue {
    async fn exchange(&self, settle: &[Settlement], want: &LeaseRequest) -> Result<Exchange, PortError> {
        const OPERATION: &str = "jobs.exchange";
        let (reply, answered) = oneshot::channel();
        let mut unread = Unread { answered, inbox: self.inbox.clone() };
        let waits = settle.is_empty() && want.max > 0 && !want.wait.is_zero();
        let answer = if waits {
            let parked = Parked { want: want.clone(), reply, tried: false };
            self.inbox.send(Message::Park(parked)).map_err(|_| closed(OPERATION))?;
            match timeout(want.wait, &mut unread.answered).await {
                Ok(answer) => answer,
                Err(_elapsed) => return Ok(Exchange::default()),
            }
        } else {
            let (settle, want) = (settle.to_vec(), want.clone());
            let question = Question::ask(OPERATION, move |tick| tick.exchange(&settle, &want), reply, leases);
            let _place = self.tell(OPERATION, question).await?;
            let answer = timeout(self.wait, &mut unread.answered).await;
            answer.map_err(|_elapsed| too_slow(OPERATION))?
        };
        answer.map_err(|_| closed(OPERATION))?.map(|(exchange, _)| exchange)
    }

    async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<Renewal, PortError> {
        let worker = worker.clone();
        self.ask("jobs.renew", move |tick| tick.renew(&worker, lease)).await.map(|(renewal, _)| renewal)
    }

    async fn report(&self, lease: &Lease, progress: &Progress) -> Result<(), PortError> {
        const OPERATION: &str = "jobs.report";
        let (lease, progress) = (lease.clone(), progress.clone());
        let (taken, _) = self.ask(OPERATION, move |tick| tick.report(&lease, &progress)).await?;
        if taken {
            return Ok(());
        }
        Err(PortError::new(ErrorKind::LeaseLost, OPERATION, "another lease of that job came later"))
    }

    async fn bury(&self, worker: &WorkerId) -> Result<u64, PortError> {
        let worker = worker.clone();
        self.ask("jobs.bury", move |tick| tick.bury(&worker)).await.map(|(buried, _)| buried)
    }

    async fn reclaim(&self) -> Result<u64, PortError> {
        #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is for one lifetime only")]
        let asked = self.ask("jobs.reclaim", |tick| tick.reclaim());
        asked.await.map(|(reclaimed, _)| reclaimed)
    }
}

impl fmt::Debug for SqliteJobQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteJobQueue").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
