//! [`PortError`]: the only error that an adapter may return.
//!
//! Callers and decorating layers look at the [`ErrorKind`]; the source is for logs. Neither is ever shown
//! to a consumer of the API. Absence is `None`, a broken business rule is an enum of the use case, and the
//! outside world is a `PortError`.

use std::borrow::Cow;
use std::error::Error;

use serde::{Deserialize, Serialize};

/// What a driver reported, kept for the log.
pub type Source = Box<dyn Error + Send + Sync + 'static>;

/// Why a port could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {kind} ({detail})")]
pub struct PortError {
    kind: ErrorKind,
    operation: &'static str,
    detail: Cow<'static, str>,
    race: Race,
    #[source]
    source: Option<Source>,
}

/// What a caller can do about a [`PortError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A uniqueness or version rule was broken; the detail names the rule, such as `users.email`.
    Conflict,
    /// A race was lost (deadlock, serialization failure, busy file) and nothing happened: the same work may
    /// be tried again from its start.
    Contended,
    /// The caller no longer owns the job; nothing was changed.
    LeaseLost,
    /// The other side is down, full or too slow. Circuit breakers count these.
    Unavailable,
    /// This adapter cannot do that.
    Unsupported,
    /// Stored data does not parse. Never retried, always alarming.
    Corrupt,
    /// Wrong credentials, a missing table or bucket: start-up must fail.
    Misconfigured,
}

/// Which race a [`ErrorKind::Contended`] lost, for whoever counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Race {
    /// Somebody else was using it for too long.
    #[default]
    Busy,
    /// Both could not have happened one after the other.
    Serialization,
    /// Each waited for the other.
    Deadlock,
    /// Another transaction came first to the same unique value or version.
    Rule,
    /// The connection broke before the commit was made.
    Connection,
}

impl Race {
    /// The stable name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Serialization => "serialization",
            Self::Deadlock => "deadlock",
            Self::Rule => "rule",
            Self::Connection => "connection",
        }
    }
}

impl ErrorKind {
    /// The stable name in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Contended => "contended",
            Self::LeaseLost => "lease_lost",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
            Self::Corrupt => "corrupt",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PortError {
    /// An error of this kind; `operation` is `port.method`, `detail` a lower-case phrase for the log.
    #[must_use]
    pub fn new(kind: ErrorKind, operation: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, operation, detail: detail.into(), race: Race::default(), source: None }
    }

    /// A broken rule, named by `rule`.
    #[must_use]
    pub fn conflict(operation: &'static str, rule: &'static str) -> Self {
        Self::new(ErrorKind::Conflict, operation, rule)
    }

    /// The same error with another phrase for the log; its kind, operation and source stay.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The same error, whose race is known; without, it is [`Race::Busy`].
    #[must_use]
    pub const fn with_race(mut self, race: Race) -> Self {
        self.race = race;
        self
    }

    /// Keeps what the driver said, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a caller can do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The race that was lost, if it was one: the same work may be tried again from its start.
    #[must_use]
    pub const fn race(&self) -> Option<Race> {
        match self.kind {
            ErrorKind::Contended => Some(self.race),
            _ => None,
        }
    }

    /// The port and method that failed, such as `users.insert`.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// The phrase for the log; of a [`ErrorKind::Conflict`], the rule.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// True if this is a broken `rule`, such as `users.email`.
    #[must_use]
    pub fn conflicts_on(&self, rule: &str) -> bool {
        self.kind == ErrorKind::Conflict && self.detail == rule
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_names_its_rule() {
        let error = PortError::conflict("users.insert", "users.email");
        assert!(error.conflicts_on("users.email"));
        assert!(!error.conflicts_on("users.version"));
        assert_eq!(error.to_string(), "users.insert: conflict (users.email)");
    }

    #[test]
    fn only_who_lost_a_race_names_one() {
        let error = |kind| PortError::new(kind, "store.commit", "on cue").with_race(Race::Deadlock);
        assert_eq!(error(ErrorKind::Contended).race(), Some(Race::Deadlock));
        assert_eq!(error(ErrorKind::Unavailable).race(), None);
        assert_eq!(PortError::new(ErrorKind::Contended, "store.begin", "full").race(), Some(Race::Busy));
    }

    #[test]
    fn the_source_is_not_part_of_the_message() {
        let error = PortError::new(ErrorKind::Unavailable, "store.begin", "connection refused")
            .with_source("password=hunter2");
        assert!(!error.to_string().contains("hunter2"));
        assert_eq!(error.source().expect("a source").to_string(), "password=hunter2");
    }
}
