//! [`Works`]: tasks that behave in every way that a worker process has to cope with.

use std::fs::OpenOptions;
use std::hint;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use portwright_application::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// Calls these tasks, or runs them.
pub(crate) struct Works {
    pub(crate) compute: Compute,
}

/// What to do, and where to leave a trace of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// A file that gets a line for each step: `begin PID RUN JOB`, and `end PID RUN JOB`.
    pub(crate) trace: PathBuf,
    /// How long to take.
    pub(crate) millis: u64,
}

/// Works do not fail; they die.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum WorkError {
    /// The engine's.
    Compute(ComputeError),
}

impl From<ComputeError> for WorkError {
    fn from(error: ComputeError) -> Self {
        Self::Compute(error)
    }
}

impl TaskError for WorkError {}

impl Order {
    fn note(&self, step: &str, context: &TaskContext) {
        let line = format!("{step} {} {} {}\n", std::process::id(), context.run().0, context.job());
        // A trace that is missing fails the test.
        let file = OpenOptions::new().create(true).append(true).open(&self.trace);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

#[service(name = "works")]
impl Works {
    /// Takes its time, and lets others have theirs.
    #[compute(timeout = "5m")]
    pub(crate) async fn take_time(&self, order: Order, context: TaskContext) -> Result<u32, WorkError> {
        order.note("begin", &context);
        tokio::select! {
            () = sleep(Duration::from_millis(order.millis)) => order.note("end", &context),
            () = context.cancelled() => order.note("cancelled", &context),
        }
        Ok(context.attempt())
    }

    /// Lets another worker, or another place of this one, take its time.
    #[compute(timeout = "5m")]
    pub(crate) async fn pass_on(&self, order: Order) -> Result<u32, WorkError> {
        self.take_time(order).await
    }

    /// Never yields and never ends.
    #[compute(timeout = "1s", attempts = 1)]
    pub(crate) async fn spin(&self, order: Order, context: TaskContext) -> Result<u32, WorkError> {
        order.note("begin", &context);
        loop {
            hint::spin_loop();
        }
    }

    /// Takes the whole process with it.
    #[compute(attempts = 100)]
    pub(crate) async fn crash(&self, order: Order, context: TaskContext) -> Result<u32, WorkError> {
        order.note("begin", &context);
        std::process::abort()
    }

    /// Takes more memory than there is.
    #[compute(attempts = 100)]
    pub(crate) async fn devour(&self, order: Order, context: TaskContext) -> Result<u32, WorkError> {
        const BITE: usize = 16 << 20;
        order.note("begin", &context);
        let mut eaten = Vec::new();
        loop {
            eaten.push(vec![1_u8; BITE]);
            sleep(Duration::from_millis(1)).await;
        }
    }
}
