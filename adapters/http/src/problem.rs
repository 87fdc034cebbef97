//! Problem details (RFC 9457): the one form in which the API says no.
//!
//! A handler returns a [`Problem`] as its error. [`protect`](crate::protect) turns everything else that can go wrong
//! into one as well, and writes into it what only the edge knows: the path and the request id.

use std::borrow::Cow;
use std::fmt;

use poem::error::ResponseError;
use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::Object;
use poem_openapi::types::{Any, ToJSON};
use serde_json::Value;

mod code;
mod framework;
mod pages;

pub use code::{ProblemCode, ProblemUnknown};
pub(crate) use framework::problem_of;
pub use pages::ProblemPages;

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal: what is wrong, in words for the person who made the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    code: ProblemCode,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    error: Option<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem that says what its code means.
    #[must_use]
    pub fn new(code: ProblemCode) -> Self {
        Self {
            code,
            detail: Cow::Borrowed(code.meaning()),
            errors: Vec::new(),
            error: None,
            headers: Vec::new(),
        }
    }

    /// A sentence on this occurrence. Never SQL, a file path, or whether something hidden exists.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Everything that is wrong with the fields and parameters.
    #[must_use]
    pub fn with_errors(mut self, errors: impl IntoIterator<Item = FieldError>) -> Self {
        self.errors.extend(errors);
        self
    }

    /// The error that a task returned.
    #[must_use]
    pub fn with_error(mut self, error: Value) -> Self {
        self.error = Some(error);
        self
    }

    /// A header that the answer carries, such as `Retry-After`.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Which problem it is.
    #[must_use]
    pub const fn code(&self) -> ProblemCode {
        self.code
    }

    /// The answer, on the path `instance` and under this request id.
    pub(crate) fn answer(&self, instance: Option<&str>, request_id: Option<&str>) -> Response {
        let body = ProblemBody {
            kind: format!("/problems/{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status().as_u16(),
            detail: self.detail.clone().into_owned(),
            instance: instance.map(str::to_owned),
            code: self.code.as_str().to_owned(),
            request_id: request_id.map(str::to_owned),
            errors: (!self.errors.is_empty()).then(|| self.errors.clone()),
            error: self.error.clone().map(Any),
        };
        let mut response = Response::builder()
            .status(self.code.status())
            .header(header::CONTENT_TYPE, PROBLEM_JSON)
            .body(body.to_json_string());
        response.headers_mut().extend(self.headers.clone());
        response
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.code.status()
    }

    fn as_response(&self) -> Response {
        self.clone().into_response()
    }
}

impl IntoResponse for Problem {
    /// The answer carries the problem along, so that the edge can complete it.
    fn into_response(self) -> Response {
        let mut response = self.answer(None, None);
        response.set_data(self);
        response
    }
}

/// The body of a problem, as the API document describes it.
#[derive(Debug, Object)]
#[oai(rename = "Problem", rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ProblemBody {
    /// `/problems/<code>`: a page that says what the problem means and how to mend it.
    #[oai(rename = "type")]
    pub kind: String,
    /// A few words, the same for every problem of this code.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong with this request.
    pub detail: String,
    /// The path of the request.
    pub instance: Option<String>,
    /// The stable name of the problem, for programs.
    pub code: String,
    /// The identity of the request, for a report; also in `X-Request-Id`.
    pub request_id: Option<String>,
    /// All that is wrong with fields and parameters.
    pub errors: Option<Vec<FieldError>>,
    /// Of `job-failed`: the error that the task returned.
    pub error: Option<Any<Value>>,
}

/// What is wrong with one field or parameter.
#[derive(Debug, Clone, PartialEq, Eq, Object)]
#[oai(rename_all = "camelCase")]
pub struct FieldError {
    /// A JSON pointer into the body, such as `/email`, or the bare name of a parameter.
    pub pointer: String,
    /// The stable name of the rule that was broken, for programs.
    pub code: String,
    /// The rule in words.
    pub detail: String,
}

impl FieldError {
    /// What is wrong at this place.
    #[must_use]
    pub fn new(pointer: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn an_answer_has_every_member_and_the_headers() {
        let response = Problem::new(ProblemCode::RateLimited)
            .with_detail("wait a moment")
            .with_errors([FieldError::new("/email", "too-long", "at most 254 bytes")])
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("7"))
            .answer(Some("/users"), Some("abc"));
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        assert_eq!(response.header("retry-after"), Some("7"));
        let body: Value = response.into_body().into_json().await.expect("JSON");
        let expected = json!({
            "type": "/problems/rate-limited",
            "title": "Too many requests",
            "status": 429,
            "detail": "wait a moment",
            "instance": "/users",
            "code": "rate-limited",
            "requestId": "abc",
            "errors": [{"pointer": "/email", "code": "too-long", "detail": "at most 254 bytes"}],
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn members_without_a_value_are_absent() {
        let response = Problem::new(ProblemCode::NotFound).into_response();
        assert_eq!(response.data::<Problem>().map(Problem::code), Some(ProblemCode::NotFound));
        let body: Value = response.into_body().into_json().await.expect("JSON");
        let keys: Vec<_> = body.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["code", "detail", "status", "title", "type"]);
    }
}
