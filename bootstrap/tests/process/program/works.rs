//! [`Works`]: tasks that behave in every way that a worker process has to cope with.

use std::fs::OpenOptions;
use std::hint;
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use portwright_application::prelude::*;
use portwright_domain::ports::Clock;
use portwright_memory::SystemClock;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// Calls these tasks, or runs them.
pub(crate) struct Works {
    pub(crate) compute: Compute,
}

/// What to do, and where to leave a trace of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// A file that gets a line for each step: `begin PID RUN JOB MICROSECONDS`, and the same with `end`.
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
        let (pid, run, job) = (std::process::id(), context.run().0, context.job());
        let line = format!("{step} {pid} {run} {job} {}\n", SystemClock.now().unix_micros());
        // A trace that is missing fails the test.
        let file = OpenOptions::new().create(true).append(true).open(&self.trace);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// What a task answers to this.
pub(crate) fn right_answer(question: u64) -> u64 {
    question.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[service(name = "works")]
impl Works {
    /// Takes its time, and lets others have theirs. Answers which run of the job it was.
    #[compute(timeout = "5m")]
    pub(crate) async fn take_time(&self, order: Order, context: TaskContext) -> Result<u64, WorkError> {
        order.note("begin", &context);
        tokio::select! {
            () = sleep(Duration::from_millis(order.millis)) => order.note("end", &context),
            () = context.cancelled() => order.note("cancelled", &context),
        }
        Ok(context.run().0)
    }

    /// Takes its time, and neither sees nor hears meanwhile. Answers which run of the job it was.
    #[compute(timeout = "5m")]
    pub(crate) async fn insist(&self, order: Order, context: TaskContext) -> Result<u64, WorkError> {
        order.note("begin", &context);
        thread::sleep(Duration::from_millis(order.millis));
        order.note("end", &context);
        Ok(context.run().0)
    }

    /// Lets another worker, or another place of this one, take its time.
    #[compute(timeout = "5m")]
    pub(crate) async fn pass_on(&self, order: Order) -> Result<u64, WorkError> {
        self.take_time(order).await
    }

    /// Thinks for some milliseconds. Answers what only this question has for an answer.
    #[compute]
    pub(crate) async fn answer(&self, question: u64) -> Result<u64, WorkError> {
        sleep(Duration::from_millis(question % 8)).await;
        Ok(right_answer(question))
    }

    /// Cannot do it.
    #[compute(attempts = 1)]
    pub(crate) async fn panic(&self, order: Order, context: TaskContext) -> Result<u64, WorkError> {
        order.note("begin", &context);
        panic!("on cue")
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
