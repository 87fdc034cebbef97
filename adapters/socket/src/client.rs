//! [`QueueClient`]: the queue of another process on this host, as if it were ours.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::job::{Enqueued, Job, JobId, Lease, NewJob, Outcome, Progress, QueueName, WorkerId};
use portwright_domain::page::{Page, PageRequest};
use portwright_domain::ports::job_queue::{
    Cancelled, Exchange, JobFilter, LeaseRequest, QueueStatus, Removed, Renewal, Settlement,
};
use portwright_domain::ports::{JobQueue, JobSource};
use portwright_domain::{ErrorKind, PortError};
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::frame::{pack, receive, send_all, unpack};
use crate::path::Address;
use crate::protocol::{Failure, GREETING, Message, Reply, Request};

/// How long the server may take to answer, beyond what the request itself waits for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Frames that wait to be written; more wait to be queued.
const OUTGOING: usize = 256;

/// A client of the queue that a server on this host owns. Connects when it is first asked, and again when the connection
/// was lost; a request that was under way then is `Unavailable`, and may or may not have happened.
pub struct QueueClient {
    directory: PathBuf,
    connection: Mutex<Option<Connection>>,
    last_number: AtomicU64,
}

#[derive(Clone)]
struct Connection {
    outgoing: mpsc::Sender<Vec<u8>>,
    waiting: Waiting,
    lost: CancellationToken,
    /// Why it was lost, where that is known.
    reason: Arc<OnceLock<String>>,
    /// The task of the connection ends with its last user.
    _guard: Arc<DropGuard>,
}

/// Who waits for which answer.
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Vec<u8>>>>>;

impl QueueClient {
    /// The queue of the server whose data directory this is.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), connection: Mutex::default(), last_number: AtomicU64::new(0) }
    }

    /// The connection, or a new one. A task of its own connects: no caller that is slow, or goes away, holds up others.
    fn connection(&self) -> Connection {
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.as_ref().filter(|connection| !connection.lost.is_cancelled()) {
            Some(connection) => connection.clone(),
            None => slot.insert(Connection::open(self.directory.clone())).clone(),
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: Request,
    ) -> Result<T, PortError> {
        let unavailable = |detail: String| PortError::new(ErrorKind::Unavailable, operation, detail);
        let unreadable = |error: io::Error| {
            PortError::new(ErrorKind::Corrupt, operation, "not a message").with_source(error)
        };
        let patience = request.wait() + PATIENCE;
        let leases = matches!(request, Request::Exchange(..));
        let number = self.last_number.fetch_add(1, Ordering::Relaxed);
        let connection = self.connection();
        let frame = pack(&Message::Ask(number, request)).map_err(|error| {
            PortError::new(ErrorKind::Unsupported, operation, "the request is too long").with_source(error)
        })?;
        let (answered, answer) = oneshot::channel();
        lock(&connection.waiting).insert(number, answered);
        let mut asking = Asking { connection: &connection, number, answer, owes_receipt: leases };
        let answer = tokio::select! {
            biased;
            answer = timeout(patience, connection.ask(frame, &mut asking.answer)) => answer,
            () = connection.lost.cancelled() => return Err(unavailable(connection.why_lost())),
        };
        let Ok(Some(answer)) = answer else {
            // It may yet answer with leases that nobody here knows of: a lost connection makes it hand them back.
            connection.lost.cancel();
            return Err(unavailable("the queue did not answer in time".to_owned()));
        };
        let answer: Result<T, Failure> = unpack(&answer).map_err(unreadable)?;
        if leases && answer.is_ok() {
            let received = pack(&Message::Received(number)).map_err(unreadable)?;
            // If it is lost, the jobs go to somebody else as well, and fencing decides.
            let _ = connection.outgoing.send(received).await;
        }
        asking.owes_receipt = false;
        answer.map_err(|failure| failure.into_error(operation))
    }
}

impl Connection {
    fn open(directory: PathBuf) -> Self {
        let (outgoing, frames) = mpsc::channel(OUTGOING);
        let lost = CancellationToken::new();
        let guard = Arc::new(lost.clone().drop_guard());
        let connection =
            Self { outgoing, waiting: Waiting::default(), lost, reason: Arc::default(), _guard: guard };
        let Self { lost, waiting, reason, .. } = connection.clone();
        let refusals = connection.outgoing.downgrade();
        let work = async move {
            let ended = tokio::select! {
                () = lost.cancelled() => Ok(()),
                ended = converse(&directory, frames, &waiting, &refusals) => ended,
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "the connection to the queue ended");
                let _ = reason.set(error.to_string());
            }
            lost.cancel();
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "ends with the connection, whose last user drops the guard"
        )]
        drop(tokio::spawn(work));
        connection
    }

    /// Sends a request and waits for its answer; `None` once nobody can answer any more.
    async fn ask(&self, frame: Vec<u8>, answer: &mut oneshot::Receiver<Vec<u8>>) -> Option<Vec<u8>> {
        self.outgoing.send(frame).await.ok()?;
        answer.await.ok()
    }

    fn why_lost(&self) -> String {
        let reason = self.reason.get().map_or("it was closed", String::as_str);
        format!("no connection to the server that owns the queue ({reason})")
    }
}

async fn converse(
    directory: &Path,
    frames: mpsc::Receiver<Vec<u8>>,
    waiting: &Waiting,
    refusals: &mpsc::WeakSender<Vec<u8>>,
) -> io::Result<()> {
    let stream = timeout(PATIENCE, connect(directory)).await.map_err(io::Error::other)??;
    let (incoming, mut half) = stream.into_split();
    tokio::select! {
        sent = send_all(frames, &mut half) => sent,
        read = read_all(incoming, waiting, refusals) => read,
    }
}

async fn connect(directory: &Path) -> io::Result<UnixStream> {
    let address = Address::within(directory)?;
    let mut stream = UnixStream::connect(address.path()).await?;
    let theirs = receive(&mut stream).await?;
    let theirs: String = unpack(&theirs.unwrap_or_default())?;
    if theirs != GREETING {
        return Err(io::Error::other(format!("the server is another version: {theirs}; this is {GREETING}")));
    }
    stream.write_all(&pack(&GREETING)?).await?;
    Ok(stream)
}

async fn read_all(
    mut reading: OwnedReadHalf,
    waiting: &Waiting,
    outgoing: &mpsc::WeakSender<Vec<u8>>,
) -> io::Result<()> {
    while let Some(message) = receive(&mut reading).await? {
        let Reply { number, answer } = unpack(&message)?;
        let asked = lock(waiting).remove(&number);
        let taken = asked.is_some_and(|asked| asked.send(answer).is_ok());
        if !taken && let Some(outgoing) = outgoing.upgrade() {
            // Whoever asked has gone; if there are leases in the answer, nobody would ever run the jobs.
            let _ = outgoing.send(pack(&Message::Refused(number))?).await;
        }
    }
    Ok(())
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Vec<u8>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody waits for this answer. If that ends before it was read, nobody has the leases in it, nor wants any.
struct Asking<'a> {
    connection: &'a Connection,
    number: u64,
    answer: oneshot::Receiver<Vec<u8>>,
    owes_receipt: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        lock(&self.connection.waiting).remove(&self.number);
        if self.owes_receipt {
            // If there is no room for this, the connection is as good as lost, and hands back what nobody received.
            if let Ok(refused) = pack(&Message::Refused(self.number))
                && self.connection.outgoing.try_send(refused).is_err()
            {
                self.connection.lost.cancel();
            }
        }
    }
}

#[async_trait]
impl JobQueue for QueueClient {
    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, PortError> {
        self.ask("job_queue.enqueue", Request::Enqueue(jobs.to_vec())).await
    }

    async fn call(&self, job: &NewJob, wait: Duration) -> Result<Option<Outcome>, PortError> {
        self.ask("job_queue.call", Request::Run(Box::new(job.clone()), wait)).await
    }

    async fn find(&self, id: JobId) -> Result<Option<Job>, PortError> {
        self.ask("job_queue.find", Request::Find(id)).await
    }

    async fn removed(&self, id: JobId) -> Result<Option<Removed>, PortError> {
        self.ask("job_queue.removed", Request::Removed(id)).await
    }

    async fn outcome(&self, id: JobId, wait: Duration) -> Result<Option<Outcome>, PortError> {
        self.ask("job_queue.outcome", Request::Outcome(id, wait)).await
    }

    async fn changed(&self, seen: &Job, wait: Duration) -> Result<Option<Job>, PortError> {
        self.ask("job_queue.changed", Request::Changed(Box::new(seen.clone()), wait)).await
    }

    async fn list(&self, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, PortError> {
        self.ask("job_queue.list", Request::List(filter.clone(), page.clone())).await
    }

    async fn cancel(&self, id: JobId) -> Result<Cancelled, PortError> {
        self.ask("job_queue.cancel", Request::Cancel(id)).await
    }

    async fn retry(&self, id: JobId) -> Result<bool, PortError> {
        self.ask("job_queue.retry", Request::Retry(id)).await
    }

    async fn queues(&self) -> Result<Vec<QueueStatus>, PortError> {
        self.ask("job_queue.queues", Request::Queues).await
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<(), PortError> {
        self.ask("job_queue.set_paused", Request::SetPaused(queue.clone(), paused)).await
    }
}

#[async_trait]
impl JobSource for QueueClient {
    async fn exchange(&self, settle: &[Settlement], want: &LeaseRequest) -> Result<Exchange, PortError> {
        self.ask("job_source.exchange", Request::Exchange(settle.to_vec(), Box::new(want.clone()))).await
    }

    async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<Renewal, PortError> {
        self.ask("job_source.renew", Request::Renew(worker.clone(), lease)).await
    }

    async fn report(&self, lease: &Lease, progress: &Progress) -> Result<(), PortError> {
        self.ask("job_source.report", Request::Report(lease.clone(), progress.clone())).await
    }

    async fn bury(&self, worker: &WorkerId) -> Result<u64, PortError> {
        self.ask("job_source.bury", Request::Bury(worker.clone())).await
    }

    async fn reclaim(&self) -> Result<u64, PortError> {
        self.ask("job_source.reclaim", Request::Reclaim).await
    }
}
