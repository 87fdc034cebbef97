//! What the socket adds to the queue behind it: leases that nobody got come back, and a lost server is an error in time.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ErrorKind;
use portwright_domain::job::{JobState, WorkerId};
use portwright_domain::ports::job_queue::LeaseRequest;
use portwright_domain::ports::{JobQueue, JobSource};
use portwright_memory::MemoryJobQueue;
use portwright_socket::{QueueClient, QueueServer};
use portwright_testkit::ManualClock;
use portwright_testkit::builders::a_job;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

struct Owner {
    queue: Arc<MemoryJobQueue>,
    stop: CancellationToken,
    directory: TempDir,
}

impl Owner {
    fn start() -> Self {
        Self::start_in(TempDir::new().expect("a directory"))
    }

    fn start_in(directory: TempDir) -> Self {
        let queue = Arc::new(MemoryJobQueue::new(Arc::new(ManualClock::default())));
        let stop = CancellationToken::new();
        let server = QueueServer::bind(directory.path()).expect("a socket");
        #[expect(clippy::disallowed_methods, reason = "ends with the test")]
        drop(tokio::spawn(server.run(queue.clone(), queue.clone(), stop.clone())));
        Self { queue, stop, directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn wanting(max: u32, wait: Duration) -> LeaseRequest {
    let job = a_job().build();
    LeaseRequest {
        worker: WorkerId::parse("worker-1").expect("a name"),
        tasks: vec![(job.task, job.version)],
        queues: Vec::new(),
        max,
        lease: Duration::from_secs(30),
        wait,
    }
}

async fn until_ready(queue: &MemoryJobQueue, id: portwright_domain::job::JobId) {
    let ready = async {
        while queue.find(id).await.expect("an answer").map(|job| job.state) != Some(JobState::Ready) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ready).await.expect("the job is ready again");
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_of_a_client_that_vanished_before_it_got_them_come_back() {
    let owner = Owner::start();
    let client = Arc::new(QueueClient::of(owner.path()));
    // It waits for a job, and is gone when there is one: connection and all.
    let asking = client.clone();
    #[expect(clippy::disallowed_methods, reason = "is aborted below")]
    let waiting =
        tokio::spawn(async move { asking.exchange(&[], &wanting(1, Duration::from_secs(20))).await });
    assert_eq!(client.reclaim().await.expect("the connection is up"), 0);
    waiting.abort();
    drop(waiting.await);
    drop(client);

    let job = a_job().build();
    owner.queue.enqueue(std::slice::from_ref(&job)).await.expect("taken");
    until_ready(&owner.queue, job.id).await;
    let found = owner.queue.find(job.id).await.expect("an answer").expect("the job");
    assert_eq!(found.attempts, 0, "a start that nobody made does not count");
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_of_a_request_that_was_given_up_come_back_while_the_client_lives() {
    let owner = Owner::start();
    let client = Arc::new(QueueClient::of(owner.path()));
    let asking = client.clone();
    #[expect(clippy::disallowed_methods, reason = "is aborted below")]
    let waiting =
        tokio::spawn(async move { asking.exchange(&[], &wanting(1, Duration::from_secs(20))).await });
    assert_eq!(client.reclaim().await.expect("the connection is up"), 0);
    waiting.abort();
    drop(waiting.await);

    // What was given up is known of when what is asked later is answered.
    assert_eq!(client.reclaim().await.expect("the connection is up"), 0);
    let job = a_job().build();
    client.enqueue(std::slice::from_ref(&job)).await.expect("taken");
    until_ready(&owner.queue, job.id).await;
    let found = owner.queue.find(job.id).await.expect("an answer").expect("the job");
    assert_eq!(found.started_at, None, "nobody leased it for a request that nobody makes any more");
    let leased = client.exchange(&[], &wanting(1, Duration::from_secs(5))).await.expect("an answer").leased;
    assert_eq!(leased.len(), 1, "the next one gets it");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_a_request_is_unavailable_and_later_it_works() {
    let directory = TempDir::new().expect("a directory");
    let client = QueueClient::of(directory.path());
    assert_eq!(client.queues().await.expect_err("nobody there").kind(), ErrorKind::Unavailable);
    let owner = Owner::start_in(directory);
    assert_eq!(client.queues().await.expect("an answer"), []);
    // A server that stops is noticed at once, not when patience ends.
    owner.stop.cancel();
    let gone = async {
        while client.queues().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3), gone).await.expect("noticed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_does_not_go_on_waiting_for_its_clients() {
    let directory = TempDir::new().expect("a directory");
    let queue = Arc::new(MemoryJobQueue::new(Arc::new(ManualClock::default())));
    let stop = CancellationToken::new();
    let server = QueueServer::bind(directory.path()).expect("a socket");
    #[expect(clippy::disallowed_methods, reason = "is waited for below")]
    let running = tokio::spawn(server.run(queue.clone(), queue, stop.clone()));
    let client = QueueClient::of(directory.path());
    let waits = wanting(1, Duration::from_secs(20));
    let waiting = client.exchange(&[], &waits);
    let stopping = async {
        assert_eq!(client.reclaim().await.expect("the connection is up"), 0);
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(5), running).await.expect("at once").expect("no panic");
    };
    let (waited, ()) = tokio::join!(waiting, stopping);
    assert_eq!(waited.expect_err("nobody answers").kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_longer_than_an_address_works() {
    let outer = TempDir::new().expect("a directory");
    let long = outer.path().join("d".repeat(120));
    std::fs::create_dir(&long).expect("made");
    let server = QueueServer::bind(&long).expect("a socket");
    let queue = Arc::new(MemoryJobQueue::new(Arc::new(ManualClock::default())));
    #[expect(clippy::disallowed_methods, reason = "ends with the test")]
    drop(tokio::spawn(server.run(queue.clone(), queue, CancellationToken::new())));
    assert_eq!(QueueClient::of(&long).queues().await.expect("an answer"), []);
}
