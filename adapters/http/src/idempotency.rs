//! `Idempotency-Key`: a `POST` that is sent again gets the first answer, instead of happening again.
//!
//! Claim and request run on a task of their own, so that a client that goes away leaves an answer for its retry.
//! Problems are kept as problems: a replay is completed with the path and request id of the request it answers. Answers
//! that nobody may keep (`no-store`: they carry tokens) are not kept here either; a replay of those is refused.
//!
//! A body that may be larger than JSON is not kept to be compared: the request is claimed by what comes before it, and its
//! digest, which the handler makes by reading, is kept with the answer. Whoever comes again sends the file again; it is
//! read to its end, and only its digest is looked at.
//!
//! Where an answer was not kept, because nobody knows what came of the request, it runs again. A job that it makes is then
//! the same one, as its identity follows from the key: see [`job_of`].

use std::sync::Arc;

use poem::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use poem::http::{HeaderName, HeaderValue, Method, StatusCode};
use poem::{Body, Endpoint, IntoResponse, Request, Response, Result};
use poem_openapi::types::ParseFromJSON;
use portwright_application::{Committed, Idempotency, SessionError, Sessions};
use portwright_domain::idempotency::{Claim, Fingerprint, IdempotencyKey, Progress, RecordedAnswer};
use portwright_domain::job::JobId;
use portwright_domain::ports::Sealer;
use portwright_domain::{PortError, Timestamp};
use ring::digest::{Context, SHA256};
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Builder;

use crate::body::{self, MAX_BYTES};
use crate::body_digest::{BodyDigest, drain};
use crate::consistency::{CONSISTENCY_TOKEN, sealed};
use crate::middleware::{ClientAddress, Route, Routes};
use crate::principal::bearer_token;
use crate::problem::{PROBLEM_JSON, Problem, ProblemBody, ProblemCode, problem_of};

/// The header.
pub(crate) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Where the digest of a body stands among the headers of the answer that is kept. Clients never see it.
const BODY_DIGEST: &str = "portwright-body-sha256";

/// An endpoint whose `POST`s may carry a key.
pub(crate) struct Idempotent<E> {
    pub(crate) inner: Arc<E>,
    pub(crate) keys: Arc<Idempotency>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) sealer: Arc<dyn Sealer>,
    /// Tells how large a body may be.
    pub(crate) routes: Routes,
}

impl<E: Endpoint<Output = Response> + 'static> Endpoint for Idempotent<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let Some(key) = key_of(&request)? else { return self.inner.call(request).await };
        let key = IdempotencyKey { scope: self.scope_of(&request).await?, key };
        let once = if self.may_be_large(&request) {
            let digest = BodyDigest::default();
            let body = digest.of(request.take_body());
            request.set_body(body);
            Once { key, fingerprint: fingerprint(&request, &[]), digest: Some(digest) }
        } else {
            let body = body::whole(request.take_body()).await?;
            let fingerprint = fingerprint(&request, &body);
            request.set_body(body);
            Once { key, fingerprint, digest: None }
        };
        let answer = answer(self.inner.clone(), self.keys.clone(), self.sealer.clone(), once, request);
        #[expect(
            clippy::disallowed_methods,
            reason = "ends with its request, which the server bounds and awaits"
        )]
        let answered = tokio::spawn(answer.in_current_span());
        match answered.await {
            Ok(answer) => answer,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
}

/// What makes a request the same as another one.
struct Once {
    key: IdempotencyKey,
    fingerprint: Fingerprint,
    /// Of the body, if the fingerprint has nothing of it.
    digest: Option<BodyDigest>,
}

impl<E> Idempotent<E> {
    fn may_be_large(&self, request: &Request) -> bool {
        let limits = self.routes.find(request.uri().path()).and_then(Route::limits);
        limits.is_some_and(|limits| limits.body_bytes > MAX_BYTES as u64)
    }

    /// Whose key it is, and for what. Whoever is signed in no longer is nobody: the answers of the account stay its own.
    async fn scope_of(&self, request: &Request) -> Result<String, Problem> {
        let caller = match bearer_token(request) {
            Some(token) => match self.sessions.authenticate(token).await {
                Ok(caller) => Some(caller.principal.user_id),
                Err(SessionError::Port(error)) => return Err(error.into()),
                Err(_) => None,
            },
            None => None,
        };
        let client = match caller {
            Some(user) => format!("user {user}"),
            None => format!("address {:?}", request.data::<ClientAddress>().map(|address| address.network())),
        };
        Ok(format!("{client} {}", request.uri().path()))
    }
}

/// The key of a `POST` that has one.
fn key_of(request: &Request) -> Result<Option<String>, Problem> {
    if request.method() != Method::POST {
        return Ok(None);
    }
    let mut given = request.headers().get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = given.next() else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    let key = key.filter(|key| key.bytes().all(|c| c.is_ascii_graphic()));
    match (key, given.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => Err(Problem::new(ProblemCode::IdempotencyKeyInvalid)),
    }
}

/// Claims the key and runs the request, or tells what became of the first one.
async fn answer<E: Endpoint<Output = Response>>(
    inner: Arc<E>,
    keys: Arc<Idempotency>,
    sealer: Arc<dyn Sealer>,
    once: Once,
    mut request: Request,
) -> Result<Response> {
    let Once { key, fingerprint, digest } = once;
    let claimed = Instant::now();
    let Committed { value: claim, token } = keys.claim(&key, fingerprint).await.map_err(Problem::from)?;
    let begun_at = match claim {
        Claim::Granted { begun_at } => begun_at,
        Claim::StillRunning => return Err(Problem::new(ProblemCode::IdempotencyKeyRunning).into()),
        Claim::KeyReused => return Err(Problem::new(ProblemCode::IdempotencyKeyReused).into()),
        Claim::AlreadyUsed => return Err(Problem::new(ProblemCode::AlreadyUsed).into()),
        Claim::Replay(answer) => {
            if let (Some(digest), Some(first)) = (digest, header_of(&answer, BODY_DIGEST)) {
                drain(request.take_body()).await.map_err(|_| Problem::new(ProblemCode::MalformedRequest))?;
                if digest.get() != Some(first) {
                    return Err(Problem::new(ProblemCode::IdempotencyKeyReused).into());
                }
            }
            return Ok(with_token(replay(answer)?, &sealed(&*sealer, &token)));
        }
    };
    request.set_data(JobOfKey::of(&key, fingerprint, begun_at));
    let (answer, mut kept) = keep(inner.call(request).await).await;
    if let (Some(Progress::Answered(answer)), Some(digest)) =
        (&mut kept, digest.as_ref().and_then(BodyDigest::get))
    {
        answer.headers.push((BODY_DIGEST.to_owned(), digest.to_owned()));
    }
    let settled: Result<(), PortError> = match kept.clone() {
        Some(progress) => keys.complete(&key, progress).await,
        None => keys.abandon(&key).await,
    };
    if settled.is_err() {
        #[expect(clippy::disallowed_methods, reason = "gives up when the claim expires, which is soon")]
        drop(tokio::spawn(settle(keys, key, kept, claimed).in_current_span()));
    }
    answer
}

/// The identity of the job that a request with a key makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct JobOfKey(JobId);

impl JobOfKey {
    /// A UUID of version 7 (RFC 9562): the time when the key was first used, and a digest in place of chance.
    fn of(key: &IdempotencyKey, fingerprint: Fingerprint, begun_at: Timestamp) -> Self {
        let mut context = Context::new(&SHA256);
        // Neither a path nor a key has a line break.
        for part in ["job", &key.scope, &key.key] {
            context.update(part.as_bytes());
            context.update(b"\n");
        }
        context.update(&fingerprint.0);
        let mut digest = [0; 10];
        digest.copy_from_slice(&context.finish().as_ref()[..10]);
        let millis = u64::try_from(begun_at.unix_micros() / 1_000).unwrap_or_default();
        Self(JobId(Builder::from_unix_timestamp_millis(millis, &digest).into_uuid()))
    }
}

/// The identity that a job made by this request has to have, if the request carries a key: whoever sends it again, after an
/// answer that was lost or told of an outage, gets the same job for as long as the queue knows it.
pub(crate) fn job_of(request: &Request) -> Option<JobId> {
    request.data::<JobOfKey>().map(|job| job.0)
}

/// Settles a key later than its request is answered. Until then a retry is told that the first request is still running.
async fn settle(keys: Arc<Idempotency>, key: IdempotencyKey, kept: Option<Progress>, claimed: Instant) {
    if let Err(error) = keys.settle(&key, kept, claimed).await {
        tracing::warn!(%error, "an idempotency key could not be settled");
    }
}

/// What to keep of an answer; nothing of one that another try could change.
async fn keep(answer: Result<Response>) -> (Result<Response>, Option<Progress>) {
    match answer {
        Ok(response) => {
            let secret = response.headers().get(CACHE_CONTROL).is_some_and(|value| value == "no-store");
            if secret {
                return (Ok(response), Some(Progress::Withheld));
            }
            let (parts, body) = response.into_parts();
            let Ok(body) = body.into_bytes().await else {
                return (Err(Problem::new(ProblemCode::Internal).into()), None);
            };
            let headers = parts.headers.iter().filter_map(|(name, value)| {
                Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
            });
            let answer = RecordedAnswer {
                status: parts.status.as_u16(),
                headers: headers.collect(),
                body: body.clone(),
            };
            (Ok(Response::from_parts(parts, body.into())), Some(Progress::Answered(answer)))
        }
        Err(error) => {
            let problem = problem_of(&error);
            let kept = match problem.code() {
                ProblemCode::Forbidden
                | ProblemCode::RegistrationClosed
                | ProblemCode::NotFound
                | ProblemCode::EmailTaken
                | ProblemCode::LastAdmin
                | ProblemCode::MalformedBody
                | ProblemCode::ValidationFailed => recorded(&problem).await,
                _ => None,
            };
            (Err(error), kept)
        }
    }
}

async fn recorded(problem: &Problem) -> Option<Progress> {
    let response = problem.clone().into_response();
    let status = response.status().as_u16();
    let body = response.into_body().into_bytes().await.ok()?;
    let headers = vec![(CONTENT_TYPE.as_str().to_owned(), PROBLEM_JSON.to_owned())];
    Some(Progress::Answered(RecordedAnswer { status, headers, body }))
}

fn header_of<'a>(answer: &'a RecordedAnswer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn replay(answer: RecordedAnswer) -> Result<Response> {
    let is_problem = answer.headers.iter().any(|(_, value)| value == PROBLEM_JSON);
    if is_problem {
        return Err(problem_from(&answer.body).unwrap_or_else(|| Problem::new(ProblemCode::Internal)).into());
    }
    let mut response = Response::builder()
        .status(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK))
        .body(Body::from_bytes(answer.body));
    for (name, value) in answer.headers.into_iter().filter(|(name, _)| name != BODY_DIGEST) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// An answer that was given before, with the state of now if it has one: a client that always sends the newest token that it
/// was given must not go back to the state of then.
fn with_token(mut replay: Response, token: &str) -> Response {
    if let Some(header) = replay.headers_mut().get_mut(CONSISTENCY_TOKEN)
        && let Ok(token) = HeaderValue::try_from(token)
    {
        *header = token;
    }
    replay
}

fn problem_from(body: &[u8]) -> Option<Problem> {
    let body = ProblemBody::parse_from_json(serde_json::from_slice(body).ok()?).ok()?;
    let problem = Problem::new(body.code.parse().ok()?).with_detail(body.detail);
    Some(problem.with_errors(body.errors.unwrap_or_default()))
}

/// Two requests are one if their query, media type and body are; scope and key tell the rest.
fn fingerprint(request: &Request, body: &[u8]) -> Fingerprint {
    let mut context = Context::new(&SHA256);
    for part in [request.uri().query().unwrap_or_default(), request.content_type().unwrap_or_default()] {
        context.update(part.as_bytes());
        context.update(b"\n");
    }
    context.update(body);
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Fingerprint(digest)
}
