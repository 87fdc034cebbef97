//! What every task that is called over HTTP has in common: it is a job of the caller, is waited for as the client
//! prefers, and what goes wrong with it has one form.

use std::time::Duration;

use poem::Request;
use poem::http::header::RETRY_AFTER;
use portwright_application::compute::error::TaskError;
use portwright_application::compute::{Call, ComputeError};
use portwright_application::{JobError, Jobs};
use portwright_domain::ErrorKind;
use portwright_domain::job::JobId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::idempotency::job_of;
use crate::jobs::body::{JobBody, dead_of};
use crate::middleware::aside;
use crate::preference::{LONGEST_WAIT, Preference};
use crate::principal::Caller;
use crate::problem::{Problem, ProblemCode};
use crate::server::RouteLimits;
use crate::trace::origin;

/// The limits of a path that may wait as long as a client may ask for.
pub(crate) const LIMITS: RouteLimits =
    RouteLimits { deadline: LONGEST_WAIT.saturating_add(Duration::from_secs(10)), ..RouteLimits::DEFAULT };

/// How a call went.
pub(super) enum Ran<T> {
    /// It was waited for, and came to this result. The job is `None` where finished ones are not kept.
    Ended(T, Option<JobBody>),
    /// Nobody waited, or not long enough.
    GoesOn(JobBody),
}

/// Why there is no result.
pub(super) enum Trouble {
    /// The engine says so.
    Engine(ComputeError),
    /// The task says so, with this error.
    Task(Value),
}

impl Trouble {
    /// The error of a task, as its job shows it.
    pub(super) fn task(error: &impl Serialize) -> Self {
        Self::Task(serde_json::to_value(error).unwrap_or_default())
    }
}

/// The call on behalf of this caller, because of this request.
pub(super) fn asked_by<'c, T, E>(caller: &Caller, request: &Request, call: Call<'c, T, E>) -> Call<'c, T, E> {
    let call = call.created_by(caller.0.principal.user_id);
    let call = job_of(request).into_iter().fold(call, Call::with_id);
    origin(request).into_iter().fold(call, Call::caused_by)
}

/// Makes the call as the client prefers.
///
/// # Errors
/// 422 with the error of the task; 502 if the job came to no result; 503 if the queue did not take it.
pub(super) async fn run<T, E>(
    jobs: &Jobs,
    caller: &Caller,
    request: &Request,
    preference: Preference,
    call: Call<'_, T, E>,
) -> Result<Ran<T>, Problem>
where
    T: DeserializeOwned,
    E: TaskError + Into<Trouble>,
{
    let id = call.id();
    let unfinished = match preference {
        Preference::RespondAsync => call.enqueue().await.map_err(of_engine)?,
        Preference::Wait(wait) => match aside(request, call.wait(wait)).await.map_err(Into::into) {
            Ok(result) => {
                let job = match jobs.get(caller.0.principal, id).await {
                    Ok(job) => Some(job.into()),
                    Err(JobError::Removed | JobError::NotFound) => None,
                    Err(error) => return Err(error.into()),
                };
                return Ok(Ran::Ended(result, job));
            }
            Err(Trouble::Engine(ComputeError::Unfinished { job })) => job,
            Err(Trouble::Engine(error)) => return Err(of_engine(error)),
            Err(Trouble::Task(error)) => return Err(of_task(id, error)),
        },
    };
    let job = jobs.get(caller.0.principal, unfinished).await?;
    Ok(Ran::GoesOn(job.into()))
}

/// The problem of a task that returned its error.
fn of_task(job: JobId, error: Value) -> Problem {
    Problem::new(ProblemCode::JobFailed)
        .with_detail(format!("job {job} ended with an error of its own"))
        .with_error(error)
}

/// Why a call has no result, or was not made at all, apart from what its task says.
pub(crate) fn of_engine(error: ComputeError) -> Problem {
    match error {
        ComputeError::Dead { job, cause } => {
            Problem::new(ProblemCode::JobDead).with_detail(format!("job {job}: {}", dead_of(cause).detail))
        }
        ComputeError::Cancelled { job } => {
            Problem::new(ProblemCode::JobDead).with_detail(format!("job {job}: somebody stopped it"))
        }
        ComputeError::TooLarge { .. } => Problem::new(ProblemCode::PayloadTooLarge),
        ComputeError::QueueFull => Problem::new(ProblemCode::QueueFull).with_header(RETRY_AFTER, 1.into()),
        ComputeError::Queue { kind: ErrorKind::Unavailable | ErrorKind::Contended, detail } => {
            tracing::warn!(detail, "the queue is unavailable");
            Problem::new(ProblemCode::QueueUnavailable).with_header(RETRY_AFTER, 1.into())
        }
        error => {
            tracing::error!(%error, "a call failed");
            Problem::new(ProblemCode::Internal)
        }
    }
}

#[cfg(test)]
mod tests {
    use portwright_domain::PortError;
    use portwright_domain::ports::job_queue::Limits;
    use uuid::Uuid;

    use super::*;

    fn code(error: impl Into<ComputeError>) -> &'static str {
        of_engine(error.into()).code().as_str()
    }

    #[test]
    fn a_queue_that_is_full_one_that_is_away_and_one_that_is_broken_are_different_problems() {
        let queue = |kind, detail: &'static str| PortError::new(kind, "jobs.call", detail);
        assert_eq!(code(queue(ErrorKind::Unavailable, Limits::FULL)), "queue-full");
        assert_eq!(code(queue(ErrorKind::Unavailable, "on cue")), "queue-unavailable");
        assert_eq!(code(queue(ErrorKind::Contended, "on cue")), "queue-unavailable");
        assert_eq!(code(queue(ErrorKind::Corrupt, "on cue")), "internal");
        assert_eq!(code(ComputeError::NotServed { task: "test.echo".to_owned() }), "internal");
    }

    #[test]
    fn a_problem_names_the_job_and_nothing_of_the_inside() {
        let job = JobId(Uuid::nil());
        let unreadable = ComputeError::Unreadable { job, detail: "missing field `secret`".to_owned() };
        assert!(!of_engine(unreadable).to_string().contains("secret"));
        let stopped = of_engine(ComputeError::Cancelled { job }).to_string();
        assert_eq!(stopped, format!("job-dead: job {job}: somebody stopped it"));
    }
}
