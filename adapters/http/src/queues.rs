//! `/queues`: see what waits, and let queues rest.

use std::sync::Arc;

use poem_openapi::param::Path;
use poem_openapi::{ApiResponse, Object, OpenApi};
use portwright_application::Jobs;
use portwright_domain::job::QueueName;
use portwright_domain::ports::Sealer;
use portwright_domain::ports::job_queue::QueueStatus;
use serde::Serialize;

use crate::consistency::newest;
use crate::json::Json;
use crate::principal::Caller;
use crate::problem::{Problem, ProblemCode};
use crate::refusals::refusals;
use crate::tags::Tag;

/// The operations on queues.
pub(crate) struct QueuesApi {
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) sealer: Arc<dyn Sealer>,
}

/// A queue.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Queue", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct QueueBody {
    name: String,
    /// Whether it starts no jobs. It still takes them.
    paused: bool,
    /// Jobs that wait for their time.
    scheduled: u64,
    /// Jobs that wait for a worker.
    ready: u64,
    /// Jobs that a worker holds.
    running: u64,
    /// Jobs that are dead.
    dead: u64,
    /// How long the oldest ready job has waited.
    oldest_ready_seconds: Option<f64>,
}

impl From<QueueStatus> for QueueBody {
    fn from(queue: QueueStatus) -> Self {
        let QueueStatus { name, paused, scheduled, ready, running, dead, oldest_ready } = queue;
        Self {
            name: name.as_str().to_owned(),
            paused,
            scheduled,
            ready,
            running,
            dead,
            oldest_ready_seconds: oldest_ready.map(|age| age.as_secs_f64()),
        }
    }
}

/// Every queue that has a job or is paused.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Queues")]
struct QueuesBody {
    data: Vec<QueueBody>,
}

#[derive(ApiResponse)]
enum QueuesAnswer {
    /// All queues.
    #[oai(status = 200)]
    Queues(Json<QueuesBody>),
}

#[derive(ApiResponse)]
enum PausedAnswer {
    /// It is so now, if it was not so already.
    #[oai(status = 204)]
    Done(#[oai(header = "Consistency-Token")] Option<String>),
}

refusals!(ListRefused: Unauthorized, Forbidden, QueueUnavailable);
refusals!(PauseRefused: Unauthorized, Forbidden, NotFound, QueueUnavailable);

#[OpenApi(prefix_path = "/queues", tag = "Tag::Jobs")]
impl QueuesApi {
    /// List queues
    ///
    /// For admins. Every queue that has a job or is paused.
    #[oai(path = "/", method = "get", operation_id = "listQueues")]
    async fn list(&self, caller: Caller) -> Result<QueuesAnswer, ListRefused> {
        let queues = self.jobs.queues(caller.0.principal).await?;
        let data = queues.into_iter().map(QueueBody::from).collect();
        Ok(QueuesAnswer::Queues(Json(QueuesBody { data })))
    }

    /// Pause a queue
    ///
    /// For admins. It takes jobs and starts none; those that run go on.
    #[oai(path = "/:name/pause", method = "post", operation_id = "pauseQueue")]
    async fn pause(&self, caller: Caller, name: Path<String>) -> Result<PausedAnswer, PauseRefused> {
        self.jobs.pause(caller.0.principal, &queue(&name.0)?).await?;
        Ok(PausedAnswer::Done(newest(&*self.sealer, &self.jobs).await))
    }

    /// Resume a queue
    ///
    /// For admins. It starts jobs again.
    #[oai(path = "/:name/resume", method = "post", operation_id = "resumeQueue")]
    async fn resume(&self, caller: Caller, name: Path<String>) -> Result<PausedAnswer, PauseRefused> {
        self.jobs.resume(caller.0.principal, &queue(&name.0)?).await?;
        Ok(PausedAnswer::Done(newest(&*self.sealer, &self.jobs).await))
    }
}

/// What cannot be the name of a queue is the name of none.
fn queue(name: &str) -> Result<QueueName, Problem> {
    QueueName::parse(name).map_err(|_invalid| Problem::new(ProblemCode::NotFound))
}
