//! A service of one's own with two heavy methods: `cargo run -p portwright-application --example texts`.
use std::{error::Error, io::Write, sync::Arc};

use portwright_application::compute::{Defaults, TaskRegistry, Worker, WorkerOptions};
use portwright_application::prelude::*;
use portwright_domain::{job::Progress, job::WorkerId, ports::Unobserved};
use portwright_memory::{MemoryJobQueue, SystemClock, UuidV7};
use tokio_util::sync::CancellationToken;

/// Looks into texts.
pub struct Texts {
    compute: Compute,
}

#[service(name = "texts")]
impl Texts {
    /// Counts words.
    #[compute(queue = "cpu", timeout = "30s")]
    pub async fn count(&self, text: String) -> Result<usize, ComputeError> {
        Ok(text.split_whitespace().count())
    }

    /// Finds the longest word, says how far it is, and stops when it is told to.
    #[compute(queue = "cpu", attempts = 5)]
    pub async fn longest(&self, text: String, context: TaskContext) -> Result<String, ComputeError> {
        let mut longest = "";
        for (done, word) in (1..).zip(text.split_whitespace()).take_while(|_| !context.is_cancelled()) {
            longest = if word.len() > longest.len() { word } else { longest };
            context.report(Progress { done, total: None, message: None });
        }
        Ok(longest.to_owned())
    }
}

/// Calls both while a worker runs. In the product it is another process, and the queue is durable.
async fn look_into(text: &str) -> Result<(usize, String), Box<dyn Error>> {
    let (clock, observer) = (Arc::new(SystemClock), Arc::new(Unobserved));
    let queue = Arc::new(MemoryJobQueue::new(clock.clone()));
    let ids = Arc::new(UuidV7::new(clock.clone()));
    let compute = Compute::new(queue.clone(), clock, ids, observer.clone(), Defaults::default());
    let texts = Arc::new(Texts { compute });
    let tasks = Arc::new(TaskRegistry::default().serve(&texts));
    let worker = Worker::new(queue, tasks, observer, WorkerOptions::new(WorkerId::parse("worker-1")?));
    tokio::select! {
        _ = worker.run(CancellationToken::new(), CancellationToken::new()) => Err("the worker ended".into()),
        answers = async { tokio::try_join!(texts.count(text.into()), texts.longest(text.into())) } => Ok(answers?),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (words, longest) = look_into("to be or not to be that is the question").await?;
    Ok(writeln!(std::io::stdout(), "{words} words, and the longest is {longest:?}")?)
}

#[tokio::test]
async fn both_tasks_answer() {
    assert_eq!(look_into("to be or not").await.expect("answers"), (4, "not".to_owned()));
}
