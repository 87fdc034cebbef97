//! `/users/{id}/avatar`: put, read, remove.
//!
//! Bytes pass through, in both directions: no picture is ever whole in the memory of this process.

mod body;
mod picture;

use std::sync::Arc;
use std::time::Duration;

use poem::Request;
use poem::http::header::IF_MATCH;
use poem_openapi::param::Path;
use poem_openapi::{ApiResponse, OpenApi};
use portwright_application::avatars::{AvatarForm, Expected, MAX_BYTES, Reading, Upload, Uploaded};
use portwright_application::{Avatars, Committed};
use portwright_domain::ports::Sealer;
use serde_json::json;

use self::body::PictureBody;
use self::picture::{PictureAnswer, etag_of, picture_of};
use crate::conditional::{etag, is_known, tags};
use crate::consistency::{sealed, wanted};
use crate::jobs::body::JobBody;
use crate::jobs::{LOOK_AGAIN, location};
use crate::json::Json;
use crate::middleware::aside;
use crate::parameters::{Parameter, Parameters};
use crate::path_id::PathId;
use crate::preference::{LONGEST_WAIT, Preference};
use crate::principal::Caller;
use crate::problem::Problem;
use crate::refusals::refusals;
use crate::server::RouteLimits;
use crate::tags::Tag;
use crate::trace::origin;
use crate::users::USER_DATA;
use crate::users::body::UserBody;

/// The path of all operations here, as the document writes it.
pub(crate) const PATH: &str = "/users/{id}/avatar";

/// What an upload may take: a slow line needs three minutes for the most bytes, and then there is the wait.
pub(crate) const LIMITS: RouteLimits =
    RouteLimits { body_bytes: MAX_BYTES, deadline: LONGEST_WAIT.saturating_add(Duration::from_mins(3)) };

/// The parameters of reading, for the document.
pub(crate) const PARAMETERS: [Parameter; 1] = [Parameter {
    name: "size",
    doc: "The most pixels in width and height; a picture is never enlarged.",
    schema: || json!({"type": "string", "enum": AvatarForm::ALL.map(AvatarForm::as_str), "default": "256"}),
}];

/// The operations on avatars.
pub(crate) struct AvatarsApi {
    pub(crate) avatars: Arc<Avatars>,
    pub(crate) sealer: Arc<dyn Sealer>,
}

#[derive(ApiResponse)]
enum PutAnswer {
    /// The picture is shown. The user as it is now.
    #[oai(status = 200)]
    Shown(
        Json<UserBody>,
        /// Of the user.
        #[oai(header = "ETag")]
        String,
        /// The path of the user.
        #[oai(header = "Content-Location")]
        String,
        #[oai(header = "Consistency-Token")] String,
        /// `wait=N`, which is how long it was ready to wait.
        #[oai(header = "Preference-Applied")]
        String,
        #[oai(header = "Cache-Control")] String,
    ),
    /// The picture will be shown when this job has ended.
    #[oai(status = 202)]
    Pending(
        Json<JobBody>,
        #[oai(header = "Location")] String,
        #[oai(header = "Retry-After")] u64,
        #[oai(header = "Consistency-Token")] String,
        /// `respond-async`, or `wait=N` if that was not enough.
        #[oai(header = "Preference-Applied")]
        String,
    ),
}

#[derive(ApiResponse)]
enum RemovedAnswer {
    /// There is no picture any more, or there was none.
    #[oai(status = 204)]
    Removed(#[oai(header = "Consistency-Token")] String),
}

refusals!(PutRefused: Unauthorized, Forbidden, NotFound, PreconditionFailed, PayloadTooLarge, UnsupportedMediaType,
    InvalidImage, JobDead, QueueFull, QueueUnavailable);
refusals!(ReadRefused: BadConsistencyToken, Unauthorized, NotFound, ValidationFailed);
refusals!(RemoveRefused: Unauthorized, Forbidden, NotFound, PreconditionFailed);

#[OpenApi(tag = "Tag::Users")]
impl AvatarsApi {
    /// Give a user a picture
    ///
    /// For admins and the user. The bytes of the picture, at most 5 MiB and 20 megapixels; of a moving one, the first
    /// frame. It is drawn anew, so nothing else that is in the file (such as the place where it was taken) is kept.
    /// `Prefer: wait=N` waits so many seconds until it is shown, at most 55, and 10 if nothing is preferred; `Prefer:
    /// respond-async` does not wait. Of several, the last one sent is shown.
    #[oai(path = "/users/:id/avatar", method = "put", operation_id = "putAvatar")]
    async fn put(
        &self,
        caller: Caller,
        id: Path<PathId>,
        request: &Request,
        body: PictureBody,
    ) -> Result<PutAnswer, PutRefused> {
        let preference = Preference::of(request);
        let wait = match preference {
            Preference::Wait(wait) => Some(wait),
            Preference::RespondAsync => None,
        };
        let PictureBody { kind, body } = body;
        let upload = Upload { kind, body, expected: expected(request), wait, origin: origin(request) };
        // What there is to do is done by the storage and by workers.
        let put = aside(request, self.avatars.put(caller.0.principal, id.0.0, upload));
        let Committed { value, token } = put.await?;
        let (token, applied) = (sealed(&*self.sealer, &token), preference.applied());
        Ok(match value {
            Uploaded::Shown(user) => {
                let (tag, path) = (etag(&user), format!("/users/{}", user.id));
                PutAnswer::Shown(Json((*user).into()), tag, path, token, applied, USER_DATA.into())
            }
            Uploaded::Pending(job) => {
                let job = JobBody::from(*job);
                let location = location(&job);
                PutAnswer::Pending(Json(job), location, LOOK_AGAIN, token, applied)
            }
        })
    }

    /// Read the picture of a user
    ///
    /// For everybody who is signed in.
    #[oai(path = "/users/:id/avatar", method = "get", operation_id = "readAvatar")]
    async fn read(
        &self,
        _caller: Caller,
        id: Path<PathId>,
        request: &Request,
    ) -> Result<PictureAnswer, ReadRefused> {
        let (form, consistency) = (form(request)?, wanted(&*self.sealer, request)?);
        let is_known = |avatar| is_known(request, &etag_of(avatar, form));
        Ok(match self.avatars.read(id.0.0, form, consistency, is_known).await? {
            Reading::Known(avatar) => PictureAnswer::Known(etag_of(avatar, form)),
            Reading::Picture(avatar, object) => PictureAnswer::Picture(avatar, form, object),
        })
    }

    /// Remove the picture of a user
    ///
    /// For admins and the user. Also what was sent and is not shown yet.
    #[oai(path = "/users/:id/avatar", method = "delete", operation_id = "removeAvatar")]
    async fn remove(
        &self,
        caller: Caller,
        id: Path<PathId>,
        request: &Request,
    ) -> Result<RemovedAnswer, RemoveRefused> {
        let Committed { token, .. } =
            self.avatars.remove(caller.0.principal, id.0.0, expected(request)).await?;
        Ok(RemovedAnswer::Removed(sealed(&*self.sealer, &token)))
    }
}

/// The form that a request asks for.
fn form(request: &Request) -> Result<AvatarForm, Problem> {
    let mut parameters = Parameters::of(request);
    let form = parameters.optional("size", AvatarForm::parse);
    parameters.finish()?;
    Ok(form.unwrap_or(AvatarForm::Medium))
}

/// The picture that `If-Match` names, in whichever form. A tag that is not one of ours names none.
fn expected(request: &Request) -> Option<Expected> {
    let tags = tags(request, &IF_MATCH)?;
    Some(if tags == ["*"] {
        Expected::Any
    } else {
        Expected::OneOf(tags.into_iter().filter_map(picture_of).collect())
    })
}
