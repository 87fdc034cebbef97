//! What can go wrong with a call: [`ComputeError`], which is the engine's, and [`TaskError`], which is the task's own.

use portwright_domain::job::{CauseOfDeath, JobId};
use portwright_domain::ports::job_queue::Limits;
use portwright_domain::{ErrorKind, PortError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The error of a task. It travels back from the worker as JSON, so the caller gets the very value that the task
/// returned.
///
/// ```
/// # use portwright_application::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Debug, Serialize, Deserialize, thiserror::Error)]
/// enum RenderError {
///     #[error("nothing happened in that month")]
///     Empty,
///     #[error("the printer is busy")]
///     Busy,
///     #[error(transparent)]
///     Compute(#[from] ComputeError),
/// }
///
/// impl TaskError for RenderError {
///     fn retryable(&self) -> bool {
///         matches!(self, Self::Busy)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the error of a task",
    label = "does not implement `TaskError`",
    note = "it implements `TaskError`, `From<ComputeError>`, and derives `serde::Serialize` and `serde::Deserialize`"
)]
pub trait TaskError: Serialize + DeserializeOwned + From<ComputeError> + Send + 'static {
    /// Whether another try might end better. The engine tries again until the attempts of the job are used up; the
    /// caller gets the error of the last one.
    fn retryable(&self) -> bool {
        false
    }
}

/// Why a call has no result, although its task did not say so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ComputeError {
    /// The task is not in the registry, so no worker would ever take the job. Nothing was enqueued.
    #[error("no worker serves the task {task}")]
    NotServed {
        /// The task.
        task: String,
    },
    /// The input is larger than a job may carry; put it into storage and pass its key. Nothing was enqueued.
    #[error("the job would carry {bytes} bytes, more than it may")]
    TooLarge {
        /// What the job would have carried.
        bytes: usize,
    },
    /// The input has no form in JSON. Nothing was enqueued.
    #[error("the input cannot be written as JSON: {detail}")]
    Unwritable {
        /// What the serializer said, for the log.
        detail: String,
    },
    /// The time to wait is over. The job goes on, and may be asked for by its id.
    #[error("job {job} is not finished yet")]
    Unfinished {
        /// The job.
        job: JobId,
    },
    /// The job used up its attempts without an answer.
    #[error("job {job} is dead: {}", cause.as_str())]
    Dead {
        /// The job, whose record says more to an operator.
        job: JobId,
        /// What happened to its last try.
        cause: CauseOfDeath,
    },
    /// Somebody cancelled the job.
    #[error("job {job} was cancelled")]
    Cancelled {
        /// The job.
        job: JobId,
    },
    /// The answer is not of the type that this program expects: the worker is of another version.
    #[error("the answer of job {job} cannot be read: {detail}")]
    Unreadable {
        /// The job.
        job: JobId,
        /// What the parser said, for the log.
        detail: String,
    },
    /// As many jobs wait as the queue takes. Nothing was enqueued.
    #[error("the queue takes no more jobs")]
    QueueFull,
    /// The queue did not do its part. If it is `Unavailable`, the job may have been taken or not.
    #[error("the queue failed: {kind} ({detail})")]
    Queue {
        /// What a caller can do about it.
        kind: ErrorKind,
        /// What the adapter said, for the log.
        detail: String,
    },
}

impl From<PortError> for ComputeError {
    fn from(error: PortError) -> Self {
        match error.kind() {
            ErrorKind::Unavailable if error.detail() == Limits::FULL => Self::QueueFull,
            kind => Self::Queue { kind, detail: error.to_string() },
        }
    }
}

/// For tasks that have no error of their own.
impl TaskError for ComputeError {
    fn retryable(&self) -> bool {
        use ErrorKind::{Contended, Unavailable};
        matches!(self, Self::QueueFull | Self::Queue { kind: Unavailable | Contended, .. })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_error_of_the_engine_survives_the_way_through_another_job() {
        let error = ComputeError::Dead { job: JobId(Uuid::nil()), cause: CauseOfDeath::TimedOut };
        let json = serde_json::to_string(&error).expect("it is written");
        assert_eq!(serde_json::from_str::<ComputeError>(&json).expect("it is read"), error);
        assert_eq!(error.to_string(), format!("job {} is dead: timed_out", Uuid::nil()));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let queue = |kind| ComputeError::from(PortError::new(kind, "jobs.call", "on cue"));
        assert!(queue(ErrorKind::Unavailable).retryable());
        let full = PortError::new(ErrorKind::Unavailable, "jobs.call", Limits::FULL);
        assert_eq!(ComputeError::from(full), ComputeError::QueueFull);
        assert!(ComputeError::QueueFull.retryable());
        assert!(!queue(ErrorKind::Corrupt).retryable());
        assert!(!ComputeError::NotServed { task: "test.echo".to_owned() }.retryable());
    }
}
