//! [`Task`]: what a service offers to workers, as a constant of plain function pointers. `#[service]` writes these; there
//! is nothing in them that could not be written by hand.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub use portwright_domain::job::Backoff;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::TaskContext;
use super::envelope::{Args, PayloadInvalid};

/// A service whose heavy methods run in workers.
pub trait ComputeService: Send + Sync + Sized + 'static {
    /// All of its tasks.
    const TASKS: &'static [Task<Self>];
}

/// One task of the service `S`.
pub struct Task<S> {
    /// What callers, queues and operators know of it.
    pub spec: TaskSpec,
    /// Whether it could read these arguments, of whichever version.
    pub check: fn(&Args) -> Result<(), PayloadInvalid>,
    /// Reads the arguments and does the work.
    pub run: fn(Arc<S>, Args, TaskContext) -> Running,
}

/// What is known of a task without the service that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskSpec {
    /// The name, such as `reports.render`; unique among all tasks.
    pub name: &'static str,
    /// The version of the arguments that callers write; the first is 1.
    pub version: u32,
    /// Older versions that are not read any more.
    pub retired: &'static [u32],
    /// The queue its jobs wait in.
    pub queue: &'static str,
    /// 0–15, the higher the sooner.
    pub priority: u8,
    /// How often a job may start; `None` for what the operator set.
    pub attempts: Option<u32>,
    /// The wait between tries; `None` for what the operator set.
    pub backoff: Option<Backoff>,
    /// How long one try may take; `None` for what the operator set.
    pub timeout: Option<Duration>,
    /// Whether the method takes a [`TaskContext`], and so is asked to stop before it is made to.
    pub takes_context: bool,
    /// The Rust type of the input, for people.
    pub input: &'static str,
    /// The Rust type of the result, for people.
    pub output: &'static str,
    /// The Rust type of the error, for people.
    pub error: &'static str,
}

/// What can go to another process and come back: it has a form in JSON, and borrows nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot go to another process",
    label = "has no form in JSON, or is not `Send`",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it"
)]
pub trait Portable: Serialize + DeserializeOwned + Send {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send> Portable for T {}

/// A try under way.
pub type Running = Pin<Box<dyn Future<Output = TaskEnd> + Send>>;

/// How the method of a task ended, on its way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// It returned a result, as JSON.
    Returned(Bytes),
    /// It returned its error.
    Failed {
        /// The error, as JSON.
        error: Bytes,
        /// Whether another try might end better.
        retryable: bool,
    },
    /// It was not started, because its arguments could not be read.
    PayloadInvalid(PayloadInvalid),
    /// Its result or error has no form in JSON.
    Unwritable(String),
}
