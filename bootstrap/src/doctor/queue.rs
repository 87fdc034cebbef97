//! The queue: its file where it is one, and what it says of itself.

use std::time::Duration;

use portwright_domain::ports::job_queue::QueueStatus;
use tokio::time::timeout;

use super::Finding;
use super::db::{failed, sqlite};
use crate::compute::QUEUE_FILE;
use crate::config::{Config, Queue};
use crate::data_dir::DataDir;
use crate::open_queue::{OpenQueue, away, describe};
use crate::wiring::Ambient;

/// A queue answers at once.
const ANSWER: Duration = Duration::from_secs(5);
/// A job that nobody takes for so long has no worker.
const OLD: Duration = Duration::from_mins(5);

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "queue.server";
    let mut found = Vec::new();
    if config.queue == Queue::Embedded {
        found = sqlite("queue.file", &config.data_dir.join(QUEUE_FILE), "queue").await;
        if DataDir::server(&config.data_dir).is_none() {
            let directory = config.data_dir.display();
            found.push(Finding::pass(CHECK, format!("no server runs on {directory} at present")));
            return found;
        }
    }
    let asked = async { OpenQueue::reach(config, &Ambient::system()).await?.queue.queues().await };
    match timeout(ANSWER, asked).await {
        Ok(Ok(queues)) => {
            found.push(Finding::pass(CHECK, format!("the queue answers: {}", describe(&config.queue))));
            found.extend(queues.iter().flat_map(stand));
        }
        Ok(Err(error)) => found.extend(failed(CHECK, &away(config, &error))),
        Err(_elapsed) => {
            let what = format!("no answer in time: {}", describe(&config.queue));
            found.push(Finding::fail(CHECK, what, "its log tells more; a restart makes its socket again"));
        }
    }
    found
}

/// What to look at in a queue.
fn stand(queue: &QueueStatus) -> Vec<Finding> {
    let QueueStatus { name, paused, dead, oldest_ready, .. } = queue;
    let mut found = Vec::new();
    if *dead > 0 {
        let what = format!("{dead} jobs of the queue {name} are dead");
        found.push(Finding::warn("queue.dead", what, "`portwright jobs ls --state dead` shows why"));
    }
    if *paused {
        let fix = format!("portwright jobs resume {name}");
        found.push(Finding::warn("queue.paused", format!("the queue {name} is paused"), fix));
    } else if let Some(waits) = oldest_ready.filter(|waits| *waits > OLD) {
        let what = format!("a job of the queue {name} waits for {} s", waits.as_secs());
        let fix = "is there a worker for it? COMPUTE_MAX_WORKERS and COMPUTE_CONCURRENCY give it more";
        found.push(Finding::warn("queue.waiting", what, fix));
    }
    found
}
