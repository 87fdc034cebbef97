//! [`QueueServer`]: answers for the queue that this process owns.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portwright_domain::PortError;
use portwright_domain::job::{Lease, WorkerId};
use portwright_domain::ports::job_queue::{Exchange, LeaseRequest, Settlement, Verdict};
use portwright_domain::ports::{JobQueue, JobSource};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::frame::{pack, receive, send_all, unpack};
use crate::path::Address;
use crate::protocol::{Failure, GREETING, Message, Reply, Request};

/// Requests of one connection that are worked on at once; more wait to be read.
const AT_ONCE: usize = 256;
/// Who hands back what nobody got. If the lost worker asked for it, that would renew its lease, and keep what it runs from
/// others although it may be dead.
const NOBODY: &str = "nobody";
/// How long a client may take to say who it is, or to take an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves the queue of this process to others on this host.
pub struct QueueServer {
    listener: UnixListener,
    _address: Address,
}

/// The queue, in both of its roles.
#[derive(Clone)]
struct Owned {
    queue: Arc<dyn JobQueue>,
    source: Arc<dyn JobSource>,
}

/// Leases that were answered and not yet acknowledged.
type Unacknowledged = Arc<Mutex<HashMap<u64, Vec<Lease>>>>;

impl QueueServer {
    /// Listens in this directory, in the place of a process that is gone. Whoever calls it holds the lock of the directory.
    pub fn bind(directory: &Path) -> io::Result<Self> {
        let address = Address::within(directory)?;
        match fs::remove_file(address.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(address.path())?;
        fs::set_permissions(address.path(), fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, _address: address })
    }

    /// Serves until `stop` is cancelled, and returns when the last request is answered.
    pub async fn run(self, queue: Arc<dyn JobQueue>, source: Arc<dyn JobSource>, stop: CancellationToken) {
        let owned = Owned { queue, source };
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (owned, stop) = (owned.clone(), stop.clone());
                    connections.spawn(async move {
                        if let Err(error) = serve(stream, owned, stop).await {
                            tracing::debug!(%error, "a connection to the queue ended");
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely; trying again at once would spin.
                    tracing::warn!(%error, "the queue cannot take a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}

/// What a connection asked for.
#[derive(Default)]
struct Requests {
    under_way: TaskTracker,
    /// Cancelled when nobody can hear an answer any more.
    unheard: CancellationToken,
    /// Those that wait for something, each with what is cancelled when nobody wants its answer any more.
    waiting: Waiting,
}

type Waiting = Arc<Mutex<HashMap<u64, CancellationToken>>>;

async fn serve(mut stream: UnixStream, owned: Owned, stop: CancellationToken) -> io::Result<()> {
    stream.write_all(&pack(&GREETING)?).await?;
    let greeting = timeout(PATIENCE, receive(&mut stream)).await.map_err(io::Error::other)??;
    let theirs: String = unpack(&greeting.unwrap_or_default())?;
    if theirs != GREETING {
        tracing::warn!(theirs, ours = GREETING, "a client of another version is refused");
        return Ok(());
    }
    let (mut reading, mut writing) = stream.into_split();
    let (replies, outgoing) = mpsc::channel(AT_ONCE);
    let unacknowledged = Unacknowledged::default();
    let requests = Requests::default();
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        sent = send_all(outgoing, &mut writing) => sent,
        read = read_all(&mut reading, &owned, &replies, &unacknowledged, &requests) => read,
    };
    // Nobody waits for anything any more. What is being done is done to its end: a lease that comes of it must be
    // handed back.
    requests.unheard.cancel();
    drop(replies);
    let requests = requests.under_way;
    requests.close();
    requests.wait().await;
    let leases: Vec<Lease> = lock(&unacknowledged).drain().flat_map(|(_, leases)| leases).collect();
    hand_back(&*owned.source, leases).await;
    ended
}

async fn read_all(
    reading: &mut (impl AsyncRead + Unpin),
    owned: &Owned,
    replies: &mpsc::Sender<Vec<u8>>,
    unacknowledged: &Unacknowledged,
    requests: &Requests,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(message) = receive(reading).await? {
        match unpack(&message)? {
            Message::Received(number) => drop(lock(unacknowledged).remove(&number)),
            Message::Refused(number) => {
                // Before it brings leases, if it has not.
                lock(&requests.waiting).remove(&number).inspect(CancellationToken::cancel);
                let leases = lock(unacknowledged).remove(&number).unwrap_or_default();
                let source = owned.source.clone();
                requests.under_way.spawn(async move { hand_back(&*source, leases).await });
            }
            Message::Ask(number, request) => {
                let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
                let (owned, replies, unacknowledged) =
                    (owned.clone(), replies.clone(), unacknowledged.clone());
                let unwanted = (!request.wait().is_zero()).then(|| requests.unheard.child_token());
                let waiting = requests.waiting.clone();
                lock(&waiting).extend(unwanted.clone().map(|unwanted| (number, unwanted)));
                requests.under_way.spawn(async move {
                    let work = answer(&owned, number, request, &unacknowledged);
                    let answer = match unwanted {
                        Some(unwanted) => unwanted.run_until_cancelled(work).await,
                        None => Some(work.await),
                    };
                    lock(&waiting).remove(&number);
                    let Some(answer) = answer else { return };
                    match answer.and_then(|answer| pack(&Reply { number, answer })) {
                        // A connection that is gone needs no answer; its leases are handed back at its end.
                        Ok(frame) => drop(replies.send_timeout(frame, PATIENCE).await),
                        Err(error) => tracing::error!(%error, "an answer of the queue cannot be sent"),
                    }
                    drop(place);
                });
            }
        }
    }
    Ok(())
}

async fn answer(
    owned: &Owned,
    number: u64,
    request: Request,
    unacknowledged: &Unacknowledged,
) -> io::Result<Vec<u8>> {
    let Owned { queue, source } = owned;
    match request {
        Request::Enqueue(jobs) => packed(queue.enqueue(&jobs).await),
        Request::Run(job, wait) => packed(queue.call(&job, wait).await),
        Request::Find(id) => packed(queue.find(id).await),
        Request::Removed(id) => packed(queue.removed(id).await),
        Request::Outcome(id, wait) => packed(queue.outcome(id, wait).await),
        Request::Changed(seen, wait) => packed(queue.changed(&seen, wait).await),
        Request::List(filter, page) => packed(queue.list(&filter, &page).await),
        Request::Cancel(id) => packed(queue.cancel(id).await),
        Request::Retry(id) => packed(queue.retry(id).await),
        Request::Queues => packed(queue.queues().await),
        Request::SetPaused(name, paused) => packed(queue.set_paused(&name, paused).await),
        Request::Exchange(settle, want) => {
            let answer = source.exchange(&settle, &want).await;
            if let Ok(Exchange { leased, .. }) = &answer
                && !leased.is_empty()
            {
                let leases = leased.iter().map(|job| job.lease.clone()).collect();
                lock(unacknowledged).insert(number, leases);
            }
            packed(answer)
        }
        Request::Renew(worker, lease) => packed(source.renew(&worker, lease).await),
        Request::Report(lease, progress) => packed(source.report(&lease, &progress).await),
        Request::Bury(worker) => packed(source.bury(&worker).await),
        Request::Reclaim => packed(source.reclaim().await),
    }
}

fn packed<T: Serialize>(answer: Result<T, PortError>) -> io::Result<Vec<u8>> {
    let answer = answer.map_err(|error| Failure::of(&error));
    postcard::to_stdvec(&answer).map_err(io::Error::other)
}

/// Releases jobs that nobody got: they are first in their queue again, and the start does not count.
async fn hand_back(source: &dyn JobSource, leases: Vec<Lease>) {
    if leases.is_empty() {
        return;
    }
    let Ok(worker) = WorkerId::parse(NOBODY) else { return tracing::error!("{NOBODY} is not a name") };
    let want = LeaseRequest {
        worker,
        tasks: Vec::new(),
        queues: Vec::new(),
        max: 0,
        lease: PATIENCE,
        wait: Duration::ZERO,
    };
    let settle: Vec<_> =
        leases.into_iter().map(|lease| Settlement { lease, verdict: Verdict::Release }).collect();
    match source.exchange(&settle, &want).await {
        Ok(_) => tracing::info!(jobs = settle.len(), "jobs that a lost worker never got were handed back"),
        // Their lease ends, and they are reclaimed then.
        Err(error) => {
            tracing::warn!(%error, jobs = settle.len(), "jobs that a lost worker never got stay leased");
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use portwright_domain::job::Unwatched;
    use portwright_memory::MemoryJobQueue;
    use portwright_testkit::ManualClock;
    use portwright_testkit::builders::jobs;

    use super::*;

    #[tokio::test]
    async fn handing_back_what_a_lost_worker_never_got_does_not_keep_what_it_has() {
        let clock = Arc::new(ManualClock::default());
        let queue = MemoryJobQueue::new(clock.clone());
        queue.enqueue(&jobs(2)).await.expect("taken");
        let want = LeaseRequest {
            worker: WorkerId::parse("lost").expect("a name"),
            tasks: vec![(jobs(1)[0].task.clone(), 1)],
            queues: Vec::new(),
            max: 2,
            lease: Unwatched::LONGEST_BLINK,
            wait: Duration::ZERO,
        };
        assert_eq!(queue.reclaim().await.expect("an answer"), 0);
        let leased = queue.exchange(&[], &want).await.expect("an answer").leased;
        hand_back(&queue, vec![leased[1].lease.clone()]).await;
        clock.advance(want.lease);
        assert_eq!(queue.reclaim().await.expect("an answer"), 1);
    }
}
