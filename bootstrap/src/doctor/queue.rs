//! The queue: its file, and what the server on this data directory says of it.

use std::time::Duration;

use portwright_domain::ports::JobQueue;
use portwright_socket::QueueClient;
use tokio::time::timeout;

use super::Finding;
use super::db::sqlite;
use crate::compute::QUEUE_FILE;
use crate::config::Config;
use crate::data_dir::DataDir;

/// A server answers at once.
const ANSWER: Duration = Duration::from_secs(5);
/// A job that nobody takes for so long has no worker.
const OLD: Duration = Duration::from_mins(5);

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let mut found = sqlite("queue.file", &config.data_dir.join(QUEUE_FILE), "queue").await;
    let directory = config.data_dir.display();
    let Some(address) = DataDir::server(&config.data_dir) else {
        let what = format!("no server runs on {directory} at present");
        found.push(Finding::pass("queue.server", what));
        return found;
    };
    match timeout(ANSWER, QueueClient::of(&config.data_dir).queues()).await {
        Ok(Ok(queues)) => {
            found.push(Finding::pass("queue.server", format!("the server at {address} answers workers")));
            let dead: u64 = queues.iter().map(|it| it.dead).sum();
            if dead > 0 {
                let what = format!("{dead} jobs are dead");
                found.push(Finding::warn("queue.dead", what, "`portwright jobs ls --state dead` shows why"));
            }
            for it in queues.iter().filter(|it| it.paused) {
                let (what, fix) = (
                    format!("the queue {} is paused", it.name),
                    format!("portwright jobs resume {}", it.name),
                );
                found.push(Finding::warn("queue.paused", what, fix));
            }
            for (it, waits) in queues.iter().filter_map(|it| Some((it, it.oldest_ready?))) {
                if waits > OLD && !it.paused {
                    let what = format!("a job of the queue {} waits for {} s", it.name, waits.as_secs());
                    let fix =
                        "is there a worker for it? COMPUTE_MAX_WORKERS and COMPUTE_CONCURRENCY give it more";
                    found.push(Finding::warn("queue.waiting", what, fix));
                }
            }
        }
        Ok(Err(error)) => found.push(silent(&directory.to_string(), error.detail())),
        Err(_elapsed) => found.push(silent(&directory.to_string(), "no answer in time")),
    }
    found
}

fn silent(directory: &str, why: &str) -> Finding {
    let what = format!("the server on {directory} does not answer workers ({why})");
    Finding::fail("queue.server", what, "its log tells more; a restart makes the socket again")
}
