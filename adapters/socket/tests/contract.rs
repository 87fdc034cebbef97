//! The queue of another process keeps every promise that the queue behind it keeps.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]
#![expect(clippy::unused_async, reason = "a suite awaits its fixture, which most adapters take time to make")]

use std::sync::Arc;

use portwright_memory::MemoryJobQueue;
use portwright_socket::{QueueClient, QueueServer};
use portwright_testkit::contract::job_queue::Queue;
use portwright_testkit::{Fixture, ManualClock};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

async fn fresh_queue() -> Fixture<dyn Queue> {
    let clock = Arc::new(ManualClock::default());
    let queue = Arc::new(MemoryJobQueue::new(clock.clone()));
    let directory = TempDir::new().expect("a directory");
    let server = QueueServer::bind(directory.path()).expect("a socket");
    #[expect(clippy::disallowed_methods, reason = "ends with the test")]
    drop(tokio::spawn(server.run(queue.clone(), queue, CancellationToken::new())));
    let client = QueueClient::of(directory.path());
    Fixture::<dyn Queue>::new(Arc::new(client)).with_clock(clock).keeping(directory)
}
portwright_testkit::job_queue_contract!(fresh_queue);
