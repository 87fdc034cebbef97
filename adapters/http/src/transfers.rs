//! `/users/import`, `/users/export` and the files of exports.

mod download;
mod order;
pub(crate) mod upload;

use std::sync::Arc;
use std::time::Duration;

use poem::Request;
use poem_openapi::param::Path;
use poem_openapi::{ApiResponse, OpenApi};
use portwright_application::{Exports, Imports, Jobs};
use portwright_domain::job::Job;
use portwright_domain::ports::Sealer;

use self::download::Download;
use self::order::ExportOrderBody;
use self::upload::CsvUpload;
use crate::body::JsonBody;
use crate::consistency::newest;
use crate::jobs::body::JobBody;
use crate::jobs::{LOOK_AGAIN, location};
use crate::json::Json;
use crate::path_id::PathJobId;
use crate::principal::Caller;
use crate::refusals::refusals;
use crate::server::RouteLimits;
use crate::tags::Tag;
use crate::trace::origin;

/// The limits of `/users/import`: a large file over a slow line is no reason to refuse it.
pub(crate) const IMPORT_LIMITS: RouteLimits =
    RouteLimits { body_bytes: 64 * 1024 * 1024, deadline: Duration::from_mins(30) };

/// The operations on users and files.
pub(crate) struct TransfersApi {
    pub(crate) imports: Arc<Imports>,
    pub(crate) exports: Arc<Exports>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) sealer: Arc<dyn Sealer>,
}

#[derive(ApiResponse)]
enum AcceptedAnswer {
    /// The job that does it.
    #[oai(status = 202)]
    Accepted(
        Json<JobBody>,
        #[oai(header = "Location")] String,
        #[oai(header = "Retry-After")] u64,
        #[oai(header = "Consistency-Token")] Option<String>,
    ),
}

refusals!(ImportRefused: Unauthorized, Forbidden, PayloadTooLarge, UnsupportedMediaType, QueueFull);
refusals!(ExportRefused: MalformedBody, Unauthorized, Forbidden, PayloadTooLarge, UnsupportedMediaType,
    ValidationFailed, QueueFull);
refusals!(DownloadRefused: Unauthorized, Forbidden, NotFound);

#[OpenApi(prefix_path = "/users", tag = "Tag::Users")]
impl TransfersApi {
    /// Import users
    ///
    /// For admins. A CSV file in UTF-8 of at most 64 MiB and 100,000 rows, whose first line names the columns `email`,
    /// `firstName`, `lastName`, `role` and `password`, in any order. The answer is a job; its result is
    /// `{"created", "unchanged", "refused": [{"line", "code", "detail"}]}`. An address that exists already, in any case,
    /// is unchanged. If more than 1,000 rows are refused, the first are listed, and `refusedTotal` says how many they are.
    /// A file that lacks columns, has others, has too many rows or is no text fails as a whole. An import that is stopped
    /// keeps whom it has created, and the same file again creates nobody twice.
    #[oai(path = "/import", method = "post", operation_id = "importUsers")]
    async fn import(
        &self,
        caller: Caller,
        request: &Request,
        file: CsvUpload,
    ) -> Result<AcceptedAnswer, ImportRefused> {
        let job = self.imports.begin(caller.0.principal, origin(request), file.0).await?;
        Ok(self.accepted(job).await)
    }

    /// Export users
    ///
    /// For admins. The answer is a job; its result is `{"rows", "format", "href"}`, where `href` is the path of the file,
    /// which is kept for 24 hours.
    #[oai(path = "/export", method = "post", operation_id = "exportUsers")]
    async fn export(
        &self,
        caller: Caller,
        request: &Request,
        order: JsonBody<ExportOrderBody>,
    ) -> Result<AcceptedAnswer, ExportRefused> {
        let job = self.exports.begin(caller.0.principal, origin(request), order.0).await?;
        Ok(self.accepted(job).await)
    }

    /// Read the file of an export
    ///
    /// For admins. The identity is that of the job.
    #[oai(path = "/exports/:id", method = "get", operation_id = "readExport")]
    async fn download(&self, caller: Caller, id: Path<PathJobId>) -> Result<Download, DownloadRefused> {
        Ok(Download(self.exports.open(caller.0.principal, id.0.0).await?))
    }
}

impl TransfersApi {
    async fn accepted(&self, job: Job) -> AcceptedAnswer {
        let token = newest(&*self.sealer, &self.jobs).await;
        let job = JobBody::from(job);
        let location = location(&job);
        AcceptedAnswer::Accepted(Json(job), location, LOOK_AGAIN, token)
    }
}
