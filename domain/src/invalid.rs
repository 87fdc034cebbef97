//! [`Invalid`]: why a value was refused, in words for the person who sent it.

use std::borrow::Cow;

/// A value that its type refused. Whoever collects several of them adds where each one stood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Invalid {
    /// A stable name in kebab case, such as `too-long`.
    pub code: &'static str,
    /// A sentence for a person. Never contains the value.
    pub detail: Cow<'static, str>,
}

impl Invalid {
    /// A refusal with this stable code and this sentence.
    #[must_use]
    pub fn new(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into() }
    }
}
