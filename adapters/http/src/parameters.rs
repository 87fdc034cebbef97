//! Reading query parameters, so that all that is wrong with them is told at once.

use poem::Request;
use portwright_domain::Invalid;
use serde_json::Value;

use crate::problem::{FieldError, Problem, ProblemCode};

/// One query parameter, for the document.
pub(crate) struct Parameter {
    /// As in the query.
    pub(crate) name: &'static str,
    /// A sentence for the reader.
    pub(crate) doc: &'static str,
    /// What it may be, as an OpenAPI schema.
    pub(crate) schema: fn() -> Value,
}

/// The parameters of a request that are still to be read.
pub(crate) struct Parameters {
    given: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Parameters {
    /// The parameters of a query string; `%` escapes are decoded, and what is no UTF-8 is refused.
    pub(crate) fn of(request: &Request) -> Self {
        let mut parameters = Self { given: Vec::new(), errors: Vec::new() };
        match request.params::<Vec<(String, String)>>() {
            Ok(given)
                if given.iter().all(|(name, value)| !has_replacement(name) && !has_replacement(value)) =>
            {
                parameters.given = given;
            }
            _ => parameters.errors.push(FieldError::new("", "invalid-encoding", "the query is not UTF-8")),
        }
        parameters
    }

    /// Whether a parameter is there, right or not.
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| given == name)
    }

    /// A parameter that may be absent. One that is not right is noted, and absent.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        let mut values: Vec<_> = self.given.extract_if(.., |(given, _)| given == name).collect();
        let (_, value) = values.pop()?;
        let read = if values.is_empty() {
            read(&value)
        } else {
            Err(Invalid::new("repeated-parameter", "must not stand there twice"))
        };
        read.map_err(|Invalid { code, detail }| {
            self.errors.push(FieldError::new(name, code, detail));
        })
        .ok()
    }

    /// Whether all was right. Whatever was not read is a parameter that does not exist.
    ///
    /// # Errors
    /// 422 with all that was not.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        let unknown = self.given.into_iter().map(|(name, _)| {
            let name: String = name.chars().take(100).collect();
            FieldError::new(name, "unknown-parameter", "there is no such parameter")
        });
        let errors: Vec<_> = self.errors.into_iter().chain(unknown).collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::new(ProblemCode::ValidationFailed).with_errors(errors))
        }
    }
}

/// The decoder puts this character in the place of what is no UTF-8.
fn has_replacement(text: &str) -> bool {
    text.contains(char::REPLACEMENT_CHARACTER)
}
