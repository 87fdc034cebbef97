//! The compute engine: heavy methods run in worker processes and are called like any other.
//!
//! ```text
//!  service method ──► Call ──► JobQueue ═══ queue ═══ JobSource ──► Worker ──► the same method, in another process
//!                      │          ▲                                  │
//!                      └► outbox ─┴ Relay          Schedule ─► Call  └► result, typed error, progress
//! ```
//! - [`call`]: what a caller holds: await it, enqueue it, or enqueue it in a transaction.
//! - [`task`], [`registry`], [`context`]: what a service offers, the list of all of it, and what a task knows of its job.
//! - [`envelope`]: how arguments travel, and how old ones are read.
//! - [`worker`]: leases, runs and settles jobs. [`reaper`]: gives back those of workers that are gone.
//! - [`relay`]: from the outbox to the queue. [`reconciler`]: once more, if the queue lost them. [`schedule`]: by the clock. [`scaling`]: how many workers there should be.
//!
//! What a job goes through is drawn in [`portwright_domain::job`]. Execution is at least once, so a task must be able to
//! start over; accepted completion is exactly once, by the run number of each lease.
//!
//! Deliberately absent: a mode that runs tasks in the caller's process. Tests drive a real worker with
//! [`Worker::drain`].

pub mod call;
pub mod context;
pub mod envelope;
pub mod error;
#[doc(hidden)]
pub mod expand;
pub mod reaper;
pub mod reconciler;
pub mod registry;
pub mod relay;
pub mod scaling;
pub mod schedule;
pub mod task;
pub mod worker;

pub use call::{Call, Compute, Defaults};
pub use context::TaskContext;
pub use error::{ComputeError, TaskError};
pub use reconciler::{Reconciled, Reconciler};
pub use registry::TaskRegistry;
pub use relay::{Bell, Relay};
pub use schedule::Scheduler;
pub use task::{ComputeService, Task, TaskSpec};
pub use worker::{Worker, WorkerOptions};
