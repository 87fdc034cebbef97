//! What an operation refuses, and with which problem: the one place where errors of use cases become HTTP.
//!
//! Every match is exhaustive, so a new situation cannot reach a client as a guess.

use std::time::Duration;

use poem::http::HeaderValue;
use poem::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses};
use poem_openapi::types::Type;
use portwright_application::transfers::TransferError;
use portwright_application::{AvatarError, JobError, SessionError, UserError};
use portwright_domain::{ErrorKind, PortError};

use crate::compute::of_engine;
use crate::principal::unauthorized;
use crate::problem::{FieldError, PROBLEM_JSON, Problem, ProblemBody, ProblemCode};
use crate::transfers::upload::ARRIVAL;

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Forbidden => Self::new(ProblemCode::Forbidden),
            UserError::NotFound => Self::new(ProblemCode::NotFound),
            UserError::EmailTaken => Self::new(ProblemCode::EmailTaken),
            UserError::LastAdmin => Self::new(ProblemCode::LastAdmin),
            UserError::Changed => Self::new(ProblemCode::PreconditionFailed),
            UserError::Port(error) => error.into(),
        }
    }
}

impl From<AvatarError> for Problem {
    fn from(error: AvatarError) -> Self {
        match error {
            AvatarError::Forbidden => Self::new(ProblemCode::Forbidden),
            AvatarError::NotFound => Self::new(ProblemCode::NotFound),
            AvatarError::Changed => Self::new(ProblemCode::PreconditionFailed),
            AvatarError::TooLarge => {
                Self::new(ProblemCode::PayloadTooLarge).with_detail("a picture has at most 5 MiB")
            }
            AvatarError::OtherKind => Self::new(ProblemCode::UnsupportedMediaType)
                .with_detail("the body is not of the media type that it was said to be"),
            AvatarError::InvalidImage => Self::new(ProblemCode::InvalidImage),
            // Whoever watches the body knows better, and says so.
            AvatarError::Interrupted => Self::new(ProblemCode::MalformedRequest),
            AvatarError::Compute(error) => of_engine(error),
            AvatarError::Port(error) => error.into(),
        }
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::RegistrationClosed => Self::new(ProblemCode::RegistrationClosed),
            SessionError::EmailTaken => Self::new(ProblemCode::EmailTaken),
            SessionError::InvalidCredentials => Self::new(ProblemCode::InvalidCredentials)
                .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            SessionError::WrongPassword => {
                let error = FieldError::new("/currentPassword", "invalid-credentials", "is not the password");
                Self::new(ProblemCode::ValidationFailed).with_errors([error])
            }
            SessionError::TooManyFailures(after) => Self::new(ProblemCode::RateLimited)
                .with_detail("too many failed sign-ins; wait before the next one")
                .with_header(RETRY_AFTER, HeaderValue::from(whole_seconds(after))),
            SessionError::Unauthenticated => unauthorized(true),
            SessionError::Port(error) => error.into(),
        }
    }
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Forbidden => Self::new(ProblemCode::Forbidden),
            JobError::NotFound => Self::new(ProblemCode::NotFound),
            JobError::Removed => Self::new(ProblemCode::JobExpired),
            JobError::Finished => Self::new(ProblemCode::JobFinished),
            JobError::NotFailed => Self::new(ProblemCode::JobNotFailed),
            JobError::Held => Self::new(ProblemCode::JobHeld),
            JobError::Port(error) => {
                let problem = Self::from(error);
                // What these use cases reach is the queue.
                if problem.code() == ProblemCode::Unavailable {
                    Self::new(ProblemCode::QueueUnavailable).with_header(RETRY_AFTER, 1.into())
                } else {
                    problem
                }
            }
        }
    }
}

impl From<TransferError> for Problem {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Forbidden => Self::new(ProblemCode::Forbidden),
            TransferError::NotFound => Self::new(ProblemCode::NotFound),
            TransferError::Compute(error) => of_engine(error),
            // Why is told by whoever watches the body.
            TransferError::Port(error) if error.operation() == ARRIVAL => {
                Self::new(ProblemCode::MalformedRequest)
            }
            TransferError::Port(error) => error.into(),
        }
    }
}

/// Rounded up, so that nobody comes back too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Contended => {
                tracing::warn!(error.type = %error.kind(), error = ?error, "a port is unavailable");
                Self::new(ProblemCode::Unavailable).with_header(RETRY_AFTER, HeaderValue::from_static("1"))
            }
            _ => {
                tracing::error!(error.type = %error.kind(), error = ?error, "a port failed");
                Self::new(ProblemCode::Internal)
            }
        }
    }
}

/// The documented answers for these problems, one per status.
pub(crate) fn documented(codes: &[ProblemCode]) -> MetaResponses {
    let mut responses: Vec<MetaResponse> = Vec::new();
    for code in codes {
        let status = code.status().as_u16();
        if responses.iter().all(|response| response.status != Some(status)) {
            let content =
                vec![MetaMediaType { content_type: PROBLEM_JSON, schema: ProblemBody::schema_ref() }];
            let description = code.title();
            responses.push(MetaResponse {
                description,
                status: Some(status),
                status_range: None,
                content,
                headers: vec![],
            });
        }
    }
    MetaResponses { responses }
}

/// Declares the error type of an operation by the problems that it may answer; those that any operation may answer (a
/// rate limit, an outage) are added to the document for all. Whatever becomes a [`Problem`] becomes it by `?`.
macro_rules! refusals {
    ($name:ident: $($code:ident),+ $(,)?) => {
        pub(crate) struct $name($crate::problem::Problem);

        impl<E: Into<$crate::problem::Problem>> From<E> for $name {
            fn from(error: E) -> Self {
                Self(error.into())
            }
        }

        impl From<$name> for poem::Error {
            fn from(refused: $name) -> Self {
                refused.0.into()
            }
        }

        impl poem_openapi::ApiResponse for $name {
            fn meta() -> poem_openapi::registry::MetaResponses {
                $crate::refusals::documented(&[$($crate::problem::ProblemCode::$code),+])
            }

            fn register(registry: &mut poem_openapi::registry::Registry) {
                <$crate::problem::ProblemBody as poem_openapi::types::Type>::register(registry);
            }
        }
    };
}

pub(crate) use refusals;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_away_is_named_if_it_is_the_queue() {
        let away = || PortError::new(ErrorKind::Unavailable, "jobs.find", "on cue");
        assert_eq!(Problem::from(JobError::Port(away())).code(), ProblemCode::QueueUnavailable);
        assert_eq!(Problem::from(UserError::Port(away())).code(), ProblemCode::Unavailable);
        let broken = PortError::new(ErrorKind::Corrupt, "jobs.find", "on cue");
        assert_eq!(Problem::from(JobError::Port(broken)).code(), ProblemCode::Internal);
    }
}
