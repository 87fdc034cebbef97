//! What poem and poem-openapi report, as problems of ours: their texts show parser internals, and some of their
//! statuses are not those of the contract.

use poem::Error;
use poem::error::{ParseJsonError, ReadBodyError};
use poem_openapi::error::{ParseMultipartError, ParseParamError, ParsePathError, ParseRequestPayloadError};

use super::{FieldError, Problem, ProblemCode};

/// The problem that an error of a handler or of the framework is.
pub(crate) fn problem_of(error: &Error) -> Problem {
    if let Some(problem) = error.downcast_ref::<Problem>() {
        return problem.clone();
    }
    if let Some(parameter) = error.downcast_ref::<ParseParamError>() {
        return Problem::new(ProblemCode::ValidationFailed).with_errors([wrong(parameter)]);
    }
    Problem::new(code_of(error))
}

fn code_of(error: &Error) -> ProblemCode {
    // An identity that cannot be one names nothing.
    if error.is::<ParsePathError>() || error.is::<poem::error::ParsePathError>() {
        return ProblemCode::NotFound;
    }
    if error.is::<ParseRequestPayloadError>()
        || error.is::<ParseMultipartError>()
        || matches!(error.downcast_ref(), Some(ParseJsonError::Parse(_)))
        || matches!(error.downcast_ref(), Some(ReadBodyError::Utf8(_)))
    {
        return ProblemCode::MalformedBody;
    }
    ProblemCode::for_status(error.status())
}

fn wrong(parameter: &ParseParamError) -> FieldError {
    // The reason names Rust types; all it is asked is whether there was a value.
    if parameter.reason.ends_with("expects an input value.") {
        FieldError::new(parameter.name, "required", "must be given")
    } else {
        FieldError::new(parameter.name, "invalid", "not a value that this parameter can have")
    }
}
