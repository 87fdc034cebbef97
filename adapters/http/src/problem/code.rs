//! The catalogue: every way in which the API says no, what it means and how to mend it.

// Longer than the budget: the catalogue is one table, read from top to bottom.

use std::str::FromStr;

use poem::http::StatusCode;

/// Why a request was refused; `code` in a problem, and the last part of its `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemCode {
    /// The request is not HTTP as we read it.
    MalformedRequest,
    /// The body does not parse.
    MalformedBody,
    /// The `Idempotency-Key` is not one.
    IdempotencyKeyInvalid,
    /// The `Consistency-Token` is not one of ours.
    BadConsistencyToken,
    /// There is no valid access token.
    Unauthorized,
    /// The address, the password or the account does not sign in.
    InvalidCredentials,
    /// The role may never do this.
    Forbidden,
    /// Nobody may register.
    RegistrationClosed,
    /// There is nothing there that the caller may see.
    NotFound,
    /// The path exists, the method on it does not.
    MethodNotAllowed,
    /// No form of the answer is one that the client accepts.
    NotAcceptable,
    /// The request took the client too long to send.
    RequestTimeout,
    /// Another user has the e-mail address.
    EmailTaken,
    /// Nobody would be left to administer.
    LastAdmin,
    /// It was changed by somebody else meanwhile.
    VersionConflict,
    /// The first request with this key has not been answered yet.
    IdempotencyKeyRunning,
    /// The first request with this key was answered with something that is given once.
    AlreadyUsed,
    /// The job has come to its end.
    JobFinished,
    /// Only what ended without success runs again.
    JobNotFailed,
    /// Another job does the same.
    JobHeld,
    /// The record of the job was removed.
    JobExpired,
    /// `If-Match` names another version than the present one.
    PreconditionFailed,
    /// The body is larger than the path allows.
    PayloadTooLarge,
    /// The request target is too long.
    UriTooLong,
    /// The body is of a media type that the path does not take.
    UnsupportedMediaType,
    /// Fields or parameters have values that they cannot have.
    ValidationFailed,
    /// The picture cannot be decoded.
    InvalidImage,
    /// The key was used for another request.
    IdempotencyKeyReused,
    /// The task returned its error.
    JobFailed,
    /// The client has used up its share.
    RateLimited,
    /// The headers are too many or too large.
    HeadersTooLarge,
    /// Something went wrong here.
    Internal,
    /// The job crashed, timed out or used up its attempts.
    JobDead,
    /// Something that the answer needs is down or overloaded.
    Unavailable,
    /// More is asked for than can be done.
    Overloaded,
    /// As many jobs wait as the queue takes.
    QueueFull,
    /// The queue does not answer.
    QueueUnavailable,
    /// The answer was not ready in time.
    Timeout,
}

/// One row of the catalogue.
struct Entry {
    code: &'static str,
    status: StatusCode,
    title: &'static str,
    meaning: &'static str,
    remedy: &'static str,
}

impl ProblemCode {
    /// Every code, by status.
    pub const ALL: [Self; 38] = [
        Self::MalformedRequest,
        Self::MalformedBody,
        Self::IdempotencyKeyInvalid,
        Self::BadConsistencyToken,
        Self::Unauthorized,
        Self::InvalidCredentials,
        Self::Forbidden,
        Self::RegistrationClosed,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::EmailTaken,
        Self::LastAdmin,
        Self::VersionConflict,
        Self::IdempotencyKeyRunning,
        Self::AlreadyUsed,
        Self::JobFinished,
        Self::JobNotFailed,
        Self::JobHeld,
        Self::JobExpired,
        Self::PreconditionFailed,
        Self::PayloadTooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::ValidationFailed,
        Self::InvalidImage,
        Self::IdempotencyKeyReused,
        Self::JobFailed,
        Self::RateLimited,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::JobDead,
        Self::Unavailable,
        Self::Overloaded,
        Self::QueueFull,
        Self::QueueUnavailable,
        Self::Timeout,
    ];

    /// The stable name in kebab case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.entry().code
    }

    /// The status of every answer with this code.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.entry().status
    }

    /// A few words, the same for every occurrence.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.entry().title
    }

    /// A sentence on what happened; the detail of a problem that has no better one.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        self.entry().meaning
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        self.entry().remedy
    }

    /// The code that says no more than the status does, for errors that only know their status.
    #[must_use]
    pub fn for_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::NOT_ACCEPTABLE => Self::NotAcceptable,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::CONFLICT => Self::VersionConflict,
            StatusCode::GONE => Self::JobExpired,
            StatusCode::PRECONDITION_FAILED => Self::PreconditionFailed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::URI_TOO_LONG => Self::UriTooLong,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::ValidationFailed,
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Self::HeadersTooLarge,
            StatusCode::BAD_GATEWAY => Self::JobDead,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            StatusCode::GATEWAY_TIMEOUT => Self::Timeout,
            other if other.is_client_error() => Self::MalformedRequest,
            _ => Self::Internal,
        }
    }

    #[expect(clippy::too_many_lines, reason = "it is a table")]
    const fn entry(self) -> Entry {
        let (code, status, title, meaning, remedy) = match self {
            Self::MalformedRequest => (
                "malformed-request",
                StatusCode::BAD_REQUEST,
                "Malformed request",
                "The request is not valid HTTP, or its length can be read in two ways.",
                "Use an HTTP client that is up to date. Send one Host header, at most one of Content-Length and \
                 Transfer-Encoding, and end every line with CR LF.",
            ),
            Self::MalformedBody => (
                "malformed-body",
                StatusCode::BAD_REQUEST,
                "Malformed body",
                "The body does not parse.",
                "Send well-formed JSON in UTF-8, with each key once and at most 64 levels deep.",
            ),
            Self::IdempotencyKeyInvalid => (
                "idempotency-key-invalid",
                StatusCode::BAD_REQUEST,
                "Invalid Idempotency-Key",
                "The Idempotency-Key is empty, too long or has characters that it cannot have.",
                "Send 1 to 255 visible ASCII characters, such as a UUID.",
            ),
            Self::BadConsistencyToken => (
                "bad-consistency-token",
                StatusCode::BAD_REQUEST,
                "Bad Consistency-Token",
                "The Consistency-Token was not made by this service.",
                "Send back the Consistency-Token of an earlier answer unaltered, or leave the header out.",
            ),
            Self::Unauthorized => (
                "unauthorized",
                StatusCode::UNAUTHORIZED,
                "Not signed in",
                "There is no valid access token.",
                "Sign in or refresh the session, and send the token as `Authorization: Bearer <accessToken>`.",
            ),
            Self::InvalidCredentials => (
                "invalid-credentials",
                StatusCode::UNAUTHORIZED,
                "Invalid credentials",
                "The e-mail address and the password do not belong to an account that can sign in.",
                "Check both. An administrator can say whether the account is active.",
            ),
            Self::Forbidden => (
                "forbidden",
                StatusCode::FORBIDDEN,
                "Forbidden",
                "Your role may not do this.",
                "Ask an administrator to do it, or to give you another role.",
            ),
            Self::RegistrationClosed => (
                "registration-closed",
                StatusCode::FORBIDDEN,
                "Registration closed",
                "This service does not let people register themselves.",
                "Ask an administrator for an account.",
            ),
            Self::NotFound => (
                "not-found",
                StatusCode::NOT_FOUND,
                "Not found",
                "There is nothing at this path that you may see.",
                "Check the path against /openapi.json and the identity in it. It may have been deleted.",
            ),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "Method not allowed",
                "The path exists, but not with this method.",
                "Use one of the methods in the Allow header.",
            ),
            Self::NotAcceptable => (
                "not-acceptable",
                StatusCode::NOT_ACCEPTABLE,
                "Not acceptable",
                "The answer cannot be given in a form that the Accept header allows.",
                "Accept the media type that /openapi.json names, such as `application/json`, or leave the header out.",
            ),
            Self::RequestTimeout => (
                "request-timeout",
                StatusCode::REQUEST_TIMEOUT,
                "Request too slow",
                "The request did not arrive in the time that it may take.",
                "Send it again over a faster connection, and send the body without pauses.",
            ),
            Self::EmailTaken => (
                "email-taken",
                StatusCode::CONFLICT,
                "E-mail address taken",
                "Another user has this e-mail address.",
                "Use another address, or sign in with this one.",
            ),
            Self::LastAdmin => (
                "last-admin",
                StatusCode::CONFLICT,
                "Last administrator",
                "Nobody would be left who can administer.",
                "Make another active user an administrator first.",
            ),
            Self::VersionConflict => (
                "version-conflict",
                StatusCode::CONFLICT,
                "Changed meanwhile",
                "It was changed by another request at the same time.",
                "Read it again, and repeat the change.",
            ),
            Self::IdempotencyKeyRunning => (
                "idempotency-key-running",
                StatusCode::CONFLICT,
                "Still running",
                "The first request with this Idempotency-Key has not been answered yet.",
                "Wait, and send the same request again.",
            ),
            Self::AlreadyUsed => (
                "already-used",
                StatusCode::CONFLICT,
                "Already used",
                "The first request with this Idempotency-Key succeeded, and its answer is given only once.",
                "Sign in to get a new session.",
            ),
            Self::JobFinished => (
                "job-finished",
                StatusCode::CONFLICT,
                "Job finished",
                "The job has come to its end, so there is nothing to stop.",
                "Read the job to see how it ended.",
            ),
            Self::JobNotFailed => (
                "job-not-failed",
                StatusCode::CONFLICT,
                "Job not failed",
                "Only a job that is failed, dead or cancelled can run again.",
                "Read the job to see its state. A job that succeeded is not repeated: make a new one.",
            ),
            Self::JobHeld => (
                "job-held",
                StatusCode::CONFLICT,
                "Another job does the same",
                "Another unfinished job holds the unique key of this one.",
                "Wait for that job, or stop it first.",
            ),
            Self::JobExpired => (
                "job-expired",
                StatusCode::GONE,
                "Job expired",
                "The job ended some time ago, and its record was removed.",
                "Results are kept as QUEUE_REMOVE_ON_COMPLETE and QUEUE_REMOVE_ON_FAIL say. Fetch them earlier.",
            ),
            Self::PreconditionFailed => (
                "precondition-failed",
                StatusCode::PRECONDITION_FAILED,
                "Precondition failed",
                "If-Match names another version than the present one.",
                "Read it again, and send the change with the new ETag.",
            ),
            Self::PayloadTooLarge => (
                "payload-too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "Body too large",
                "The body is larger than this path allows.",
                "Send less at a time.",
            ),
            Self::UriTooLong => (
                "uri-too-long",
                StatusCode::URI_TOO_LONG,
                "URI too long",
                "The request target is longer than the service reads.",
                "Shorten the query.",
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Unsupported media type",
                "The body is of a media type that this path does not take, or names none.",
                "Send the Content-Type that the path takes, such as `application/json`.",
            ),
            Self::ValidationFailed => (
                "validation-failed",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Validation failed",
                "Fields or parameters have values that they cannot have.",
                "Correct what `errors` lists: each has a JSON pointer into the body, or the name of a parameter.",
            ),
            Self::InvalidImage => (
                "invalid-image",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid image",
                "The body is no picture that can be decoded, or it has too many pixels.",
                "Send a whole PNG, JPEG or WebP picture of at most 20 megapixels.",
            ),
            Self::IdempotencyKeyReused => (
                "idempotency-key-reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Idempotency-Key reused",
                "This Idempotency-Key was used for a request with another body.",
                "Make a new key for every new request.",
            ),
            Self::JobFailed => (
                "job-failed",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Job failed",
                "The task ended with an error of its own.",
                "`error` tells which. The same input gives the same answer.",
            ),
            Self::RateLimited => (
                "rate-limited",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests",
                "You have sent more requests than your share.",
                "Wait as many seconds as Retry-After says.",
            ),
            Self::HeadersTooLarge => (
                "headers-too-large",
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "Headers too large",
                "The headers are too many, or too large together.",
                "Send fewer and shorter headers.",
            ),
            Self::Internal => (
                "internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal error",
                "Something went wrong here.",
                "Try again later. If it stays, report it with the requestId.",
            ),
            Self::JobDead => (
                "job-dead",
                StatusCode::BAD_GATEWAY,
                "Job dead",
                "The job crashed, took too long or used up its attempts.",
                "Read the job for its cause. An administrator can have it run again.",
            ),
            Self::Unavailable => (
                "unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "Unavailable",
                "Something that the answer needs is down or overloaded.",
                "Try again later, with growing pauses.",
            ),
            Self::Overloaded => (
                "overloaded",
                StatusCode::SERVICE_UNAVAILABLE,
                "Overloaded",
                "More requests came than can be answered in time.",
                "Try again when Retry-After has passed, with growing pauses. Nothing was done.",
            ),
            Self::QueueFull => (
                "queue-full",
                StatusCode::SERVICE_UNAVAILABLE,
                "Queue full",
                "As many jobs wait as the queue takes.",
                "Try again when Retry-After has passed. Nothing was taken.",
            ),
            Self::QueueUnavailable => (
                "queue-unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "Queue unavailable",
                "The queue does not answer.",
                "Try again when Retry-After has passed, with the same Idempotency-Key: the job may have been taken.",
            ),
            Self::Timeout => (
                "timeout",
                StatusCode::GATEWAY_TIMEOUT,
                "Timeout",
                "The answer was not ready in time.",
                "Try again later. A change may have happened: send its Idempotency-Key again to find out.",
            ),
        };
        Entry { code, status, title, meaning, remedy }
    }
}

/// There is no problem of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such problem")]
pub struct ProblemUnknown;

impl FromStr for ProblemCode {
    type Err = ProblemUnknown;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|known| known.as_str() == code).ok_or(ProblemUnknown)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_has_one_name_and_is_ordered_by_status() {
        let names: HashSet<_> = ProblemCode::ALL.map(ProblemCode::as_str).into();
        assert_eq!(names.len(), ProblemCode::ALL.len());
        assert!(ProblemCode::ALL.is_sorted_by_key(|code| code.status().as_u16()));
        for code in ProblemCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(code));
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
        assert_eq!("no-such".parse::<ProblemCode>(), Err(ProblemUnknown));
    }

    #[test]
    fn a_status_maps_to_a_code_of_that_status() {
        for code in ProblemCode::ALL {
            assert_eq!(ProblemCode::for_status(code.status()).status(), code.status());
        }
        assert_eq!(ProblemCode::for_status(StatusCode::IM_A_TEAPOT), ProblemCode::MalformedRequest);
        assert_eq!(ProblemCode::for_status(StatusCode::NOT_IMPLEMENTED), ProblemCode::Internal);
    }
}
