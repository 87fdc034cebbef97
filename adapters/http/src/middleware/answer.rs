//! From what a handler returned to what the client gets.

use poem::http::{HeaderValue, StatusCode, header};
use poem::{Request, Response, Result};

use crate::problem::{Problem, ProblemCode, problem_of};
use crate::server::Refusal;

use super::request_id::RequestId;

/// What an answer says about its request.
pub(super) struct Exchange {
    path: Option<String>,
    id: RequestId,
    has_credentials: bool,
}

impl Exchange {
    pub(super) fn new(request: &Request, id: RequestId) -> Self {
        // Of a refused head there is only a substitute, whose path means nothing.
        let is_itself = request.data::<Refusal>().is_none_or(|refusal| *refusal == Refusal::BodyTooSlow);
        let path = is_itself.then(|| request.uri().path().to_owned());
        Self { path, id, has_credentials: request.headers().contains_key(header::AUTHORIZATION) }
    }

    /// The answer; everything that went wrong as a problem with the path and the request id.
    pub(super) fn answer(&self, answered: Result<Response>) -> Response {
        let response = match answered {
            Ok(response) => response,
            Err(error) if error.is_from_response() => error.into_response(),
            Err(error) => {
                let problem = problem_of(&error);
                // A handler that answers a problem of ours has logged what there is to log.
                if problem.code().status().is_server_error() && !error.is::<Problem>() {
                    tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
                }
                return self.problem(&problem);
            }
        };
        let status = response.status();
        if let Some(problem) = response.data::<Problem>() {
            return self.problem(problem);
        }
        if (status.is_client_error() || status.is_server_error())
            && !response.headers().contains_key(header::CONTENT_TYPE)
        {
            return self.problem(&Problem::new(ProblemCode::for_status(status)));
        }
        response
    }

    fn problem(&self, problem: &Problem) -> Response {
        let mut response = problem.answer(self.path.as_deref(), Some(self.id.as_str()));
        if problem.code().status() == StatusCode::UNAUTHORIZED {
            let rejected = self.has_credentials && problem.code() == ProblemCode::Unauthorized;
            let challenge = if rejected { r#"Bearer error="invalid_token""# } else { "Bearer" };
            response
                .headers_mut()
                .entry(header::WWW_AUTHENTICATE)
                .or_insert(HeaderValue::from_static(challenge));
        }
        response
    }
}

/// What the server could not accept as a request.
pub(super) fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Malformed(why) => Problem::new(ProblemCode::MalformedRequest).with_detail(why),
        Refusal::TargetTooLong => Problem::new(ProblemCode::UriTooLong),
        Refusal::HeadTooLarge => Problem::new(ProblemCode::HeadersTooLarge),
        Refusal::TooSlow | Refusal::BodyTooSlow => Problem::new(ProblemCode::RequestTimeout),
    }
}
