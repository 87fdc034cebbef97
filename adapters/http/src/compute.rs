//! `/compute`: tasks that anybody may call who is signed in. Each is an operation of its own, with its own types.
//!
//! To add one, copy the operation, its input and its answer from `primes`; what all have in common is in [`run`].

mod primes;
mod run;

use std::sync::Arc;

use poem::Request;
use poem_openapi::{ApiResponse, OpenApi};
use portwright_application::{Jobs, Primes};
use portwright_domain::ports::Sealer;

use self::primes::{PrimesBody, PrimesQueryBody};
pub(crate) use self::run::{LIMITS, of_engine};
use self::run::{Ran, asked_by, run};
use crate::body::JsonBody;
use crate::consistency::newest;
use crate::jobs::body::JobBody;
use crate::jobs::{LOOK_AGAIN, location};
use crate::json::Json;
use crate::preference::Preference;
use crate::principal::Caller;
use crate::refusals::refusals;
use crate::tags::Tag;

/// The operations that call tasks.
pub(crate) struct ComputeApi {
    pub(crate) primes: Arc<Primes>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) sealer: Arc<dyn Sealer>,
}

#[derive(ApiResponse)]
enum PrimesAnswer {
    /// What was found.
    #[oai(status = 200)]
    Done(
        Json<PrimesBody>,
        /// `wait=N`, which is how long it was ready to wait.
        #[oai(header = "Preference-Applied")]
        String,
        #[oai(header = "Consistency-Token")] Option<String>,
    ),
    /// The job, which goes on.
    #[oai(status = 202)]
    GoesOn(
        Json<JobBody>,
        #[oai(header = "Location")] String,
        #[oai(header = "Retry-After")] u64,
        /// `respond-async`, or `wait=N` if that was not enough.
        #[oai(header = "Preference-Applied")]
        String,
        #[oai(header = "Consistency-Token")] Option<String>,
    ),
}

refusals!(PrimesRefused: MalformedBody, Unauthorized, JobExpired, PayloadTooLarge, UnsupportedMediaType,
    ValidationFailed, JobFailed, JobDead, QueueFull, QueueUnavailable);

#[OpenApi(prefix_path = "/compute", tag = "Tag::Compute")]
impl ComputeApi {
    /// Count primes
    ///
    /// For everybody who is signed in. `Prefer: wait=N` waits so many seconds for the result, at most 55, and 10 if
    /// nothing is preferred; `Prefer: respond-async` does not wait. Either way it is a job, which may be read, followed
    /// and stopped.
    #[oai(path = "/primes", method = "post", operation_id = "computePrimes")]
    async fn primes(
        &self,
        caller: Caller,
        request: &Request,
        body: JsonBody<PrimesQueryBody>,
    ) -> Result<PrimesAnswer, PrimesRefused> {
        let preference = Preference::of(request);
        let call = asked_by(&caller, request, self.primes.count_job(body.0));
        let ran = run(&self.jobs, &caller, request, preference, call).await?;
        let (applied, token) = (preference.applied(), newest(&*self.sealer, &self.jobs).await);
        Ok(match ran {
            Ran::Ended(result, job) => {
                let result = result.into();
                PrimesAnswer::Done(Json(PrimesBody { result, job }), applied, token)
            }
            Ran::GoesOn(job) => {
                let location = location(&job);
                PrimesAnswer::GoesOn(Json(job), location, LOOK_AGAIN, applied, token)
            }
        })
    }
}
