//! The JSON of jobs: what clients get.

use bytes::Bytes;
use poem_openapi::types::Any;
use poem_openapi::{Enum, Object};
use portwright_domain::job::{CauseOfDeath, Death, Job, JobState, Outcome, Progress};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::moment::Moment;
use crate::paging::Pagination;

/// Where a job stands. `failed`: its task returned an error; `dead`: it crashed, took too long or used up its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "JobState", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(crate) enum JobStateName {
    Scheduled,
    Ready,
    Running,
    Succeeded,
    Failed,
    Dead,
    Cancelled,
}

impl From<JobState> for JobStateName {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Scheduled => Self::Scheduled,
            JobState::Ready => Self::Ready,
            JobState::Running => Self::Running,
            JobState::Succeeded => Self::Succeeded,
            JobState::Failed => Self::Failed,
            JobState::Dead => Self::Dead,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}

/// How far a job has come.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "JobProgress")]
pub(crate) struct ProgressBody {
    /// Parts done.
    done: u64,
    /// Parts in all, where that is known.
    total: Option<u64>,
    /// A sentence for a person.
    message: Option<String>,
}

impl From<Progress> for ProgressBody {
    fn from(progress: Progress) -> Self {
        let Progress { done, total, message } = progress;
        Self { done, total, message }
    }
}

/// A job.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Job", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobBody {
    pub(crate) id: Uuid,
    /// What runs it.
    task: String,
    /// The version of its input.
    version: u32,
    /// Where it waits.
    queue: String,
    state: JobStateName,
    /// From 0 to 15, the higher the sooner.
    priority: u8,
    /// How often it started.
    attempts: u32,
    /// How often it may start before it is dead.
    max_attempts: u32,
    progress: ProgressBody,
    /// What its task returned, if it succeeded.
    result: Option<Any<Box<RawValue>>>,
    /// The error that its task returned, if it failed; `cause` and `detail`, if it is dead.
    error: Option<Any<Box<RawValue>>>,
    /// Who asked for it.
    created_by: Option<Uuid>,
    created_at: Moment,
    /// Not before this moment.
    scheduled_for: Option<Moment>,
    /// When it last started.
    started_at: Option<Moment>,
    /// When it ended.
    finished_at: Option<Moment>,
}

impl From<Job> for JobBody {
    fn from(job: Job) -> Self {
        let Job { spec, state, attempts, progress, outcome, created_at, started_at, finished_at } = job;
        let (result, error) = match outcome {
            Some(Outcome::Succeeded(result)) => (verbatim(&result), None),
            Some(Outcome::Failed(error)) => (None, verbatim(&error)),
            Some(Outcome::Dead(Death { cause, detail: _ })) => (None, to_raw_value(&dead_of(cause)).ok()),
            Some(Outcome::Cancelled) | None => (None, None),
        };
        Self {
            id: spec.id.0,
            task: spec.task.as_str().to_owned(),
            version: spec.version,
            queue: spec.queue.as_str().to_owned(),
            state: state.into(),
            priority: spec.priority.get(),
            attempts,
            max_attempts: spec.max_attempts,
            progress: progress.into(),
            result: result.map(Any),
            error: error.map(Any),
            created_by: spec.created_by.map(|user| user.0),
            created_at: Moment(created_at),
            scheduled_for: spec.scheduled_for.map(Moment),
            started_at: started_at.map(Moment),
            finished_at: finished_at.map(Moment),
        }
    }
}

/// What a task wrote, unread: it may be large, and its numbers are nobody's to round.
fn verbatim(json: &Bytes) -> Option<Box<RawValue>> {
    serde_json::from_slice(json).or_else(|_| to_raw_value(&String::from_utf8_lossy(json))).ok()
}

/// Why a job is dead, for its creator. What its worker said may show the inside of the program; that is for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct DeadOf {
    cause: &'static str,
    pub(crate) detail: &'static str,
}

pub(crate) const fn dead_of(cause: CauseOfDeath) -> DeadOf {
    let detail = match cause {
        CauseOfDeath::Error => "each of its tries ended in an error",
        CauseOfDeath::TimedOut => "it took longer than it may",
        CauseOfDeath::Crashed => "its worker died each time that it ran",
        CauseOfDeath::PayloadInvalid => "this version of the program cannot read its input",
        CauseOfDeath::ResultTooLarge => "its result was too large",
        CauseOfDeath::NotServed => "no worker that knows its task came for it",
    };
    DeadOf { cause: cause.as_str(), detail }
}

/// One page of jobs.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "JobPage")]
pub(crate) struct JobPage {
    pub(crate) data: Vec<JobBody>,
    pub(crate) pagination: Pagination,
}
