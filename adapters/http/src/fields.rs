//! Reading what a request says, field by field, so that all that is wrong with it is told at once.
//!
//! Each read answers `None` if the field is not right and takes a note; the last step asks for the notes.

use portwright_domain::Invalid;
use serde_json::{Map, Value};

use crate::problem::FieldError;

/// So many unknown fields are told; an answer must not be larger than the body that caused it.
const MAX_UNKNOWN: usize = 100;

/// The members of a JSON object that are still to be read.
pub(crate) struct Fields {
    members: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// The members of a body.
    pub(crate) const fn of(members: Map<String, Value>) -> Self {
        Self { members, errors: Vec::new() }
    }

    /// A field that must be there.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, Invalid>,
    ) -> Option<T> {
        match self.members.remove(name) {
            Some(value) => self.note(name, read(&value)),
            None => self.note(name, Err(Invalid::new("required", "is required"))),
        }
    }

    /// A field that may be absent; `Some(None)` then. `null` is not absent.
    #[expect(clippy::option_option, reason = "outside: whether it is right; inside: whether it was given")]
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, Invalid>,
    ) -> Option<Option<T>> {
        match self.members.remove(name) {
            Some(value) => self.note(name, read(&value)).map(Some),
            None => Some(None),
        }
    }

    /// An object that may be absent; its fields are read as those of a body.
    #[expect(clippy::option_option, reason = "as for `optional`")]
    pub(crate) fn object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        let members = match self.members.remove(name) {
            None => return Some(None),
            Some(Value::Object(members)) => members,
            Some(_) => return self.note(name, Err(Invalid::new("invalid-type", "must be an object"))),
        };
        let mut fields = Self::of(members);
        let parsed = read(&mut fields);
        let errors = fields.into_errors();
        let parsed = parsed.filter(|_| errors.is_empty());
        self.errors.extend(
            errors
                .into_iter()
                .map(|error| FieldError { pointer: format!("/{name}{}", error.pointer), ..error }),
        );
        parsed.map(Some)
    }

    fn note<T>(&mut self, name: &str, read: Result<T, Invalid>) -> Option<T> {
        read.map_err(|Invalid { code, detail }| {
            self.errors.push(FieldError::new(format!("/{name}"), code, detail));
        })
        .ok()
    }

    /// All that was wrong; whatever was not read is a field that does not exist.
    pub(crate) fn into_errors(self) -> Vec<FieldError> {
        let unknown = self.members.into_iter().take(MAX_UNKNOWN).map(|(name, _)| {
            // A JSON pointer escapes these two (RFC 6901); a name that is too long to be one of ours is cut.
            let name: String = name.chars().take(100).collect();
            let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            FieldError::new(pointer, "unknown-field", "there is no such field")
        });
        self.errors.into_iter().chain(unknown).collect()
    }
}

/// A JSON string that a domain type accepts.
pub(crate) fn text<T>(
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
) -> impl FnOnce(&Value) -> Result<T, Invalid> {
    |value| match value {
        Value::String(text) => parse(text),
        _ => Err(Invalid::new("invalid-type", "must be a string")),
    }
}

/// `true` or `false`.
pub(crate) fn boolean(value: &Value) -> Result<bool, Invalid> {
    value.as_bool().ok_or_else(|| Invalid::new("invalid-type", "must be true or false"))
}
