//! `portwright jobs`: what an operator sees of jobs, and does about them, beside the servers.

use std::fmt::Write;

use portwright_domain::job::{Job, JobId, Outcome, QueueName};
use portwright_domain::page::{Limit, Page, PageRequest, Rest};
use portwright_domain::ports::JobQueue;
use portwright_domain::ports::job_queue::{Cancelled, JobFilter};
use portwright_domain::{ErrorKind, PortError};
use serde_json::{Value, json};

use super::confirm::confirm;
use crate::cli::Jobs;
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::open_queue::{OpenQueue, away};
use crate::output;
use crate::wiring::Ambient;

/// Does what was asked.
pub(super) async fn run(config: &Config, command: Jobs) -> Result<Exit, Failure> {
    let open = OpenQueue::reach(config, &Ambient::system()).await.map_err(|error| away(config, &error))?;
    let queue = &*open.queue;
    let done = match command {
        Jobs::Ls { state, task, queue: of, limit, json } => {
            list(queue, &JobFilter { state, task, queue: of }, limit, json).await
        }
        Jobs::Show { id, json } => show(queue, id, json).await,
        Jobs::Retry { id, json } => retry(queue, id, json).await,
        Jobs::Cancel { id, yes, json } => {
            if !yes {
                confirm(&format!("Cancel job {id}?"), "what the job has done so far is lost")?;
            }
            cancel(queue, id, json).await
        }
        Jobs::Pause { queue: name, json } => pause(queue, &name, true, json).await,
        Jobs::Resume { queue: name, json } => pause(queue, &name, false, json).await,
    };
    done.map(|()| Exit::Done).map_err(|trouble| trouble.explain(config))
}

/// Why a command was not carried out.
enum Trouble {
    Port(PortError),
    Said(Failure),
}

impl From<PortError> for Trouble {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Said(failure)
    }
}

impl Trouble {
    fn explain(self, config: &Config) -> Failure {
        match self {
            Self::Said(failure) => failure,
            Self::Port(error) if error.kind() == ErrorKind::Unavailable => away(config, &error),
            Self::Port(error) if error.kind() == ErrorKind::Conflict => {
                failed("another job holds its unique key by now; cancel that one first, or wait for it")
            }
            Self::Port(error) => error.into(),
        }
    }
}

async fn list(queue: &dyn JobQueue, filter: &JobFilter, limit: usize, json: bool) -> Result<(), Trouble> {
    let (mut left, mut after) = (limit, None);
    while left > 0 {
        let page = PageRequest::Walk { after, limit: Limit::MAX };
        let Page { mut rows, rest } = queue.list(filter, &page).await?;
        rows.truncate(left);
        left -= rows.len();
        let line = |job| if json { format!("{}\n", as_json(job)) } else { as_line(job) };
        output::print(&rows.iter().map(line).collect::<String>())?;
        after = match rest {
            Rest::Next(Some(next)) => Some(next),
            Rest::Next(None) | Rest::Total(_) => return Ok(()),
        };
    }
    Ok(())
}

async fn show(queue: &dyn JobQueue, id: JobId, json: bool) -> Result<(), Trouble> {
    let job = queue.find(id).await?.ok_or_else(|| unknown(id))?;
    let text = if json { format!("{}\n", as_json(&job)) } else { as_page(&job) };
    Ok(output::print(&text)?)
}

async fn retry(queue: &dyn JobQueue, id: JobId, json: bool) -> Result<(), Trouble> {
    if !queue.retry(id).await? {
        queue.find(id).await?.ok_or_else(|| unknown(id))?;
        return Err(failed("only a job that failed, is dead or was cancelled is run again").into());
    }
    tell(json, &json!({"id": id.to_string(), "state": "ready"}), &format!("{id} runs again"))
}

async fn cancel(queue: &dyn JobQueue, id: JobId, json: bool) -> Result<(), Trouble> {
    let (cancelled, words) = match queue.cancel(id).await? {
        Cancelled::Prevented => ("prevented", "will not start"),
        Cancelled::Requested => ("requested", "runs, and is told to stop"),
        Cancelled::TooLate => return Err(failed("the job has come to its end already").into()),
        Cancelled::Unknown => return Err(unknown(id).into()),
    };
    tell(json, &json!({"id": id.to_string(), "cancelled": cancelled}), &format!("{id} {words}"))
}

async fn pause(queue: &dyn JobQueue, name: &QueueName, paused: bool, json: bool) -> Result<(), Trouble> {
    queue.set_paused(name, paused).await?;
    let words = if paused { "starts no more jobs" } else { "starts jobs" };
    tell(json, &json!({"name": name.as_str(), "paused": paused}), &format!("{name} {words}"))
}

fn tell(json: bool, value: &Value, words: &str) -> Result<(), Trouble> {
    Ok(output::print(&if json { format!("{value}\n") } else { format!("{words}\n") })?)
}

fn unknown(id: JobId) -> Failure {
    failed(&format!("there is no job {id}, or not any more"))
}

fn failed(what: &str) -> Failure {
    Failure::new(Exit::Failed, Problem::new(what))
}

/// As the API shows it.
fn as_json(job: &Job) -> Value {
    let Job { spec, state, attempts, progress, outcome, created_at, started_at, finished_at } = job;
    let (result, error) = match outcome {
        Some(Outcome::Succeeded(result)) => (value_of(result), Value::Null),
        Some(Outcome::Failed(error)) => (Value::Null, value_of(error)),
        Some(Outcome::Dead(death)) => {
            (Value::Null, json!({"cause": death.cause.as_str(), "detail": death.detail}))
        }
        Some(Outcome::Cancelled) | None => (Value::Null, Value::Null),
    };
    json!({
        "id": spec.id.to_string(),
        "task": spec.task.as_str(),
        "version": spec.version,
        "queue": spec.queue.as_str(),
        "state": state.as_str(),
        "priority": spec.priority.get(),
        "attempts": attempts,
        "maxAttempts": spec.max_attempts,
        "progress": {"done": progress.done, "total": progress.total, "message": progress.message},
        "result": result,
        "error": error,
        "createdBy": spec.created_by.map(|user| user.to_string()),
        "createdAt": created_at.to_string(),
        "scheduledFor": spec.scheduled_for.map(|due| due.to_string()),
        "startedAt": started_at.map(|at| at.to_string()),
        "finishedAt": finished_at.map(|at| at.to_string()),
    })
}

fn value_of(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(json)))
}

fn as_line(job: &Job) -> String {
    let Job { spec, state, attempts, created_at, .. } = job;
    let starts = format!("{attempts}/{}", spec.max_attempts);
    format!(
        "{}  {:<9}  {starts:<5}  {:<24}  {:<10}  {created_at}\n",
        spec.id,
        state.as_str(),
        spec.task.as_str(),
        spec.queue.as_str()
    )
}

/// One line for each thing that is known.
fn as_page(job: &Job) -> String {
    let mut page = String::new();
    let value = as_json(job);
    for (name, value) in value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // Texts of tasks come from outside: no line of theirs commands the terminal.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(page, "{name:<13} {text}");
    }
    page
}
