//! `/jobs`: list, read, follow, stop, run again.

pub(crate) mod body;
pub(crate) mod events;
pub(crate) mod query;
mod streams;

use std::sync::Arc;

use poem::Request;
use poem_openapi::param::Path;
use poem_openapi::{ApiResponse, OpenApi};
use portwright_application::{Jobs, Sessions};
use portwright_domain::page::{PageRequest, Rest};
use portwright_domain::ports::Sealer;
use tokio_util::sync::CancellationToken;

use self::body::{JobBody, JobPage};
use self::events::{EventStream, Following};
pub(crate) use self::streams::Streams;
use crate::consistency::{caught_up, newest};
use crate::json::Json;
use crate::paging;
use crate::path_id::PathJobId;
use crate::principal::{Caller, bearer_token};
use crate::refusals::refusals;
use crate::tags::Tag;

/// The operations on jobs.
pub(crate) struct JobsApi {
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) sealer: Arc<dyn Sealer>,
    pub(crate) streams: Arc<Streams>,
    /// Set as soon as the service is about to stop.
    pub(crate) draining: CancellationToken,
}

/// In how many seconds it is worth while to look at a job again.
pub(crate) const LOOK_AGAIN: u64 = 1;

#[derive(ApiResponse)]
enum JobPageAnswer {
    /// A page.
    #[oai(status = 200)]
    Page(
        Json<JobPage>,
        /// `first`, `prev`, `next` and `last` page, where they exist.
        #[oai(header = "Link")]
        String,
    ),
}

#[derive(ApiResponse)]
enum JobAnswer {
    /// The job.
    #[oai(status = 200)]
    Job(
        Json<JobBody>,
        /// If it has ended: a read that sends it back sees what the job wrote.
        #[oai(header = "Consistency-Token")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
enum EventsAnswer {
    /// Server-sent events, all of the name `job`. Their data is the job.
    #[oai(status = 200)]
    Events(
        EventStream,
        #[oai(header = "Cache-Control")] String,
        /// For proxies that would otherwise collect events.
        #[oai(header = "X-Accel-Buffering")]
        String,
    ),
    /// The job has ended, and the client has its last event. Clients that come back by themselves stop at this.
    #[oai(status = 204)]
    NothingMore,
}

#[derive(ApiResponse)]
enum StoppedAnswer {
    /// It will not start; or, if it runs, it was told to stop.
    #[oai(status = 204)]
    Stopped(#[oai(header = "Consistency-Token")] Option<String>),
}

#[derive(ApiResponse)]
enum RetriedAnswer {
    /// It is ready again, with all its attempts.
    #[oai(status = 202)]
    Ready(
        Json<JobBody>,
        #[oai(header = "Location")] String,
        #[oai(header = "Retry-After")] u64,
        #[oai(header = "Consistency-Token")] Option<String>,
    ),
}

refusals!(ListRefused: Unauthorized, Forbidden, ValidationFailed, QueueUnavailable);
refusals!(ReadRefused: Unauthorized, NotFound, JobExpired, QueueUnavailable);
refusals!(StopRefused: Unauthorized, NotFound, JobFinished, JobExpired, QueueUnavailable);
refusals!(RetryRefused: Unauthorized, Forbidden, NotFound, JobNotFailed, JobHeld, JobExpired, QueueUnavailable);

#[OpenApi(prefix_path = "/jobs", tag = "Tag::Jobs")]
impl JobsApi {
    /// List jobs
    ///
    /// For admins. The newest first.
    #[oai(path = "/", method = "get", operation_id = "listJobs")]
    async fn list(&self, caller: Caller, request: &Request) -> Result<JobPageAnswer, ListRefused> {
        let query::Listing { filter, page, limit } = query::parse(request)?;
        let wanted = PageRequest::Numbered { page, limit };
        let found = self.jobs.list(caller.0.principal, &filter, &wanted).await?;
        let total = match found.rest {
            Rest::Total(total) => total,
            Rest::Next(_) => 0,
        };
        let (pagination, links) = paging::numbered(request, page, limit, total);
        let data = found.rows.into_iter().map(JobBody::from).collect();
        Ok(JobPageAnswer::Page(Json(JobPage { data, pagination }), links))
    }

    /// Read a job
    ///
    /// For whoever asked for it, and for admins.
    #[oai(path = "/:id", method = "get", operation_id = "readJob")]
    async fn read(&self, caller: Caller, id: Path<PathJobId>) -> Result<JobAnswer, ReadRefused> {
        let job = self.jobs.get(caller.0.principal, id.0.0).await?;
        let token = if job.state.is_terminal() { caught_up(&*self.sealer, &self.jobs).await } else { None };
        Ok(JobAnswer::Job(Json(job.into()), token))
    }

    /// Follow a job
    ///
    /// For whoever asked for it, and for admins. Each event shows a state of the job, the first one the present state, the
    /// last one how it ended. With `Last-Event-ID`, a state that the client has is not told again. A stream lasts for ten
    /// minutes at most; come back then.
    #[oai(path = "/:id/events", method = "get", operation_id = "followJob")]
    async fn follow(
        &self,
        caller: Caller,
        id: Path<PathJobId>,
        request: &Request,
    ) -> Result<EventsAnswer, ReadRefused> {
        let caller = caller.0.principal;
        let job = self.jobs.get(caller, id.0.0).await?;
        let following = Following {
            jobs: self.jobs.clone(),
            sessions: self.sessions.clone(),
            draining: self.draining.clone(),
            caller,
            token: bearer_token(request).unwrap_or_default().to_owned(),
            _place: self.streams.take(caller.user_id)?,
        };
        Ok(match following.events(job, request) {
            Some(events) => EventsAnswer::Events(events, "no-store".into(), "no".into()),
            None => EventsAnswer::NothingMore,
        })
    }

    /// Stop a job
    ///
    /// For whoever asked for it, and for admins. A job that runs is told to stop, and ends cancelled unless it finishes
    /// first.
    #[oai(path = "/:id", method = "delete", operation_id = "stopJob")]
    async fn stop(&self, caller: Caller, id: Path<PathJobId>) -> Result<StoppedAnswer, StopRefused> {
        self.jobs.cancel(caller.0.principal, id.0.0).await?;
        Ok(StoppedAnswer::Stopped(newest(&*self.sealer, &self.jobs).await))
    }

    /// Run a job again
    ///
    /// For admins. Only a job that is failed, dead or cancelled.
    #[oai(path = "/:id/retry", method = "post", operation_id = "retryJob")]
    async fn retry(&self, caller: Caller, id: Path<PathJobId>) -> Result<RetriedAnswer, RetryRefused> {
        let job = JobBody::from(self.jobs.retry(caller.0.principal, id.0.0).await?);
        let (location, token) = (location(&job), newest(&*self.sealer, &self.jobs).await);
        Ok(RetriedAnswer::Ready(Json(job), location, LOOK_AGAIN, token))
    }
}

/// The path of a job.
pub(crate) fn location(job: &JobBody) -> String {
    format!("/jobs/{}", job.id)
}
