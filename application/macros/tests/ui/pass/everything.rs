//! All that a service may do.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unreachable_pub)]

use std::sync::Arc;

use portwright_application::compute::{Task, TaskRegistry};
use portwright_application::prelude::*;
use serde::{Deserialize, Serialize};

/// The input.
#[derive(Serialize, Deserialize)]
pub struct Month(u8);

/// The first version of the input.
#[derive(Serialize, Deserialize)]
pub struct Text(String);

/// The second version of the input.
#[derive(Serialize, Deserialize)]
pub struct Number(i64);

fn from_text(_: Text) -> Number {
    Number(0)
}

impl From<Number> for Month {
    fn from(_: Number) -> Self {
        Self(0)
    }
}

/// The error.
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
pub enum ReportError {
    /// The engine's.
    #[error(transparent)]
    Compute(#[from] ComputeError),
}

impl TaskError for ReportError {}

/// The service.
pub struct Reports {
    engine: Compute,
    values: Cached,
}

#[service(name = "reports", compute = engine, cache = values)]
impl Reports {
    /// Makes one.
    pub fn new(engine: Compute, values: Cached) -> Self {
        Self { engine, values }
    }

    /// Everything there is.
    #[compute(
        name = "reports.render-month",
        version = 3,
        queue = "cpu",
        priority = 15,
        attempts = 1,
        backoff = fixed("500ms"),
        timeout = "2h",
        upgrade(1 = from_text, 2 = <Month as From<Number>>::from),
    )]
    pub async fn render(&self, mut month: Month, _context: TaskContext) -> Result<Vec<u8>, ReportError> {
        month.0 += 1;
        Ok(vec![month.0])
    }

    /// Nothing at all, and a version that is gone.
    #[portwright_application::prelude::compute(version = 2, retired(1))]
    pub async fn sweep(&self) -> std::result::Result<(), ComputeError> {
        self.helper()
    }

    /// Only its job, which only sees its context.
    #[compute]
    #[must_use = "it says how it went"]
    pub(crate) async fn watch(&self, context: portwright_application::compute::TaskContext) -> Result<u32, ComputeError> {
        Ok(context.attempt())
    }

    /// Remembered, by a borrowed parameter.
    #[cached(key = "reports:summary:{year}:{month.0}", ttl = "1d", version = 7)]
    pub async fn summary(&self, year: &str, month: &Month) -> Result<String, std::fmt::Error> {
        Ok(format!("{year}-{}", month.0))
    }

    /// Remembered, and computed in a worker.
    #[cached(key = "reports:pages:{month}", ttl = "30s")]
    #[compute]
    pub async fn pages(&self, month: u8) -> Result<u32, ComputeError> {
        Ok(month.into())
    }

    /// Not there.
    #[cfg(any())]
    #[compute]
    pub async fn absent(&self) -> Result<Nothing, Nothing> {
        Nothing
    }

    fn helper(&self) -> Result<(), ComputeError> {
        Ok(())
    }
}

/// A service whose methods nobody else may call.
pub struct Quiet {
    compute: Compute,
}

#[service(name = "quiet")]
impl Quiet {
    #[compute]
    async fn whisper(&self) -> Result<(), ComputeError> {
        Ok(())
    }
}

fn is_send<T: Send>(_: T) {}

fn main() {
    const TASKS: &[Task<Reports>] = <Reports as portwright_application::compute::ComputeService>::TASKS;
    let names: Vec<_> = TASKS.iter().map(|task| (task.spec.name, task.spec.version)).collect();
    assert_eq!(names, [("reports.render-month", 3), ("reports.sweep", 2), ("reports.watch", 1), ("reports.pages", 1)]);
    let render = &TASKS[0].spec;
    assert_eq!((render.input, render.output, render.error), ("Month", "Vec<u8>", "ReportError"));
    assert!(render.takes_context && !TASKS[1].spec.takes_context);

    let _ = |reports: Arc<Reports>, quiet: Arc<Quiet>| {
        is_send(reports.render(Month(1)));
        is_send(reports.sweep_job().priority(3));
        is_send(reports.sweep_job().into_future());
        is_send(reports.watch());
        is_send(reports.summary("2026", &Month(1)));
        is_send(reports.invalidate_summary("2026", &Month(1)));
        is_send(reports.pages(1));
        is_send(reports.invalidate_pages(1));
        is_send(quiet.whisper());
        TaskRegistry::default().serve(&reports).serve(&quiet)
    };
}

use std::future::IntoFuture as _;
